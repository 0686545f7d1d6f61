"""What a run learns from: its datasets, with as many masks and ranges as it may use."""

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.config import folder_named
from isl.data.twins import twins_told
from isl.errors import InputError
from isl.fragmentation.dataset import UNKNOWN, Dataset, Example, Ground, load_dataset, load_ground
from isl.fragmentation.grades import GradeScale
from isl.imaging.inputs.steady import content_hash

from .config import FragmentationExperiment
from .stages import check_staged

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingGround:
    """Examples in memory.

    Attributes:
        train: What is learned from.
        validation: Other embryos; None where there are none.
        judging: The same at the size by which the finished model is judged.
        familiar: Further embryos at that size, labelled or not, that the model is to answer for.
        staged: Examples from which it learns which stages it does not grade.
        drawing: float64 [N], how often each example of `train` is drawn, up to a factor.
        scale: Of the first dataset's grades.
    """

    train: Ground
    validation: Ground | None
    judging: Ground | None
    familiar: Ground | None
    staged: tuple[Example, ...]
    drawing: np.ndarray
    scale: GradeScale


def load_training_ground(experiment: FragmentationExperiment, folder: Path) -> TrainingGround:
    """Reads the datasets of an experiment; paths are relative to `folder`."""
    paths = [experiment.dataset, *experiment.more]
    sets = [_dataset(path, folder, "dataset") for path in paths]
    closer, size = experiment.closer, experiment.size
    left_out = experiment.leave_out_site
    if left_out and not any(e.site == left_out for each in sets for e in each.examples):
        raise InputError(f"leave_out_site = '{left_out}': no example of {paths[0]} has that site")
    parts, drawing, held, finer = [], [], [], []
    repeats = (1, *(experiment.repeat or (1,) * len(experiment.more)))
    for number, (each, repeat) in enumerate(zip(sets, repeats, strict=True)):
        # Two datasets may both have an embryo 3.
        name = f"{number + 1}/" if len(sets) > 1 else ""
        learned, judged = (_but(each.of(split), left_out) for split in ("train", "validation"))
        if learned:
            parts.append(_named(load_ground(learned, size, closer=closer), name))
            drawing.append(np.full(len(parts[-1]), float(repeat)))
        if judged:
            held.append(_named(load_ground(judged, size), name))
            finer.append(_named(load_ground(judged, 2 * size), name) if closer else held[-1])
    if not parts:
        elsewhere = f" and a site other than '{left_out}'" if left_out else ""
        raise InputError(f"{paths[0]}: no example at a cleavage stage has split 'train'{elsewhere}")
    train = joined(parts)
    _check_twins(train, joined(held) if held else None, paths[0])
    kept = with_fewer_masks(
        train, experiment.keep_masks, scale=sets[0].scale, use_ranges=experiment.use_ranges
    )
    useful = (kept.labels != UNKNOWN).any(axis=(1, 2))
    useful |= np.isfinite(kept.shares) | np.isfinite(kept.low)
    return TrainingGround(
        train=kept.only(np.flatnonzero(useful)),
        validation=joined(held) if held else None,
        judging=joined(finer) if held else None,
        familiar=_familiar(experiment, folder),
        staged=_staged(experiment, folder),
        drawing=np.concatenate(drawing)[useful],
        scale=sets[0].scale,
    )


def fingerprints(experiment: FragmentationExperiment, folder: Path) -> dict[str, str]:
    """Hashes of what an experiment learns from: what datasets say of pictures, and all files.

    Args:
        experiment: Names the datasets.
        folder: What paths in it are relative to.
    """
    sets = (experiment.dataset, *experiment.more, *experiment.familiar, *experiment.other_stages)
    found = {}
    for path in sets:
        dataset = _dataset(path, folder, "dataset")
        digest = hashlib.sha256(repr(dataset.scale).encode())
        for example in _but(dataset.examples, experiment.leave_out_site):
            if example.split == "test" and path in (experiment.dataset, *experiment.more):
                continue
            said = dataclasses.replace(example, image=Path(), mask=None)
            digest.update(repr(said).encode())
            for file in (example.image, example.mask):
                digest.update(b"-" if file is None else content_hash(file).encode())
        found[str(path)] = digest.hexdigest()[:16]
    return found


def _but(examples: Sequence[Example], site: str) -> list[Example]:
    """Examples of other sites; all where the site is ""."""
    return [example for example in examples if not site or example.site != site]


def _staged(experiment: FragmentationExperiment, folder: Path) -> tuple[Example, ...]:
    sets = [_dataset(path, folder, "other_stages") for path in experiment.other_stages]
    staged = _but([e for each in sets for e in each.examples], experiment.leave_out_site)
    if sets:
        check_staged(staged)
    return tuple(staged)


def _dataset(path: Path, folder: Path, source: str) -> Dataset:
    return load_dataset(folder_named(str(path), folder, source=source))


def _familiar(experiment: FragmentationExperiment, folder: Path) -> Ground | None:
    size = experiment.size * (2 if experiment.closer else 1)
    sets = [_dataset(path, folder, "familiar") for path in experiment.familiar]
    parts = [_but(each.examples, experiment.leave_out_site) for each in sets]
    grounds = [load_ground(part, size) for part in parts if part]
    return joined(grounds) if grounds else None


def _check_twins(train: Ground, held: Ground | None, source: object) -> None:
    """Refuses a picture that is in training and validation, and tells of one in two embryos.

    Raises:
        InputError: There is one.
    """
    both = train if held is None else joined([train, held])
    sides = ["training"] * len(train) + ["validation"] * (len(both.names) - len(train))
    for line in twins_told(tuple(both.images), both.names, sides, source, groups=both.groups):
        logger.warning(line)


def _named(ground: Ground, prefix: str) -> Ground:
    return dataclasses.replace(ground, groups=tuple(prefix + group for group in ground.groups))


def joined(parts: list[Ground]) -> Ground:
    """Several grounds as one."""
    return Ground(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        shares=np.concatenate([part.shares for part in parts]),
        low=np.concatenate([part.low for part in parts]),
        high=np.concatenate([part.high for part in parts]),
        groups=tuple(text for part in parts for text in part.groups),
        names=tuple(text for part in parts for text in part.names),
        sites=tuple(text for part in parts for text in part.sites),
    )


def with_fewer_masks(ground: Ground, keep: float, *, scale: GradeScale, use_ranges: bool) -> Ground:
    """Masks of a share of the embryos; the others' become the grade of their share, or nothing.

    Args:
        ground: Examples with masks.
        keep: Share of the embryos, first come first kept in the order of their names' hashes.
        scale: Of the grades.
        use_ranges: Whether grades and shares of those without masks are used at all.
    """
    labels, shares = ground.labels.copy(), ground.shares.copy()
    low, high = ground.low.copy(), ground.high.copy()
    groups = sorted(set(ground.groups))
    order = np.random.default_rng(0).permutation(len(groups))
    kept = {groups[i] for i in order[: max(1, round(keep * len(groups)))]} if keep else set()
    for index, group in enumerate(ground.groups):
        if group in kept and (labels[index] != UNKNOWN).any():
            continue
        if (labels[index] != UNKNOWN).any() and np.isfinite(shares[index]):
            low[index], high[index] = scale.range_of(scale.grade(float(shares[index])))
            shares[index] = np.nan
        labels[index] = UNKNOWN
        if not use_ranges:
            shares[index] = low[index] = high[index] = np.nan
    return dataclasses.replace(ground, labels=labels, shares=shares, low=low, high=high)
