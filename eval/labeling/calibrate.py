"""Temperatures for a model's labels, fitted on ground it did not learn from (`isl calibrate`).

What a temperature does is judged on ground that it was not fitted on, where there is any. It is
taken where it brings coverage closer to what is said there and makes neither proper score worse by
more than a tenth: wider intervals cover more, and proper scores tell whether that was bought
dearly. What it costs them stands in the table.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.special

from isl.data.splits import Split
from isl.errors import InputError
from isl.imaging.normalize import normalize, normalize_label
from isl.labeling.bins import BINS
from isl.labeling.coherence import fit_coherence, normal_scores
from isl.labeling.dataset import Manifest, load_manifest
from isl.labeling.fields import LoadedField, load_field
from isl.labeling.label_scale import stretch
from isl.labeling.model import Model, load_model, save_model
from isl.labeling.model_config import learned_from
from isl.progress import FieldProgress
from isl.tiling.plan import plan_tiles

from .distributions import LEVELS, DistributionFigures, DistributionSummary
from .temperature import best_temperature, coverage_error, tempered

# Of every label, over all fields: some 60 MB, and far more than a temperature needs.
_PIXELS = 60_000
# Logits are 256 numbers a pixel and label, so tiles are narrower than for predicting.
_TILE = 128
# Of a proper score, what coverage may cost. Background that varies between parts of a field needs
# wider intervals than any part was learned with, and a few percent of the score pay for them.
_DEAR = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Pixels of one field, drawn evenly from where a label was measured.

    Attributes:
        field: Name of the field.
        group: Its group.
        logits: float32 [N, 256], as the model gives them.
        true: float32 [N] in [0, 1], what was measured.
        scores: float32 [Y, X] over the whole field, `isl.labeling.coherence.normal_scores` where
            it was measured, and 0 elsewhere.
        measured: bool [Y, X].
    """

    field: str
    group: str
    logits: np.ndarray
    true: np.ndarray
    scores: np.ndarray
    measured: np.ndarray

    @property
    def true_bins(self) -> np.ndarray:
        """int64 [N]; as `isl.labeling.bins.to_bins`."""
        return np.rint(self.true * (BINS - 1)).astype(np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelCalibration:
    """What a temperature does for one label.

    Attributes:
        label: Its name.
        fitted: The temperature that was found, taken or not.
        before: Figures of the model as it was.
        after: With temperatures fitted on other ground, as `crossed` says; else on itself.
        crossed: What each part of the ground was judged with temperatures of the others of: groups;
            fields, where there is one group; or None, where there is one field.
        groups: What it was fitted on.
        coherence: How far errors reach; see `isl.labeling.coherence`. None: too little is measured.
    """

    label: str
    fitted: float
    before: DistributionSummary
    after: DistributionSummary
    crossed: Literal["group", "field"] | None
    groups: tuple[str, ...]
    coherence: tuple[float, ...] | None

    @property
    def helps(self) -> bool:
        """Whether coverage is closer to what is said with it, and not bought dearly."""
        closer = coverage_error(self.after.reliability) < coverage_error(self.before.reliability)
        return closer and all(
            after is not None and before is not None and after <= (1 + _DEAR) * before
            for after, before in (
                (self.after.cross_entropy, self.before.cross_entropy),
                (self.after.ranked_probability_score, self.before.ranked_probability_score),
            )
        )

    @property
    def temperature(self) -> float:
        """What the model's logits are to be divided by."""
        return self.fitted if self.helps else 1.0


def calibrate_labeling(
    model: str, dataset: Path, out: Path, *, split: Split, allow_seen: bool
) -> list[tuple[str, ...]]:
    """Calibrates a labeling model; see `isl_eval.calibrate.Calibrate`."""
    manifest = load_manifest(dataset)
    loaded = load_model(model)
    with FieldProgress(len(manifest.fields_for(split))) as progress:
        calibrations = calibrate(
            loaded, manifest, split=split, allow_seen=allow_seen, progress=progress
        )
    ground = f"the {split} ground of {dataset.name}"
    write_calibrated(loaded, calibrations, out, ground=ground)
    return coverage_table(calibrations)


def calibrate(
    model: Model,
    manifest: Manifest,
    *,
    split: Split = "validation",
    allow_seen: bool = False,
    progress: FieldProgress | None = None,
) -> tuple[LabelCalibration, ...]:
    """Fits a temperature for every label that was measured on some ground.

    Args:
        model: A loaded model; its logits are taken as it gives them now.
        manifest: The dataset.
        split: Which of its ground.
        allow_seen: Whether the model may have learned from the ground's groups.
        progress: Told of every field; None: nobody is.

    Raises:
        InputError: There is no such ground, the model learned from it, or nothing was measured; or
            it predicts in a unit that measured images are not in.
    """
    fields = manifest.fields_for(split)
    source = manifest.path or "the dataset"
    if not fields:
        raise InputError(f"{source}: no field has split '{split}'; name another `split`")
    if model.config.label_scales:
        raise InputError(
            f"model '{model.name}' learned from several experiments, each brought to one unit "
            "(label_scales in model.toml), which measured images are not in; train without "
            "label_moments and label_scale to calibrate it"
        )
    seen = learned_from(sorted({field.group for field in fields}), model.config.trained_on)
    if seen and not allow_seen:
        raise InputError(
            f"{source}: model '{model.name}' learned from group '{seen[0]}', so temperatures "
            "fitted on it would be too low; name other ground, or give `allow_seen`"
        )
    share = max(1, _PIXELS // len(fields))
    samples: dict[str, list[Sample]] = {label: [] for label in model.labels}
    as_predicted = model.exact if model.config.stitch == "exact" else model
    for index, field in enumerate(fields):
        rng = np.random.default_rng(index)
        if progress is not None:
            progress.begin(field.name)
        drawn = draw_samples(as_predicted, load_field(field, model.labels), split, share, rng)
        for label, sample in drawn.items():
            samples[label].append(sample)
        if progress is not None:
            progress.end("read and predicted")
    measured = {label: parts for label, parts in samples.items() if parts}
    if not measured:
        raise InputError(
            f"{source}: none of {', '.join(model.labels)} is measured on the {split} ground"
        )
    return tuple(_calibrated(label, parts) for label, parts in measured.items())


def draw_samples(
    model: Model, field: LoadedField, split: Split, pixels: int, rng: np.random.Generator
) -> dict[str, Sample]:
    """What a model says of the labels that are measured on a field.

    Of random pixels logits and truth, and of all of them how far the truth lies from what is said.

    Args:
        model: A loaded model.
        field: Holds the model's labels, in its order.
        split: Which of its ground counts.
        pixels: How many of each label, at most.
        rng: Draws them.

    Raises:
        InputError: The field has another number of planes, or cannot be normalized.
    """
    planes = field.transmitted.planes
    if len(planes) != model.config.input.planes:
        raise InputError(
            f"field '{field.name}': planes: {len(planes)}; model '{model.name}' expects "
            f"{model.config.input.planes} (choose some with 'planes' in the dataset)"
        )
    transmitted, _ = normalize(
        planes,
        model.config.input.normalization,
        source=field.name,
        unit=model.config.input.normalized_by,
    )
    truth = normalize_label(field.labels.channels, source=field.name)
    truth = stretch(truth, field.labels.labels, model.config.label_scale)
    chosen = np.zeros(truth.shape, bool)
    measured = np.asarray(field.measured_for(split))
    scores = np.zeros(truth.shape, np.float32)
    for picked, ground_of in zip(chosen, measured, strict=True):
        ground = np.flatnonzero(ground_of)
        picked.flat[rng.choice(ground, min(pixels, ground.size), replace=False)] = True
    logits: list[list[np.ndarray]] = [[] for _ in model.labels]
    true: list[list[np.ndarray]] = [[] for _ in model.labels]
    narrowest = model.geometry.output_size(model.geometry.input_size(model.geometry.step))
    plan = plan_tiles(model.geometry, truth.shape[1:], tile=max(_TILE, narrowest))
    for tile in plan.tiles():
        lands = (slice(None), *np.ix_(tile[0].lands, tile[1].lands))
        if not measured[lands].any():
            continue
        given = np.asarray(model.logits(plan.read(transmitted, tile)[None], model.labels))[0]
        given = given[np.ix_(tile[0].kept, tile[1].kept)]
        for index, (picked, values) in enumerate(zip(chosen[lands], truth[lands], strict=True)):
            logits[index].append(given[picked, index])
            true[index].append(values[picked])
            scores[index][lands[1:]] = normal_scores(
                scipy.special.softmax(given[:, :, index], axis=-1),
                np.rint(values * (BINS - 1)).astype(np.int64),
                rng,
            )
    return {
        label: Sample(
            field=field.name,
            group=field.group,
            logits=np.concatenate(logits[index]),
            true=np.concatenate(true[index]),
            scores=scores[index],
            measured=measured[index],
        )
        for index, label in enumerate(model.labels)
        if chosen[index].any()
    }


def figures(samples: Sequence[Sample], temperatures: Sequence[float]) -> DistributionSummary:
    """Figures of samples, each at a temperature of its own."""
    judged = DistributionFigures()
    for sample, temperature in zip(samples, temperatures, strict=True):
        logits = sample.logits / np.float32(temperature)
        judged.add(scipy.special.log_softmax(logits, axis=1), sample.true)
    return judged.result()


def write_calibrated(
    model: Model, calibrations: Sequence[LabelCalibration], directory: Path, *, ground: str
) -> None:
    """Writes a copy of the model's folder with temperatures, and what they do in its card.

    Args:
        model: As it was given to `calibrate`.
        calibrations: What came of it.
        directory: A new folder.
        ground: What they were fitted on, in words.

    Raises:
        InputError: The folder exists or cannot be written.
    """
    temperature: Mapping[str, float] = {
        **model.config.temperature,
        **{
            each.label: model.config.temperature.get(each.label, 1.0) * each.temperature
            for each in calibrations
            if each.helps
        },
    }
    coherence: Mapping[str, tuple[float, ...]] = {
        **model.config.coherence,
        **{each.label: each.coherence for each in calibrations if each.coherence is not None},
    }
    # This ground has had its say in the model: whoever judges it there must know.
    chosen_on = {group for each in calibrations if each.helps for group in each.groups}
    chosen_on |= {*model.config.chosen_on}
    config = model.config.model_copy(
        update={
            "temperature": temperature,
            "coherence": coherence,
            "chosen_on": tuple(sorted(chosen_on)),
        }
    )
    card = model.card.rstrip() + "\n\n" + _card_section(calibrations, temperature, ground)
    save_model(directory, model.network, config, card)


def coverage_table(calibrations: Sequence[LabelCalibration]) -> list[tuple[str, ...]]:
    """Rows of text: a head, then a row a label: before and after, by level."""
    shares = (f"{level:.0%}" for level in LEVELS)
    head = ("label", "temperature", "taken", *shares, "90 % width", "cross-entropy", "RPS")
    return [head, *(_row(each) for each in calibrations)]


def _row(each: LabelCalibration) -> tuple[str, ...]:
    before, after = each.before, each.after
    assert before.coverage is not None
    assert after.coverage is not None
    return (
        each.label,
        f"{each.fitted:.3f}",
        "yes" if each.helps else "no",
        *(f"{before.coverage[level]:.1%} to {after.coverage[level]:.1%}" for level in LEVELS),
        f"{before.sharpness:.3f} to {after.sharpness:.3f}",
        f"{before.cross_entropy:.4f} to {after.cross_entropy:.4f}",
        f"{before.ranked_probability_score:.5f} to {after.ranked_probability_score:.5f}",
    )


def _calibrated(label: str, samples: Sequence[Sample]) -> LabelCalibration:
    groups = tuple(dict.fromkeys(sample.group for sample in samples))
    # Fields of one group resemble each other, so they do not judge each other's temperatures where
    # there are other groups to.
    parts = [sample.group if len(groups) > 1 else sample.field for sample in samples]
    judged = [tempered(sample.logits, sample.true_bins) for sample in samples]
    temperature = best_temperature(judged)
    crossed = {
        part: best_temperature([each for each, of in zip(judged, parts, strict=True) if of != part])
        for part in dict.fromkeys(parts)
        if len(set(parts)) > 1
    }
    return LabelCalibration(
        label=label,
        fitted=temperature,
        before=figures(samples, [1.0] * len(samples)),
        after=figures(samples, [crossed.get(part, temperature) for part in parts]),
        crossed=None if not crossed else "group" if len(groups) > 1 else "field",
        groups=groups,
        coherence=fit_coherence([(sample.scores, sample.measured) for sample in samples]),
    )


def _card_section(
    calibrations: Sequence[LabelCalibration], temperature: Mapping[str, float], ground: str
) -> str:
    head, *rows = coverage_table(calibrations)
    ways = [each.crossed for each in calibrations]
    how = (
        "on the very field it was fitted on"
        if None in ways
        else "each field with a temperature fitted on the others, of the same group"
        if "field" in ways
        else "each group with a temperature fitted on the others"
    )
    kept = ", ".join(f"{label} {value:.3f}" for label, value in temperature.items()) or "none"
    lines = [
        "## Calibration",
        "",
        f"Temperatures: {kept} (logits are divided by them), fitted on {ground}. Share of measured",
        f"values within central intervals before and after, {how}:",
        "",
        *("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)),
        "",
        "One that does not bring these shares closer to what they should be, or makes the",
        "cross-entropy or the ranked probability score worse, is not taken.",
        "",
        "How far errors reach was measured on the same ground, for the statistic `sample`.",
        "",
    ]
    return "\n".join(lines)
