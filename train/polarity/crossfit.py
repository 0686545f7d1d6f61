"""EZRIN as predicted by networks that never saw the embryo: cross-fitting.

A classifier that learned from EZRIN predicted on the labeling network's own training frames would
expect it to be better than it ever is on a new embryo. So the labeling experiment is run once for
every fold, without it, and each embryo's EZRIN comes from the run that left it out.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from isl.errors import InputError, unknown
from isl.files.whole import written_whole
from isl.imaging.image import Movie, PixelSize
from isl.labeling.model import Model, load_model
from isl.polarity.embryo import EZRIN, Embryo

from ..experiment import check_same_run
from ..labeling.config import LabelingConfig
from ..labeling.task import LabelingTask
from ..loop import fit

_LONGEST_NAME = 200


def folds_of(embryos: Sequence[Embryo], count: int) -> tuple[tuple[str, ...], ...]:
    """The embryos' groups, dealt out in turn.

    Raises:
        InputError: There are fewer groups than folds.
    """
    groups = list(dict.fromkeys(embryo.group for embryo in embryos))
    if len(groups) < count:
        raise InputError(
            f"{len(groups)} embryos cannot be cut into {count} folds; give fewer folds"
        )
    return tuple(tuple(groups[first::count]) for first in range(count))


def set_apart(embryos: Sequence[Embryo], share: float) -> tuple[Embryo, ...]:
    """The embryos whom the network of EZRIN does not learn from; it learns from the first others.

    Args:
        embryos: All of them.
        share: Of their groups, that it learns from.

    Raises:
        InputError: That leaves nobody on one of the sides.
    """
    groups = list(dict.fromkeys(embryo.group for embryo in embryos))
    count = round(share * len(groups))
    if not 0 < count < len(groups):
        raise InputError(
            f"share {share:g} of {len(groups)} embryos leaves none to learn "
            f"{'the onset' if count else 'EZRIN'} from; give another share, or more embryos"
        )
    learned = set(groups[:count])
    return tuple(embryo for embryo in embryos if embryo.group not in learned)


class Crossfit:
    """Labeling networks, each without some embryos; trained when needed and kept.

    Attributes:
        folds: Groups that are left out together.
    """

    def __init__(
        self,
        experiment: LabelingConfig,
        folder: Path,
        workdir: Path,
        folds: Sequence[Sequence[str]],
        *,
        say: Callable[[str], None],
        console: Console | None = None,
    ) -> None:
        """Nothing is trained yet.

        Args:
            experiment: How to learn EZRIN.
            folder: Where its configuration lies; paths in it are relative to this.
            workdir: Where the runs and what they predict are kept, one folder each; a finished one
                is not run again.
            folds: Groups that are left out together.
            say: Called with what a person should know, a line at a time.
            console: Where the training's progress is shown; None: nowhere.
        """
        self.folds = tuple(tuple(fold) for fold in folds)
        self._experiment = experiment
        self._folder = folder
        self._workdir = workdir
        self._say = say
        self._console = console
        self._models: dict[Path, Model] = {}

    def task_without(self, groups: Iterable[str]) -> LabelingTask:
        """The labeling task that does not see some groups, with its fields read.

        Raises:
            InputError: Something in the configuration does not fit the data.
        """
        return LabelingTask(
            self.experiment_without(groups), self._folder, name="ezrin", say=self._say
        )

    def experiment_without(self, groups: Iterable[str]) -> LabelingConfig:
        """How EZRIN is learned without some groups."""
        left_out = tuple(sorted(set(groups) | set(self._experiment.leave_out)))
        return self._experiment.model_copy(update={"leave_out": left_out})

    def model_without(self, groups: Iterable[str]) -> Path:
        """The folder of the model that has not seen some groups; trained if it is not there.

        Raises:
            InputError: The folder holds a run of other settings.
            KeyboardInterrupt: The training was stopped; it resumes from there the next time.
        """
        experiment = self.experiment_without(groups)
        left_out = experiment.leave_out
        run = self._workdir / _folder_name(left_out)
        check_same_run(run, experiment)
        if (run / "model").is_dir():
            return run / "model"
        self._say(f"EZRIN without {', '.join(left_out)}" if left_out else "EZRIN of all embryos")
        task = self.task_without(left_out)
        progress = fit(task, experiment, run, freeze=experiment.start.freeze, console=self._console)
        if progress.update < experiment.training.steps:
            raise KeyboardInterrupt
        return run / "model"

    def predicted(self, embryo: Embryo, *, leave_out: Iterable[str] = ()) -> np.ndarray:
        """The mean of the predicted distributions, float32 [T, Y, X].

        Args:
            embryo: Predicted by the model that has not seen its fold.
            leave_out: Groups that this model must not have seen either.
        """
        own = [fold for fold in self.folds if embryo.group in fold]
        if not own:
            known = [group for fold in self.folds for group in fold]
            raise unknown("embryo", embryo.group, known)
        directory = self.model_without({*own[0], *leave_out})
        kept = directory.parent / "predicted" / f"{embryo.name}.npy"
        if not kept.is_file():
            if directory not in self._models:
                self._models[directory] = load_model(directory)
            kept.parent.mkdir(exist_ok=True)
            with written_whole(kept, overwrite=True) as unfinished, unfinished.open("wb") as file:
                # Half precision is finer than the 256 intensities.
                np.save(file, predicted_ezrin(self._models[directory], embryo).astype(np.float16))
        return np.load(kept).astype(np.float32)


def predicted_ezrin(model: Model, embryo: Embryo, statistic: str = "mean") -> np.ndarray:
    """The mean of an embryo's predicted distributions, float32 [T, Y, X].

    A model of one plane is given the fused frames; one of more, the stacks they come from.

    Args:
        model: Of EZRIN.
        embryo: Whose EZRIN is predicted.
        statistic: What is wanted of the distributions in place of their mean.

    Raises:
        InputError: The model needs other stacks than there are.
    """
    frames = seen_by_labeling(model.config.input.planes, embryo)
    side = embryo.pixel_size
    size = None if side is None else PixelSize(y=side, x=side, z=embryo.z_step)
    movie = Movie(name=embryo.name, frames=frames, pixel_size=size, modality="DIC")
    label = EZRIN if EZRIN in model.labels else model.labels[0]
    prediction = model.predict(movie, labels=(label,), statistics=(statistic,))
    return prediction.statistics[statistic][:, 0]


def seen_by_labeling(planes: int, embryo: Embryo) -> np.ndarray:
    """What a labeling model of so many planes is given of an embryo, [T, Z, Y, X].

    It is what the model's training was given, and what `isl polarity` gives it: stacks, or frames
    of one plane, as they were read; else the frames that stacks were fused to.

    Raises:
        InputError: The embryo has no such stacks.
    """
    read = embryo.dic[:, None] if embryo.stacks is None else embryo.stacks
    there = read.shape[1]
    if there == planes:
        return read
    if planes > 1:
        raise InputError(
            f"embryo '{embryo.name}' has stacks of {there} planes, and EZRIN is to be predicted "
            f"from {planes}; give a labeling experiment or model of {there} or of 1"
        )
    return embryo.dic[:, None]


def _folder_name(left_out: Sequence[str]) -> str:
    """The name of a run's folder; file systems take 255 bytes, which many embryos would exceed."""
    if not left_out:
        return "all"
    name = "without_" + "_".join(left_out)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"without_{len(left_out)}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
