"""What predicted EZRIN is worth on phantom embryos that nothing in the chain has seen.

    python benchmarks/embryo_chain.py WORKDIR arms|uncertainty|projections|picture
    python benchmarks/embryo_chain.py WORKDIR chains OTHER_WORKDIR...
    python benchmarks/embryo_chain.py WORKDIR caps OTHER_DATASET

WORKDIR is that of `isl train configs/embryo_chain.toml`, which comes first. The onset is learned
from the embryos that EZRIN's network has not learned from, as there, and judged on those of split
"validation", which nothing has seen.

`arms`: EZRIN as predicted beside its truth, and the onset from DIC, from predicted EZRIN, from both
and from the true Ezrin, with intervals over embryos. `uncertainty`: the onset's intervals when
EZRIN is not only its mean but its distribution. `projections`: DIC all in focus, its median plane
and its maximum. `picture`: WORKDIR/embryo_chain.png. `chains`: other networks of EZRIN (towers, one
that the onset's loss has reached) against that of WORKDIR. `caps`: the same embryos whose caps bend
and absorb no light (`isl phantom --set caps=0`), by DIC, each embryo left out in turn.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ezrin import DRAWS, beside, held_out_members, print_contender, words_of
from ezrin import judged as judged_left_out
from PIL import Image

from isl.config import load_toml
from isl.labeling.dataset import load_manifest
from isl.labeling.model import load_model
from isl.polarity.embryo import Embryo, load_embryos
from isl.polarity.focus import stretched
from isl.polarity.model import logits_of_features
from isl_eval.polarity.ezrin import FIGURES, SEEN, ezrin_figures
from isl_eval.polarity.judge import Contender, compare, judge_arm, judge_baselines, judge_ezrin
from isl_eval.polarity.predictions import HeldOut
from isl_eval.statistics.bootstrap import Resampling
from isl_train.polarity.config import PolarityExperiment
from isl_train.polarity.crossfit import predicted_ezrin, set_apart
from isl_train.polarity.logistic import (
    Features,
    HeldOutEmbryo,
    calibrate,
    features_of,
    fit_members,
    held_out,
    probabilities,
)

CONFIG = Path(__file__).parents[1] / "configs" / "embryo_chain.toml"
RESAMPLING = Resampling(replicates=1000)
ARMS = ("dic", "ezrin", "dic+ezrin", "measured")
SHOWN = 4


class Ground:
    """Embryos with their EZRIN: those whom the onset is learned from, and those judged.

    What the frozen encoder sees of them is kept in WORKDIR/benchmark.
    """

    def __init__(self, workdir: Path) -> None:
        """Reads them, and predicts EZRIN where that is not kept in the folder yet."""
        self.experiment = load_toml(CONFIG, PolarityExperiment)
        assert self.experiment.ezrin.share is not None
        self._kept = workdir / "benchmark"
        self._kept.mkdir(parents=True, exist_ok=True)
        embryos = load_embryos(load_manifest(CONFIG.parent / self.experiment.dataset))
        train = [embryo for embryo in embryos if embryo.split == "train"]
        self.learned = set_apart(train, self.experiment.ezrin.share)
        self.judged = tuple(each for each in embryos if each.split == "validation")
        self._model = load_model(workdir / "model" / "ezrin")
        assert not set(self._model.config.trained_on or ()) & {each.group for each in self.all}

    @property
    def all(self) -> tuple[Embryo, ...]:
        """Everybody that EZRIN's network has not learned from."""
        return (*self.learned, *self.judged)

    def ezrin(self, embryo: Embryo) -> np.ndarray:
        """Mean and deviation of the predicted distributions, float32 [2, T, Y, X]."""
        file = self._kept / f"{self._model.hash[:12]}-{embryo.name}.npy"
        if not file.is_file():
            statistics = ("mean", "standard_deviation")
            np.save(file, np.stack([predicted_ezrin(self._model, embryo, s) for s in statistics]))
        return np.load(file)

    def features(self, arm: str, z: float = 0.0) -> Features:
        """What members of an arm read of everybody; EZRIN moved by `z` of its deviations."""
        if arm == "dic+ezrin":
            return beside(self.features("dic"), self.features("ezrin", z))
        if arm != "ezrin":
            return self._seen(arm, arm, lambda embryo: np.zeros_like(embryo.dic))

        def moved(embryo: Embryo) -> np.ndarray:
            mean, deviation = self.ezrin(embryo)
            return np.clip(mean + z * deviation, 0, 1)

        return self._seen(arm, f"{self._model.hash[:12]} {z:+.2f}", moved)

    def projected(self, name: str, project: Callable[[np.ndarray], np.ndarray]) -> Features:
        """What members read of DIC whose stacks become one image in another way."""

        def of(embryo: Embryo) -> Embryo:
            assert embryo.stacks is not None
            return dataclasses.replace(embryo, dic=stretched(project(embryo.stacks)))

        return self._seen("dic", name, lambda embryo: np.zeros_like(embryo.dic), of)

    def instead(self, name: str, others: Mapping[str, Embryo]) -> Features:
        """What members read of DIC of other embryos, of the same names."""
        return self._seen(
            "dic", name, lambda embryo: np.zeros_like(embryo.dic), lambda each: others[each.name]
        )

    def _seen(
        self,
        arm: str,
        kept_as: str,
        ezrin: Callable[[Embryo], np.ndarray],
        of: Callable[[Embryo], Embryo] = lambda embryo: embryo,
    ) -> Features:
        experiment = self.experiment.model_copy(update={"arm": arm})
        found = {}
        for embryo in self.all:
            file = self._kept / f"{kept_as}-{embryo.name}.npz"
            if not file.is_file():
                looks = features_of(experiment, [of(embryo)], {embryo.name: ezrin(embryo)})
                np.savez(file, *looks[embryo.name])
            with np.load(file) as stored:
                found[embryo.name] = [stored[name] for name in stored.files]
        return found


def judged(name: str, ground: Ground, features: Sequence[Features]) -> Contender:
    """Members fitted on those learned from, calibrated there, and asked of those judged.

    Args:
        name: Of the arm.
        ground: Who.
        features: Of everybody, once for every draw of EZRIN; what they lead to is mixed. Members
            are fitted on the middle one.
    """
    penalty = ground.experiment.penalty
    middle = features[len(features) // 2]
    members = fit_members(ground.learned, middle, penalty)

    def mixed(embryo: Embryo, fitted: Sequence) -> np.ndarray:
        return np.concatenate(
            [probabilities(logits_of_features(fitted, each[embryo.name])) for each in features]
        )

    held: list[HeldOutEmbryo] = []
    if len(features) == 1:
        held = list(held_out(ground.learned, middle, penalty).values())
    else:
        for embryo in ground.learned:
            others = [each for each in ground.learned if each.group != embryo.group]
            fitted = fit_members(others, middle, penalty)
            held.append(HeldOutEmbryo(embryo=embryo, members=mixed(embryo, fitted), novelty=1.0))
    known = calibrate(held)
    logits = {}
    for embryo in ground.judged:
        said = mixed(embryo, members)
        odds = np.log(said) - np.log1p(-said)
        logits[embryo.name] = np.stack([-odds / 2, odds / 2], axis=-1)
    made = HeldOut(
        logits=logits, combine="mean", threshold=0.5, temper=known.temper, spread=known.spread
    )
    print(f"{name}: temper {known.temper:.2f}, spread {known.spread:.2f}", flush=True)
    return judge_arm(name, [made], ground.judged, RESAMPLING)


def less(one: Contender, other: Contender) -> None:
    """Prints the differences."""
    found = compare(one, other, RESAMPLING)
    auc = words_of(found.auc) if found.auc else ""
    print(
        f"{one.name} less {other.name}: AUC {auc}, accuracy {words_of(found.accuracy)}, onset "
        f"{words_of(found.onset_error['posterior'])}",
        flush=True,
    )


def arms(ground: Ground) -> None:
    """Prints what EZRIN shows, and how well each arm tells the onset."""
    show_agreement(ground)
    done = {arm: judged(arm, ground, [ground.features(arm)]) for arm in ARMS}
    for contender in (*done.values(), *judge_baselines(ground.judged, RESAMPLING)):
        print_contender(contender)
    for arm in ARMS[1:]:
        less(done[arm], done["dic"])
    less(done["measured"], done["ezrin"])


def show_agreement(ground: Ground) -> None:
    """Prints what EZRIN shows of its truth."""
    agreement = {}
    for embryo in ground.judged:
        assert embryo.measured is not None
        agreement[embryo.name] = ezrin_figures(ground.ezrin(embryo)[0], embryo.measured)
    scores = judge_ezrin(agreement, ground.judged, RESAMPLING)
    assert scores is not None
    for figure, words in FIGURES.items():
        found = ", ".join(f"{seen} {words_of(scores.means[seen][figure])}" for seen in SEEN)
        print(f"{words}: {found}")


def uncertainty(ground: Ground) -> None:
    """Prints the onset's intervals with EZRIN's mean alone and with its distribution."""
    for arm in ("ezrin", "dic+ezrin"):
        alone = judged(arm, ground, [ground.features(arm)])
        drawn = judged(f"{arm}, drawn", ground, [ground.features(arm, z) for z in DRAWS])
        for contender in (alone, drawn):
            print_contender(contender)
        less(drawn, alone)


def projections(ground: Ground) -> None:
    """Prints how well DIC tells the onset, by how its stacks become one image."""
    fused = judged("dic, all in focus", ground, [ground.features("dic")])
    print_contender(fused)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "median plane": lambda stacks: stacks[:, stacks.shape[1] // 2],
        "maximum": lambda stacks: stacks.max(axis=1),
    }
    for name, project in ways.items():
        contender = judged(f"dic, {name}", ground, [ground.projected(name, project)])
        print_contender(contender)
        less(contender, fused)


def chains(ground: Ground, others: Sequence[Path]) -> None:
    """Prints what EZRIN of other networks shows, and how well the onset is told by it."""
    grounds = {"this": ground, **{folder.name: Ground(folder) for folder in others}}
    for arm in ("ezrin", "dic+ezrin"):
        done = []
        for name, each in grounds.items():
            if arm == "ezrin":
                print(name)
                show_agreement(each)
            done.append(judged(f"{arm}, {name}", each, [each.features(arm)]))
            print_contender(done[-1])
        for other in done[1:]:
            less(other, done[0])


def caps(ground: Ground, dataset: Path) -> None:
    """Prints what a classifier of DIC frames has of the caps: how much it loses without them."""
    bare = {embryo.name: embryo for embryo in load_embryos(load_manifest(dataset))}
    digest = hashlib.sha256(str(dataset.resolve()).encode() + dataset.read_bytes()).hexdigest()
    for embryo in ground.all:
        assert np.array_equal(embryo.after, bare[embryo.name].after), embryo.name
    penalty = ground.experiment.penalty
    done = []
    for name, features in (
        ("caps", ground.features("dic")),
        ("no caps", ground.instead(f"dic of {digest[:8]}", bare)),
    ):
        held = held_out_members(ground.all, features, penalty)
        done.append(judged_left_out(name, held)[0])
        print_contender(done[-1])
    less(*done)


def picture(ground: Ground, workdir: Path) -> None:
    """Draws DIC, true and predicted EZRIN and its deviation around the onset of some embryos."""
    rows = []
    for embryo in [each for each in ground.judged if each.onset][:SHOWN]:
        assert embryo.measured is not None
        assert embryo.onset is not None
        last = len(embryo.dic) - 1
        some = [min(max(embryo.onset + step, 0), last) for step in (-4, -1, 0, 2, 5)]
        mean, deviation = ground.ezrin(embryo)
        rows += [
            np.concatenate(list(image[some]), axis=1)
            for image in (embryo.dic, embryo.measured, mean, deviation * 2)
        ]
    whole = (255 * np.clip(np.concatenate(rows), 0, 1)).astype(np.uint8)
    Image.fromarray(whole).save(workdir / "embryo_chain.png")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    ways = {
        "arms": arms,
        "uncertainty": uncertainty,
        "projections": projections,
        "picture": functools.partial(picture, workdir=folder),
        "chains": functools.partial(chains, others=list(map(Path, sys.argv[3:]))),
        "caps": lambda ground: caps(ground, Path(sys.argv[3])),
    }
    ways[sys.argv[2]](Ground(folder))
