"""What EZRIN predicted out of fold shows, and what it does for the onset.

    python benchmarks/ezrin.py WORKDIR figures|caps|arms|instead|uncertainty|attribution|picture

The embryos and networks are those of `configs/polarity.toml`: EZRIN of every embryo comes from the
one of `ezrin.folds` networks that never saw it, kept in WORKDIR/ezrin as `isl train` keeps them.
`figures`: what they show, beside an outline and another time. `caps`: how far the brightest
twentieth of an embryo's pixels stands out. `arms`: the onset of every embryo by members that were
fitted without it, in the protocol of the default model; EZRIN of the others may come from a network
that saw the held-out embryo's images, never its onset. `instead`: what the arm of both says when
EZRIN gives way to zeros, another time's, or a disc. `uncertainty`: the onset's intervals when EZRIN
is not only its mean but its distribution.
`attribution`: where in held-out DIC frames the members read what they say, by their exact maps and
by what is left when the embryo, or what is around it, is made flat.
`picture`: WORKDIR/ezrin.png, of some embryos DIC, measured and predicted EZRIN, the latter two
stretched alike within the embryo.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from isl.config import load_toml
from isl.labeling.dataset import load_manifest
from isl.labeling.model import load_model
from isl.polarity.classifier import AFTER
from isl.polarity.embryo import Embryo, load_embryos
from isl.polarity.model import logits_of_features, seen_by
from isl.polarity.pretrained import FrozenFeatures, PretrainedConfig
from isl_eval.polarity.clips import judge_clips
from isl_eval.polarity.ezrin import FIGURES, RIVALS, SEEN, embryo_mask, ezrin_figures, filled
from isl_eval.polarity.judge import Contender, compare, judge_arm, judge_baselines, judge_ezrin
from isl_eval.polarity.predictions import HeldOut
from isl_eval.statistics.bootstrap import Interval, Resampling, bootstrap_one
from isl_train.labeling.config import LabelingConfig
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.crossfit import Crossfit, folds_of, predicted_ezrin
from isl_train.polarity.logistic import (
    Features,
    HeldOutEmbryo,
    alike,
    calibrate,
    features_of,
    fit_members,
    logistic_regression,
    probabilities,
)

CONFIGS = Path(__file__).parents[1] / "configs"
RESAMPLING = Resampling(replicates=1000)
SOFTNESS = 1.5
SHOWN = ("E118", "E133", "E147", "E153")
# A cell's cortex: so many pixels from an embryo's border.
RIM = 20
# Caps and contacts are among what is as bright as this percentile of an embryo's pixels.
BRIGHT = 95
DISC = ndimage.generate_binary_structure(2, 1)
ARMS = ("dic", "dic+ezrin", "ezrin", "measured")
# Of the pixels' distributions, all of which are moved together: quantiles, in deviations.
DRAWS = (-1.28, 0.0, 1.28)


class Ground:
    """Embryos and their EZRIN out of fold."""

    def __init__(self, workdir: Path) -> None:
        """Networks that are not there yet are trained."""
        self.experiment = load_toml(CONFIGS / "polarity.toml", PolarityExperiment)
        manifest = load_manifest(CONFIGS / self.experiment.dataset)
        self.embryos = load_embryos(manifest)
        labeling = load_toml(CONFIGS / self.experiment.ezrin.experiment, LabelingConfig)
        self.crossfit = Crossfit(
            labeling,
            CONFIGS,
            workdir / "ezrin",
            folds_of(self.embryos, self.experiment.ezrin.folds),
            say=functools.partial(print, flush=True),
        )
        self._kept = workdir / "features"
        self._kept.mkdir(parents=True, exist_ok=True)

    def features(self, arm: str, instead: str = "") -> Features:
        """What members of an arm read, kept in the folder."""

        def ezrin(embryo: Embryo) -> np.ndarray:
            needed = arm == "ezrin"
            found = self.crossfit.predicted(embryo) if needed else np.zeros_like(embryo.dic)
            return replaced(found, instead)

        return self._seen(arm, f"{arm}{instead}", ezrin)

    def both(self, instead: str = "") -> Features:
        """Of DIC and predicted EZRIN, side by side."""
        return beside(self.features("dic"), self.features("ezrin", instead))

    def drawn(self, z: float) -> Features:
        """What members read of predicted EZRIN that is moved by `z` of its deviations, kept."""
        if z == 0:
            return self.features("ezrin")

        def moved(embryo: Embryo) -> np.ndarray:
            return np.clip(self.crossfit.predicted(embryo) + z * self.deviation(embryo), 0, 1)

        return self._seen("ezrin", f"ezrin {z:+.2f}", moved)

    def _seen(self, arm: str, kept_as: str, ezrin: Callable[[Embryo], np.ndarray]) -> Features:
        file = self._kept / f"{kept_as}.npz"
        experiment = self.experiment.model_copy(update={"arm": arm})
        if not file.is_file():
            found = {}
            for embryo in self.embryos:
                looks = features_of(experiment, [embryo], {embryo.name: ezrin(embryo)})
                found |= {f"{embryo.name} {n}": look for n, look in enumerate(looks[embryo.name])}
            np.savez(file, **found)
        stored = np.load(file)
        looks = range(experiment.members)
        return {e.name: [stored[f"{e.name} {n}"] for n in looks] for e in self.embryos}

    def deviation(self, embryo: Embryo) -> np.ndarray:
        """The deviation of the predicted distributions, float32 [T, Y, X], kept."""
        file = self._kept / f"deviation {embryo.name}.npy"
        if not file.is_file():
            own = next(fold for fold in self.crossfit.folds if embryo.group in fold)
            model = load_model(self.crossfit.model_without(own))
            np.save(file, predicted_ezrin(model, embryo, "standard_deviation"))
        return np.load(file)


def beside(one: Features, other: Features) -> Features:
    """Of both, look by look."""
    return {
        name: [np.concatenate(pair, axis=-1) for pair in zip(looks, other[name], strict=True)]
        for name, looks in one.items()
    }


def replaced(ezrin: np.ndarray, instead: str) -> np.ndarray:
    """Zeros, another time's or a disc where the embryo is, in place of EZRIN [T, Y, X]."""
    if instead == "zeros":
        return np.zeros_like(ezrin)
    if instead == "another time":
        return np.roll(ezrin, len(ezrin) // 2, axis=0)
    if instead == "disc":
        return np.stack([filled(embryo_mask(frame)) for frame in ezrin]).astype(np.float32)
    return ezrin


def held_out_members(
    embryos: Sequence[Embryo], features: Features, penalty: float, shown: Features | None = None
) -> list[HeldOutEmbryo]:
    """What members fitted without each embryo say of it, shown the same or something else."""
    found = []
    for embryo in embryos:
        others = [each for each in embryos if each.group != embryo.group]
        members = fit_members(others, features, penalty)
        logits = logits_of_features(members, (shown or features)[embryo.name])
        found.append(HeldOutEmbryo(embryo=embryo, members=probabilities(logits), novelty=1.0))
    return found


def softened(
    embryos: Sequence[Embryo], features: Features, penalty: float, softness: float
) -> list[HeldOutEmbryo]:
    """As `held_out_members`, of targets that rise over some frames around the onset, not at once.

    A frame of target s counts as one after the onset with weight s, and as one before with 1 - s.
    """
    found = []
    for embryo in embryos:
        others = [each for each in embryos if each.group != embryo.group]
        weights = np.concatenate([alike(each.after) for each in others])
        places = [np.arange(len(e.after)) + 0.5 - float(np.argmax(e.after)) for e in others]
        target = 0.5 * (1 + np.tanh(0.5 * np.concatenate(places) / softness))
        both = np.concatenate([weights * target, weights * (1 - target)])
        after = np.repeat([True, False], len(target))
        members = []
        for look, own in enumerate(features[embryo.name]):
            read = np.tile(np.concatenate([features[e.name][look] for e in others]), (2, 1))
            fit = logistic_regression(read, after, both, penalty)
            members.append(0.5 * (1 + np.tanh(0.5 * (own @ fit.slope + fit.offset))))
        found.append(HeldOutEmbryo(embryo=embryo, members=np.stack(members), novelty=1.0))
    return found


def judged(name: str, held: Sequence[HeldOutEmbryo]) -> tuple[Contender, list[HeldOut]]:
    """Each embryo's interval is calibrated without it."""
    made = []
    for number, one in enumerate(held):
        known = calibrate([*held[:number], *held[number + 1 :]])
        odds = np.log(one.members) - np.log1p(-one.members)
        made.append(
            HeldOut(
                logits={one.embryo.name: np.stack([-odds / 2, odds / 2], axis=-1)},
                combine="mean",
                threshold=0.5,
                temper=known.temper,
                spread=known.spread,
            )
        )
    return judge_arm(name, made, [one.embryo for one in held], RESAMPLING), made


def figures(ground: Ground) -> None:
    """Prints what predicted EZRIN shows."""
    agreement = {}
    print(f"{'embryo':>8} " + " ".join(f"{name:>8}" for name in FIGURES))
    for embryo in ground.embryos:
        assert embryo.measured is not None
        found = ezrin_figures(ground.crossfit.predicted(embryo), embryo.measured)
        agreement[embryo.name] = found
        means = np.nanmean(found[:, 0], axis=0)
        print(f"{embryo.name:>8} " + " ".join(f"{value:8.3f}" for value in means), flush=True)
    scores = judge_ezrin(agreement, ground.embryos, RESAMPLING)
    assert scores is not None
    for figure, words in FIGURES.items():
        print(words)
        for seen in SEEN:
            print(f"{seen:>20} {words_of(scores.means[seen][figure])}")
        for rival in RIVALS:
            print(f"{'lead over ' + rival:>28} {words_of(scores.leads[rival][figure])}")


def caps(ground: Ground) -> None:
    """Prints how much of the step from an embryo's mean to its brightest pixels is predicted."""
    for embryo in ground.embryos:
        assert embryo.measured is not None
        steps = []
        for seen, told in zip(embryo.measured, ground.crossfit.predicted(embryo), strict=True):
            mask = embryo_mask(seen)
            if not mask.any():
                continue
            bright = mask & (seen >= np.percentile(seen[mask], BRIGHT))
            steps.append([image[bright].mean() - image[mask].mean() for image in (seen, told)])
        measured, predicted = np.mean(steps, axis=0)
        print(f"{embryo.name}: {measured:.3f} measured, {predicted / measured:.3f} of it predicted")


def arms(ground: Ground) -> None:
    """Prints how well each arm tells the onset."""
    done: dict[str, Contender] = {}
    penalty = ground.experiment.penalty
    for arm in ARMS:
        features = ground.both() if arm == "dic+ezrin" else ground.features(arm)
        held = held_out_members(ground.embryos, features, penalty)
        done[arm], made = judged(arm, held)
        print_contender(done[arm])
        clips = judge_clips(arm, made, ground.embryos, RESAMPLING)
        if clips is not None:
            print(f"    clips: AUC {words_of(clips.auc)}, lead {words_of(clips.lead)}")
        soft = softened(ground.embryos, features, penalty, SOFTNESS)
        print_contender(judged(f"{arm}, soft targets", soft)[0])
    for baseline in judge_baselines(ground.embryos, RESAMPLING):
        print_contender(baseline)
    for arm in ARMS[1:]:
        against = compare(done[arm], done["dic"], RESAMPLING)
        auc = words_of(against.auc) if against.auc else ""
        onset = words_of(against.onset_error["posterior"])
        print(f"{arm} less dic: AUC {auc}, accuracy {words_of(against.accuracy)}, onset {onset}")


def print_contender(contender: Contender) -> None:
    """A line or three."""
    found = contender.by_embryo
    auc = words_of(found["auc"]) if "auc" in found else ""
    print(f"{contender.name}: AUC {auc}, accuracy {words_of(found['accuracy'])}", flush=True)
    if contender.in_time is not None:
        in_time = contender.in_time
        print(f"    in time: {words_of(in_time['auc'])}, {words_of(in_time['accuracy'])}")
    for rule, scores in contender.onsets.items():
        width = scores.coverage
        covered = "" if width is None else f", {width.covered} held, {width.mean_width:.1f} wide"
        verdicts = "" if scores.verdicts is None else f", {dict(scores.verdicts)}"
        print(f"    onset, {rule}: {words_of(scores.mean)} frames off{covered}{verdicts}")


def instead_of_ezrin(ground: Ground) -> None:
    """Prints what the arm of both says when EZRIN is replaced."""
    penalty = ground.experiment.penalty
    features = ground.both()
    plain = held_out_members(ground.embryos, features, penalty)
    print_contender(judged("dic+ezrin", plain)[0])
    for instead in ("zeros", "another time", "disc"):
        shown = ground.both(instead)
        other = held_out_members(ground.embryos, features, penalty, shown)
        pairs = zip(plain, other, strict=True)
        moved = [np.abs(a.members.mean(axis=0) - b.members.mean(axis=0)).mean() for a, b in pairs]
        print(f"{instead}: P moves by {np.mean(moved):.3f} (embryos {np.round(moved, 3).tolist()})")
        print_contender(judged(f"with {instead}", other)[0])


def uncertainty(ground: Ground) -> None:
    """Prints the onset's intervals with EZRIN's mean alone and with its distribution."""
    penalty = ground.experiment.penalty
    for arm in ("ezrin", "dic+ezrin"):
        draws = [ground.drawn(z) for z in DRAWS]
        if arm == "dic+ezrin":
            draws = [beside(ground.features("dic"), draw) for draw in draws]
        middle = draws[len(draws) // 2]
        told = [held_out_members(ground.embryos, middle, penalty, draw) for draw in draws]
        mixed = [
            HeldOutEmbryo(
                embryo=each[0].embryo,
                members=np.concatenate([one.members for one in each]),
                novelty=1.0,
            )
            for each in zip(*told, strict=True)
        ]
        alone, _ = judged(arm, told[len(draws) // 2])
        drawn, _ = judged(f"{arm}, drawn", mixed)
        for contender in (alone, drawn):
            print_contender(contender)
        less = compare(drawn, alone, RESAMPLING)
        auc = words_of(less.auc) if less.auc else ""
        onset = words_of(less.onset_error["posterior"])
        print(f"{arm}, drawn less mean alone: AUC {auc}, onset {onset}")
        moved = [
            np.abs(a.members.mean(axis=0) - b.members.mean(axis=0)).mean()
            for a, b in zip(told[0], told[-1], strict=True)
        ]
        print(f"P moves by {np.mean(moved):.3f} from the lower draw to the upper")


def attribution(ground: Ground) -> None:
    """Prints the share of members' maps in the embryo, and what they say of it and without it."""
    experiment = ground.experiment.model_copy(update={"arm": "dic"})
    features = ground.features("dic")
    assert isinstance(experiment.backbone, PretrainedConfig)
    frozen = FrozenFeatures(experiment.backbone)
    rows = []
    said = {name: [] for name in ("whole", "embryo alone", "no embryo")}
    for embryo in ground.embryos:
        assert embryo.measured is not None
        masks = np.stack([embryo_mask(frame) for frame in embryo.measured])
        rims = masks & ~ndimage.binary_erosion(masks, DISC[None], iterations=RIM)
        means = np.stack([frame.mean() for frame in embryo.dic])[:, None, None]
        shown = {
            "whole": embryo.dic,
            "embryo alone": np.where(masks, embryo.dic, means),
            "no embryo": np.where(masks, means, embryo.dic),
        }
        others = [each for each in ground.embryos if each.group != embryo.group]
        members = fit_members(others, features, experiment.penalty)
        look = experiment.look_at(ground.embryos)
        for name, images in shown.items():
            views = seen_by(look, images, np.zeros_like(images), embryo.measured)
            logits = logits_of_features(members, frozen.of_views(views))
            held = HeldOutEmbryo(embryo=embryo, members=probabilities(logits), novelty=1.0)
            said[name].append(held)
        views = seen_by(look, embryo.dic, embryo.dic, embryo.measured)
        kernels = [np.asarray(member.kernel[...]) for member in members]
        maps = frozen.contributions(views, kernels)
        speaks = np.abs(maps[..., AFTER] - maps[..., 1 - AFTER])
        areas = [shares_of(places, speaks.shape[1:]) for places in (masks, rims)]
        whole = speaks.sum(axis=(1, 2))
        parts = [((speaks * area).sum(axis=(1, 2)) / whole).mean() for area in areas]
        rows.append([*parts, *(area.mean() for area in areas)])
        print(embryo.name, " ".join(f"{value:.3f}" for value in rows[-1]), flush=True)
    values = np.array(rows)
    for number, name in enumerate(("embryo", "rim")):
        denser = values[:, number] / values[:, number + 2]
        found = bootstrap_one(
            np.mean, [denser], groups=np.arange(len(denser)), **RESAMPLING.settings
        )
        share, area = values[:, number].mean(), values[:, number + 2].mean()
        print(f"{name}: {share:.3f} of the maps on {area:.3f} of the frame,", end=" ")
        print(f"{words_of(found)} as dense")
    for name, held in said.items():
        print_contender(judged(name, held)[0])


def shares_of(places: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Of bool [T, Y, X] the share of each of `size` cells that is so, float [T, y, x]."""
    cells = [
        np.asarray(
            Image.fromarray(frame.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
        )
        for frame in places
    ]
    return np.stack(cells)


def picture(ground: Ground, workdir: Path) -> None:
    """Draws a frame well before the onset of each embryo, and one well after."""
    rows = []
    for embryo in ground.embryos:
        if embryo.name not in SHOWN:
            continue
        assert embryo.measured is not None
        assert embryo.onset is not None
        ezrin = ground.crossfit.predicted(embryo)
        tiles = []
        for t in (embryo.onset // 2, (embryo.onset + len(ezrin)) // 2):
            mask = embryo_mask(embryo.measured[t])
            tiles.append(embryo.dic[t])
            tiles += [within(image[t], mask) for image in (embryo.measured, ezrin)]
        rows.append(np.concatenate(tiles, axis=1))
    whole = (255 * np.clip(np.concatenate(rows), 0, 1)).astype(np.uint8)
    Image.fromarray(whole).reduce(2).save(workdir / "ezrin.png")


def within(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Without its noise of single pixels, stretched from a low to a high value in the embryo."""
    calm = ndimage.gaussian_filter(image, 1.5)
    low, high = np.percentile(calm[mask], (2, 99.5))
    return (calm - 0.8 * low) / (high - 0.8 * low)


def words_of(interval: Interval) -> str:
    """With its bounds."""
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    ground = Ground(folder)
    ways = {
        "figures": figures,
        "caps": caps,
        "arms": arms,
        "instead": instead_of_ezrin,
        "uncertainty": uncertainty,
        "attribution": attribution,
        "picture": functools.partial(picture, workdir=folder),
    }
    ways[sys.argv[2]](ground)
