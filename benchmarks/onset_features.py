"""What other features of frames, turned frames and parts of recordings do to the onset.

    python benchmarks/onset_features.py WORKDIR

Logistic regressions as in `configs/polarity.toml`, each of the eleven embryos left out in turn;
what the encoder sees of DIC frames is kept in WORKDIR.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ezrin import Ground, held_out_members

from isl.polarity.embryo import Embryo
from isl.polarity.model import Sight, orientations, seen_by
from isl.polarity.onset import find_onset
from isl.polarity.pretrained import FrozenFeatures, Look, PretrainedConfig
from isl_train.polarity.logistic import Features, HeldOutEmbryo, calibrate, held_out_figures

STRIDES = (4, 8, 16, 32)
SHIPPED = tuple(f"{pool} {stride}" for pool in ("mean", "deviation") for stride in (16, 32))
UPRIGHT, QUARTER, MIRRORED = 0, 1, 4
"""Orientations, each with its half turn, which is what the encoder is asked for."""
FEWEST = 4

Kept = Mapping[str, np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]


def kept_features(workdir: Path, ground: Ground, size: int) -> Kept:
    """By embryo, orientation, pool and stride what is seen of frames, float32 [T, depth]."""
    file = workdir / "features" / f"every_look_{size}.npz"
    looks = [Look(stride=s, pool=p) for p in ("mean", "deviation") for s in STRIDES]
    frozen = FrozenFeatures(PretrainedConfig(looks=tuple(looks)))
    if not file.is_file():
        found = {}
        experiment = ground.experiment
        sight = experiment.sight.model_copy(update={"size": size})
        look: Sight = experiment.model_copy(update={"sight": sight}).look_at(ground.embryos)
        for embryo in ground.embryos:
            views = seen_by(look, embryo.dic, embryo.dic, embryo.dic)
            turned = orientations(views)
            # An orientation and its half turn are seen together.
            for place in (UPRIGHT, QUARTER, MIRRORED, MIRRORED + 1):
                read = frozen.of_views(turned[place])
                for each, rows in zip(looks, read, strict=True):
                    found[f"{embryo.name} {place} {each.pool} {each.stride}"] = rows
        np.savez(file, **found)
    return np.load(file)


def features(
    kept: Kept,
    embryos: Sequence[Embryo],
    looks: Sequence[str] = SHIPPED,
    places: Sequence[int] = (UPRIGHT,),
    change: Change = np.asarray,
) -> Features:
    """What members read, the mean over orientations."""
    return {
        e.name: [
            change(np.mean([kept[f"{e.name} {place} {look}"] for place in places], axis=0))
            for look in looks
        ]
        for e in embryos
    }


def smoothed(reach: int) -> Change:
    """The mean over so many frames before and behind."""

    def change(rows: np.ndarray) -> np.ndarray:
        times = range(len(rows))
        return np.stack([rows[max(0, t - reach) : t + reach + 1].mean(axis=0) for t in times])

    return change


def with_slope(reach: int) -> Change:
    """Beside it, by how much the frames behind differ from those before."""

    def change(rows: np.ndarray) -> np.ndarray:
        times = range(len(rows))
        behind = np.stack([rows[t : t + reach + 1].mean(axis=0) for t in times])
        before = np.stack([rows[max(0, t - reach) : t + 1].mean(axis=0) for t in times])
        return np.concatenate([rows, behind - before], axis=-1)

    return change


def signed_logarithm(rows: np.ndarray) -> np.ndarray:
    """Small numbers as they are, large ones less so."""
    return np.sign(rows) * np.log1p(np.abs(rows))


def report(name: str, held: Sequence[HeldOutEmbryo]) -> None:
    """A line."""
    figures = held_out_figures(held, "posterior")
    print(f"{name:>34} " + " ".join(f"{value:7.3f}" for value in figures.values()), flush=True)


def parts(held: Sequence[HeldOutEmbryo]) -> None:
    """Prints what is said of frames from before the onset alone, and from after it."""
    for what in ("before", "after"):
        for n, one in enumerate(held):
            onset, last = one.embryo.onset, len(one.embryo.after)
            assert onset is not None
            cut = slice(0, onset) if what == "before" else slice(onset, last)
            shown = one.members[:, cut]
            if shown.shape[1] < FEWEST:
                continue
            known = calibrate([*held[:n], *held[n + 1 :]])
            found = find_onset(shown, rule="posterior", temper=known.temper, spread=known.spread)
            print(
                f"{what} the onset alone, {one.embryo.name}: {shown.shape[1]} frames, "
                f"{found.verdict}, {found.frame} ({found.low} to {found.high})"
            )


def main(workdir: Path) -> None:
    """Prints a line for everything."""
    ground = Ground(workdir)
    embryos, penalty = ground.embryos, ground.experiment.penalty
    kept, larger = (kept_features(workdir, ground, size) for size in (224, 320))
    every = [f"{pool} {stride}" for pool in ("mean", "deviation") for stride in STRIDES]
    plain = features(kept, embryos)
    ways: dict[str, tuple[Features, float]] = {
        "as shipped": (plain, penalty),
        "eight orientations": (
            features(kept, embryos, places=(UPRIGHT, QUARTER, MIRRORED, MIRRORED + 1)),
            penalty,
        ),
        "strides 8, 16, 32": (
            features(kept, embryos, [each for each in every if not each.endswith(" 4")]),
            penalty,
        ),
        "strides 4, 8, 16, 32": (features(kept, embryos, every), penalty),
        "320 pixels": (features(larger, embryos), penalty),
        "one regression on all": (
            {name: [np.concatenate(rows, axis=-1)] for name, rows in plain.items()},
            penalty,
        ),
        **{f"penalty {other}": (plain, other) for other in (300.0, 3000.0, 10000.0)},
        "logarithms": (features(kept, embryos, change=signed_logarithm), penalty),
        **{
            f"mean over {2 * reach + 1} frames": (
                features(kept, embryos, change=smoothed(reach)),
                penalty,
            )
            for reach in (1, 2, 4)
        },
        **{
            f"slopes over {2 * reach + 1} frames beside": (
                features(kept, embryos, change=with_slope(reach)),
                penalty,
            )
            for reach in (1, 2, 4)
        },
        "less the recording's mean": (
            features(kept, embryos, change=lambda rows: rows - rows.mean(axis=0)),
            penalty,
        ),
        "the first three's difference beside": (
            features(
                kept,
                embryos,
                change=lambda rows: np.concatenate([rows, rows - rows[:3].mean(axis=0)], axis=-1),
            ),
            penalty,
        ),
    }
    print("AUC, accuracy, both in time, onset error (mean, median), intervals that hold, width")
    for name, (read, own) in ways.items():
        report(name, held_out_members(embryos, read, own))
    held = held_out_members(embryos, plain, penalty)
    for name, place in (("a quarter", QUARTER), ("mirrored", MIRRORED)):
        shown = features(kept, embryos, places=(place,))
        turned = held_out_members(embryos, plain, penalty, shown)
        report(f"turned by {name}" if place == QUARTER else name, turned)
        pairs = zip(held, turned, strict=True)
        moved = [np.abs(a.members.mean(axis=0) - b.members.mean(axis=0)).mean() for a, b in pairs]
        print(f"    P moves by {np.mean(moved):.3f}")
    parts(held)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
