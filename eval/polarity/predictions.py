"""Predictions on embryos that were held out, kept on disk so that none is made twice."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.polarity.embryo import Embryo
from isl.polarity.onset import TEMPER, Combine

from ..writing.kept_arrays import KeptArrays, file_name


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """What one ensemble says of embryos it has not seen.

    Attributes:
        logits: float32 [M, T, 2] of every embryo, by its name.
        combine: How members become one.
        threshold: A frame is called after onset above it.
        temper: Of the onsets' posterior.
        spread: Of their intervals; None: they are the posterior's.
        seconds: What training and predicting took.
    """

    logits: Mapping[str, np.ndarray]
    combine: Combine
    threshold: float
    temper: float = TEMPER
    spread: float | None = None
    seconds: float = 0.0


def logits_of(held_out: Sequence[HeldOut], embryo: Embryo, name: str) -> HeldOut:
    """The predictions that hold an embryo.

    Args:
        held_out: Of one arm or model; together they hold every embryo once.
        embryo: Which.
        name: Of the arm, for messages.
    """
    makers = [made for made in held_out if embryo.name in made.logits]
    if len(makers) != 1:
        raise ValueError(f"{name}: embryo '{embryo.name}' was predicted {len(makers)} times, not 1")
    shape = makers[0].logits[embryo.name].shape
    if shape[1:] != (len(embryo.after), 2):
        raise ValueError(
            f"{name}: logits of '{embryo.name}' have shape {shape}; its {len(embryo.after)} frames "
            f"need [M, {len(embryo.after)}, 2]"
        )
    return makers[0]


class KeptPredictions(KeptArrays):
    """The folder of predictions of one evaluation."""

    def take(self, fold: str, arm: str) -> HeldOut | None:
        """The predictions of an arm on a fold, if they were made."""
        stored = self.read(self._path(fold, arm))
        if stored is None:
            return None
        made, arrays = stored
        return HeldOut(
            logits=arrays,
            combine=made["combine"],
            threshold=made["threshold"],
            temper=made.get("temper", TEMPER),
            spread=made.get("spread"),
            seconds=made["seconds"],
        )

    def put(self, fold: str, arm: str, held_out: HeldOut) -> None:
        """Keeps predictions."""
        made = {
            "combine": held_out.combine,
            "threshold": held_out.threshold,
            "temper": held_out.temper,
            "spread": held_out.spread,
            "seconds": held_out.seconds,
        }
        self.write(self._path(fold, arm), made, held_out.logits)

    def take_agreement(self, fold: str) -> dict[str, np.ndarray] | None:
        """How predicted EZRIN agrees with measured Ezrin, float64 [T, ...] by embryo."""
        stored = self.read(self._agreement_path(fold))
        return None if stored is None else stored[1]

    def put_agreement(self, fold: str, agreement: Mapping[str, np.ndarray]) -> None:
        """Keeps that; embryos without measured Ezrin are not among them."""
        self.write(self._agreement_path(fold), {}, agreement)

    def take_maps(self, fold: str, arm: str) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Facts of frames and a map of each, float16 [Y, X]; []: none were kept."""
        stored = self.read(self._maps_path(fold, arm))
        if stored is None:
            return []
        made, arrays = stored
        return [(facts, arrays[str(number)]) for number, facts in enumerate(made["of"])]

    def put_maps(
        self, fold: str, arm: str, facts: Sequence[Mapping[str, Any]], maps: Sequence[np.ndarray]
    ) -> None:
        """Keeps maps of frames, with what JSON can hold of each."""
        arrays = {str(number): values for number, values in enumerate(maps)}
        self.write(self._maps_path(fold, arm), {"of": [dict(each) for each in facts]}, arrays)

    def _path(self, fold: str, arm: str) -> Path:
        return self.folder / f"{file_name(fold)}.{file_name(arm)}.npz"

    def _maps_path(self, fold: str, arm: str) -> Path:
        return self.folder / f"{file_name(fold)}.{file_name(arm)}.maps.npz"

    def _agreement_path(self, fold: str) -> Path:
        return self.folder / f"{file_name(fold)}.ezrin_figures.npz"


def fingerprints(embryos: Sequence[Embryo]) -> dict[str, str]:
    """A hash of every embryo's frames, their scale, measured Ezrin and labels, by name."""
    return {embryo.name: _fingerprint(embryo) for embryo in embryos}


def _fingerprint(embryo: Embryo) -> str:
    stacks = () if embryo.stacks is None else (embryo.stacks,)
    scale = (embryo.pixel_size, embryo.z_step, embryo.interval)
    shapes = [(array.dtype.str, array.shape) for array in (embryo.dic, *stacks)]
    digest = hashlib.sha256(repr((embryo.group, shapes, scale)).encode())
    for array in (embryo.dic, embryo.measured, embryo.after, *stacks):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
