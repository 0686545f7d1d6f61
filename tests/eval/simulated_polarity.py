"""Embryos of a few pixels, and a trainers that knows the answers to a degree that tests choose."""

from pathlib import Path

import numpy as np
from PIL import Image

from isl.polarity.embryo import Embryo
from isl_eval.polarity.crossval import Trainers
from isl_eval.polarity.predictions import HeldOut

ONSETS = {"A": 3, "B": 5, "C": 6, "D": 4, "E": 7, "F": None}
FRAMES = 9
SIZE = 12


def make_embryo(
    name,
    onset,
    *,
    frames=FRAMES,
    group=None,
    compaction=None,
    interval=None,
    measured=True,
    split="train",
):
    rng = np.random.default_rng(sum(name.encode()))
    after = np.arange(frames) >= (frames if onset is None else onset)
    dic = rng.random((frames, SIZE, SIZE), np.float32)
    return Embryo(
        name=name,
        group=group or name,
        split=split,
        dic=dic,
        measured=(0.5 * dic + 0.25) if measured else None,
        after=after,
        onset=onset,
        compaction=compaction,
        interval=interval,
    )


def make_embryos(**options):
    return tuple(make_embryo(name, onset, **options) for name, onset in ONSETS.items())


def logits_of(embryo, *, late=0, members=3, strength=2.0, noise=0.0):
    """float32 [M, T, 2] of an ensemble that sees the onset `late` frames late."""
    onset = len(embryo.after) if embryo.onset is None else embryo.onset
    rng = np.random.default_rng(sum(embryo.name.encode()) + 1)
    since = np.arange(len(embryo.after)) + 0.5 - onset - late
    odds = strength * np.sign(since) + noise * rng.normal(size=(members, len(since)))
    logits = np.zeros((members, len(since), 2), np.float32)
    logits[..., 1] = odds
    return logits


def held_out(embryos, **options):
    return [
        HeldOut(
            logits={embryo.name: logits_of(embryo, **options) for embryo in embryos},
            combine="mean",
            threshold=0.5,
            seconds=1.0,
        )
    ]


class Recorder:
    """A cross-fit and a trainer that train nothing, and write down what they were asked for.

    Attributes:
        predicted: (embryo, what the labeling network had not seen) of every prediction.
        trained: (arm, embryos, folder of the run) of every training.
        asked: (folder of the model, embryo) of every question.
        fail_at: The training, counted from 1, at which it is interrupted; 0: never.
    """

    def __init__(self, ezrin_folds, *, late=None, fail_at=0):
        self.ezrin_folds = tuple(ezrin_folds)
        self.late = {"dic": 1, "ezrin": 2, "dic+ezrin": 0, "measured": 3} if late is None else late
        self.fail_at = fail_at
        self.predicted, self.trained, self.asked = [], [], []

    def trainers(self):
        return Trainers(
            ezrin=Crossfit(self),
            ezrin_folds=self.ezrin_folds,
            train=self.train,
            logits=self.logits,
        )

    def model_without(self, groups):
        return Path("without_" + "_".join(sorted(set(groups))))

    def ezrin_of(self, embryo, leave_out=()):
        own = next(fold for fold in self.ezrin_folds if embryo.group in fold)
        unseen = frozenset({*own, *leave_out})
        self.predicted.append((embryo.name, unseen))
        return embryo.dic + 0.001 * len(unseen)

    def train(self, experiment, embryos, ezrin, run, labeling_model):
        assert set(ezrin) == {embryo.name for embryo in embryos}
        assert experiment.ezrin.model == ""
        names = tuple(embryo.name for embryo in embryos)
        self.trained.append((experiment.arm, names, run, labeling_model))
        if self.fail_at == len(self.trained):
            raise KeyboardInterrupt
        return run / "model"

    def logits(self, model, embryo, ezrin):
        self.asked.append((model, embryo.name))
        arm = model.parent.name
        return logits_of(embryo, late=self.late[arm], noise=0.3)


class Crossfit:
    """Makes a recorder answer as a cross-fit does."""

    def __init__(self, recorder):
        self.recorder = recorder

    def model_without(self, groups):
        return self.recorder.model_without(groups)

    def predicted(self, embryo, *, leave_out=()):
        return self.recorder.ezrin_of(embryo, leave_out)


LABELING = """
task = "labeling"
dataset = "manifest.toml"
[network]
kind = "unet"
levels = 2
width = 4
[training]
steps = 2
batch_size = 2
crop = 32
batch_norm_decay = 0.5
[loss]
autoencoding = 0.0
labels = 1.0
"""

POLARITY = """
task = "polarity"
dataset = "manifest.toml"
members = 2
symmetries = false
[ezrin]
experiment = "ezrin.toml"
folds = 2
model = "ezrin-aif"
[backbone]
kind = "resnet"
depth = 10
width = 8
stem = "small"
[sight]
size = 16
[training]
steps = 2
batch_size = 2
reestimate_batches = 1
"""

EVALUATION = """
task = "polarity"
experiment = "polarity.toml"
folds = 3
replicates = 20
"""


def write_dataset(
    folder, onsets=None, *, frames=4, size=48, compaction=None, splits=None, labels=None
):
    """A manifest of time-lapses with its tables, and the three configurations beside it."""
    onsets = {"A": 1, "B": 2, "C": None} if onsets is None else onsets
    rows, tables = [], []
    for number, (name, onset) in enumerate(onsets.items()):
        rng = np.random.default_rng(number)
        for kind in ("dic", "ezrin"):
            (folder / kind / name).mkdir(parents=True)
        for t in range(frames):
            y, x = np.mgrid[:size, :size] - size / 2
            inside = np.hypot(y, x) < 0.35 * size
            light = np.where(inside, rng.normal(140, 40, inside.shape), 120)
            cap = np.where(inside, 180, 20) + rng.normal(0, 3, inside.shape)
            for kind, image in (("dic", light), ("ezrin", cap)):
                file = folder / kind / name / f"t{t:03d}.png"
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(file)
            after = int(onset is not None and t >= onset)
            if labels is not None and name in labels:
                after = labels[name][t]
            compacted = "" if compaction is None else f",{int(t >= compaction[name])}"
            rows.append(f"{name},{t},{after}{compacted}")
        split = "" if splits is None else f'split = "{splits[name]}"\n'
        tables.append(
            f'[[time_lapse]]\nname = "{name}"\nframes = "dic/{name}"\n'
            f'labels = {{ EZRIN = "ezrin/{name}" }}\nannotation = {{ table = "labels.csv" }}\n'
            f'modality = "DIC"\ninterval = 20.0\n{split}'
        )
    head = "embryo,t,polarized" + ("" if compaction is None else ",compacted")
    (folder / "labels.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    (folder / "manifest.toml").write_text("\n".join(tables), encoding="utf-8")
    (folder / "ezrin.toml").write_text(LABELING, encoding="utf-8")
    (folder / "polarity.toml").write_text(POLARITY, encoding="utf-8")
    (folder / "evaluation.toml").write_text(EVALUATION, encoding="utf-8")
    return folder / "evaluation.toml"
