"""Predictions on embryos that were held out, kept on disk so that none is made twice.

`DIR/settings.json` says what they depend on; a folder of other settings is refused, since its
predictions would be taken for these.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from isl.errors import InputError
from isl.imaging.files import written_whole
from isl.polarity.onset import Combine
from isl_train.embryos import Embryo  # pyright: ignore[reportMissingImports]

SETTINGS = "settings.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """What one ensemble says of embryos it has not seen.

    Attributes:
        logits: float32 [M, T, 2] of every embryo, by its name.
        combine: How members become one.
        threshold: A frame is called after onset above it.
        seconds: What training and predicting took.
    """

    logits: Mapping[str, np.ndarray]
    combine: Combine
    threshold: float
    seconds: float = 0.0


class Shelf:
    """The folder of predictions of one evaluation.

    Attributes:
        folder: Where they lie.
        key: Hash of all that they depend on.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        """Opens the folder of an evaluation, or begins it.

        Args:
            out: Folder for results.
            settings: All that predictions depend on; JSON can hold it.

        Raises:
            InputError: The folder holds predictions of other settings.
        """
        text = json.dumps(settings, indent=1, sort_keys=True)
        self.folder = out / "predictions"
        self.key = hashlib.sha256(text.encode()).hexdigest()
        path = out / SETTINGS
        if path.exists():
            _check_same(path, json.loads(text))
        else:
            with written_whole(path) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")

    def take(self, fold: str, arm: str) -> HeldOut | None:
        """The predictions of an arm on a fold, if they were made."""
        stored = self._read(self._path(fold, arm))
        if stored is None:
            return None
        made, arrays = stored
        return HeldOut(
            logits=arrays,
            combine=made["combine"],
            threshold=made["threshold"],
            seconds=made["seconds"],
        )

    def put(self, fold: str, arm: str, held_out: HeldOut) -> None:
        """Keeps predictions."""
        made = {
            "combine": held_out.combine,
            "threshold": held_out.threshold,
            "seconds": held_out.seconds,
        }
        self._write(self._path(fold, arm), made, held_out.logits)

    def take_agreement(self, fold: str) -> dict[str, np.ndarray] | None:
        """Pearson's correlation of predicted and measured EZRIN, float64 [T] by embryo."""
        stored = self._read(self._agreement_path(fold))
        return None if stored is None else stored[1]

    def put_agreement(self, fold: str, agreement: Mapping[str, np.ndarray]) -> None:
        """Keeps correlations; embryos without measured Ezrin are not among them."""
        self._write(self._agreement_path(fold), {}, agreement)

    def _path(self, fold: str, arm: str) -> Path:
        return self.folder / f"{fold}.{arm.replace('/', '_')}.npz"

    def _agreement_path(self, fold: str) -> Path:
        return self.folder / f"{fold}.ezrin_pearson.npz"

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        if not path.is_file():
            return None
        try:
            # Opened here, so that it is closed whatever NumPy makes of it.
            with path.open("rb") as file, np.load(file) as stored:
                made = json.loads(str(stored["made"]))
                prefix = "of/"
                arrays = {
                    name.removeprefix(prefix): stored[name]
                    for name in stored.files
                    if name.startswith(prefix)
                }
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it") from error
        if made.get("settings") != self.key:
            raise InputError(
                f"{path}: was made under other settings; remove it or name another --out"
            )
        return made, arrays

    def _write(self, path: Path, made: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        text = json.dumps({**made, "settings": self.key})
        named: dict[str, Any] = {f"of/{name}": array for name, array in arrays.items()}
        with written_whole(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, made=np.array(text), **named)


def fingerprints(embryos: Sequence[Embryo]) -> dict[str, str]:
    """A hash of every embryo's frames, measured Ezrin and labels, by name."""
    return {embryo.name: _fingerprint(embryo) for embryo in embryos}


def _fingerprint(embryo: Embryo) -> str:
    digest = hashlib.sha256(repr((embryo.group, embryo.dic.shape)).encode())
    for array in (embryo.dic, embryo.measured, embryo.after):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _check_same(path: Path, settings: Mapping[str, Any]) -> None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); name another --out") from error
    if kept == settings:
        return
    before, now = dict(_leaves(kept)), dict(_leaves(settings))
    absent = "absent"
    changed = min(
        name
        for name in before.keys() | now.keys()
        if before.get(name, absent) != now.get(name, absent)
    )
    raise InputError(
        f"{path.parent}: holds an evaluation of other settings ({changed} is "
        f"{now.get(changed, absent)!r} now, and was {before.get(changed, absent)!r}); name another "
        "--out"
    )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Everything within nested tables, by its dotted name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value
