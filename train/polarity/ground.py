"""What members of an ensemble learn from: views of frames, and whether they are after the onset."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from isl.errors import InputError
from isl.polarity.embryo import Embryo
from isl.polarity.model import middles_in, views_of, window_of

from ..ground_hash import hash_of
from .config import PolarityExperiment


class Ground:
    """What all members of an ensemble learn from; N frames, C channels.

    Attributes:
        views: float32 [N, size, size, C], and measured Ezrin as one channel more where an
            auxiliary head learns it.
        targets: float32 [N], the share of after onset.
        chances: float64 [N], how often each frame is drawn.
        names: N names of frames.
        sha256: Of the recordings.
    """

    def __init__(
        self,
        experiment: PolarityExperiment,
        embryos: Sequence[Embryo],
        ezrin: Mapping[str, np.ndarray],
        *,
        learned: Sequence[Embryo] | None = None,
    ) -> None:
        """Cuts the views of all embryos' frames, as wide as those of the ones learned from."""
        self.sha256 = recordings_hash(embryos)
        sight = experiment.sight
        look = experiment.look_at(embryos if learned is None else learned)
        views, targets, chances, self.names = [], [], [], []
        for embryo in embryos:
            predicted = ezrin[embryo.name]
            seen = predicted if experiment.arm != "measured" else _measured(embryo)
            window = window_of(look, max(embryo.dic.shape[1:]), embryo.pixel_size)
            middles = middles_in(look, predicted, window)
            cut = functools.partial(views_of, middles=middles, window=window, size=sight.size)
            channels = [cut(experiment.arm, embryo.dic, seen)]
            if experiment.loss.auxiliary:
                channels.append(cut("measured", embryo.dic, _measured(embryo)))
            views.append(np.concatenate(channels, axis=-1))
            targets.append(onset_targets(embryo, experiment.loss.softness))
            chances.append(drawing_weights(embryo.after, experiment.loss.balance))
            self.names += [f"{embryo.name} frame {t}" for t in range(len(embryo.dic))]
        self.views = np.concatenate(views)
        self.targets = np.concatenate(targets)
        weights = np.concatenate(chances)
        self.chances = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One frame: `views` [size, size, C], `targets` and `frame` as scalars."""
        index = int(rng.choice(len(self.chances), p=self.chances))
        return {
            "views": self.views[index],
            "targets": self.targets[index],
            "frame": np.asarray(index, np.int32),
        }


def recordings_hash(embryos: Sequence[Embryo]) -> str:
    """sha256 of frames as they were read, where somebody kept them, measured Ezrin and labels."""
    return hash_of(
        array
        for embryo in embryos
        for array in (
            embryo.dic if embryo.stacks is None else embryo.stacks,
            embryo.measured,
            embryo.after,
        )
    )


def onset_targets(embryo: Embryo, softness: float) -> np.ndarray:
    """The share of after onset that each frame should be given, float32 [T]."""
    if not softness:
        return embryo.after.astype(np.float32)
    count = len(embryo.after)
    onset = count if embryo.onset is None else embryo.onset
    since = np.arange(count) + 0.5 - onset
    return (1 / (1 + np.exp(-since / softness))).astype(np.float32)


def drawing_weights(after: np.ndarray, balance: int) -> np.ndarray:
    """How often each frame of one embryo is drawn, up to a factor, float64 [T]."""
    if not balance:
        return np.ones(len(after))
    counts = np.where(after, after.sum(), (~after).sum())
    return 1 / np.maximum(counts, balance)


def _measured(embryo: Embryo) -> np.ndarray:
    if embryo.measured is None:
        raise InputError(f"embryo '{embryo.name}' has no measured EZRIN, which this needs")
    return embryo.measured
