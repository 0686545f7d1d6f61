"""Predictions of whole fields, tile by tile: images, and sums of figures of the distributions.

256 numbers for every pixel and label would not fit into memory, so of the distributions only sums
are kept, over blocks of 128 pixels: what is resampled where there are few groups.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isl.errors import InputError
from isl.imaging.normalize import PlaneNormalization
from isl.labeling import bins
from isl.labeling.contract import compare_intensity
from isl.labeling.familiarity import Unfamiliarity
from isl.labeling.mixture import AnyModel, predictor
from isl.labeling.model_config import LabelStatistics
from isl.labeling.options import Options, check_options
from isl.labeling.plan import FieldPlan, plan_field
from isl.labeling.predict import familiarity_of, unlike_warnings
from isl.labeling.renormalize import plan_renormalization, renormalized
from isl.labeling.source import field_of, measure, normalized

from ..writing.kept_arrays import KeptArrays, file_name
from .config import LabelingEvaluation
from .distributions import SHARPNESS_LEVEL, DistributionFigures, interval_width
from .ground import Ground, GroundField
from .models import Contender, read_prediction
from .wording import in_keys

BLOCK = 128
"""Width of the blocks in pixels."""
# Output width of a tile: its logits, 256 numbers a pixel and label, are whole in memory.
_TILE = 384


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What a contender says of one field.

    Attributes:
        labels: L names, of those judged that the contender predicts.
        images: By statistic (median, mean, width), float32 [L, Y, X]; width is that of the central
            90 % interval. Images that were predicted elsewhere are `median` only. Pixels of tiles
            that hold nothing measured are 0.
        distributions: For every label, sums of its distributions' figures by block (row and column
            of the block grid); empty for images.
        warnings: Everything about the field that differs from what the model expects.
        familiarity: How far the field is from what the model learned from; None: not known.
    """

    labels: tuple[str, ...]
    images: Mapping[str, np.ndarray]
    distributions: Mapping[str, Mapping[tuple[int, int], Mapping[str, np.ndarray]]]
    warnings: tuple[str, ...] = ()
    familiarity: Unfamiliarity | None = None


class KeptPredictions(KeptArrays):
    """Predictions of fields, kept on disk so that none is made twice."""

    def take(self, contender: str, field: str) -> Predicted | None:
        """A contender's prediction of a field, if it was made."""
        stored = self.read(self._path(contender, field))
        if stored is None:
            return None
        made, arrays = stored
        return Predicted(
            labels=tuple(made["labels"]),
            images={name: arrays[f"image/{name}"] for name in made["images"]},
            distributions={label: _by_block(label, arrays) for label in made["distributions"]},
            warnings=tuple(made["warnings"]),
            familiarity=made["familiarity"] and Unfamiliarity(**made["familiarity"]),
        )

    def taken(self, contender: str, field: str) -> Predicted:
        """A prediction that is kept."""
        predicted = self.take(contender, field)
        assert predicted is not None
        return predicted

    def put(self, contender: str, field: str, predicted: Predicted) -> None:
        """Keeps a prediction."""
        arrays = {f"image/{name}": image for name, image in predicted.images.items()}
        for label, blocks in predicted.distributions.items():
            arrays[f"blocks/{label}"] = np.array(list(blocks), int).reshape(-1, 2)
            sums = list(blocks.values())
            for name in sums[0] if sums else ():
                arrays[f"sums/{name}/{label}"] = np.stack([each[name] for each in sums])
        made = {
            "labels": predicted.labels,
            "images": list(predicted.images),
            "distributions": list(predicted.distributions),
            "warnings": predicted.warnings,
            "familiarity": predicted.familiarity and dataclasses.asdict(predicted.familiarity),
        }
        self.write(self._path(contender, field), made, arrays)

    def _path(self, contender: str, field: str) -> Path:
        return self.folder / f"{file_name(contender)}.{file_name(field)}.npz"


def options_for(contender: Contender, ground: Ground, config: LabelingEvaluation) -> Options:
    """What is asked of a model.

    Raises:
        InputError: The model cannot be asked for it.
    """
    assert contender.model is not None
    return check_options(
        contender.model.config,
        labels=[label for label in ground.labels if label in contender.labels],
        statistics=("median", "mean"),
        planes=config.planes,
        symmetries=config.symmetries,
        stitch=config.stitch,
        renormalize=config.renormalize,
        allow_mismatch=config.allow_mismatch,
        tile=_TILE,
        median="published",
    )


def image_of(predicted: Predicted, label: str, config: LabelingEvaluation) -> np.ndarray:
    """The image that is judged, float32 [Y, X]; of images predicted elsewhere the only one."""
    images = predicted.images
    return images.get(config.image, images["median"])[predicted.labels.index(label)]


def predict_ground(
    contender: Contender, field: GroundField, ground: Ground, config: LabelingEvaluation
) -> Predicted:
    """A field as a contender predicts it.

    Raises:
        InputError: The field does not fit the model, or its predicted image is missing or damaged.
    """
    if contender.model is None:
        return _read(contender, field, ground)
    options = options_for(contender, ground, config)
    try:
        predicted = predict_measured(contender.model, field, options, seed=config.seed)
    except InputError as error:
        raise InputError(in_keys(str(error))) from error
    return dataclasses.replace(predicted, warnings=tuple(map(in_keys, predicted.warnings)))


def predict_measured(
    model: AnyModel, field: GroundField, options: Options, *, seed: int = 0
) -> Predicted:
    """Predicts the tiles of a field that hold measured pixels, as `isl predict` would.

    Args:
        model: A model, or an ensemble.
        field: The ground.
        options: As checked against the model.
        seed: Of the draws within bins.

    Raises:
        InputError: The field does not fit the model.
    """
    stack = field_of(field.stack)
    plan = plan_field(model.config, stack, options)
    records = measure(stack, plan.fit.planes, options.normalize, unit=options.normalized_by)[0]
    window = ((0, stack.size[0]), (0, stack.size[1]))
    planes = normalized(stack, 0, records, window)
    index = [field.labels.index(label) for label in options.labels]
    truth, measured = field.truth[index], field.measured[index]
    images = {name: np.zeros(truth.shape, np.float32) for name in ("median", "mean", "width")}
    sums = [_Blocks(_seed_of(seed, field.name, label)) for label in options.labels]
    source = predictor(model, options, plan.tiles.output_size)
    for tile in plan.tiles.tiles():
        rows, columns = tile
        lands = np.ix_(rows.lands, columns.lands)
        counted = measured[:, *lands]
        # What images are brought to one mean by is the mean of all their pixels.
        if not counted.any() and not options.renormalize:
            continue
        patch = plan.tiles.read(planes, tile)[None]
        logits = source.logits(patch, options.labels)[0]
        for number, blocks in enumerate(sums):
            log_p = np.asarray(jax.nn.log_softmax(logits[:, :, number], axis=-1))
            log_p = log_p[np.ix_(rows.kept, columns.kept)]
            for name, values in _statistics(log_p).items():
                images[name][number][lands] = values
            blocks.add(log_p, truth[number][lands], counted[number], tile)
    if options.renormalize:
        _renormalize(images, options.labels, model.config.label_statistics)
    familiarity = familiarity_of(model, stack, plan, records)
    return Predicted(
        labels=options.labels,
        images=images,
        distributions={
            label: blocks.sums for label, blocks in zip(options.labels, sums, strict=True)
        },
        warnings=_warnings(plan, records, model, options) + unlike_warnings(model, familiarity),
        familiarity=familiarity,
    )


def _renormalize(
    images: Mapping[str, np.ndarray],
    labels: Sequence[str],
    training: Mapping[str, LabelStatistics],
) -> None:
    """Intensities of a field [L, Y, X] as `isl predict --renormalize` has them, in place."""
    count, height, width = images["median"].shape
    done = plan_renormalization(
        lambda statistic, t, label, rows: images[statistic][label][rows],
        (1, count, height, width),
        ("median", "mean"),
        labels,
        training,
    )
    for each in done:
        label = labels.index(each.label)
        images[each.statistic][label] = renormalized(images[each.statistic][label], each)


def _seed_of(seed: int, *names: str) -> int:
    """A seed for what has these names: draws that fields share would not be independent."""
    letters = "\n".join(names).encode()
    return int(np.random.default_rng([seed, *letters]).integers(2**31))


class _Blocks:
    """Figures of one label's distributions, a block at a time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._figures: dict[tuple[int, int], DistributionFigures] = {}

    def add(self, log_p: np.ndarray, truth: np.ndarray, counted: np.ndarray, tile: Any) -> None:
        """Takes in a tile: log-probabilities [y, x, 256], intensities and mask [y, x]."""
        rows, columns = (strip.lands // BLOCK for strip in tile)
        for row in np.unique(rows):
            for column in np.unique(columns):
                within = np.ix_(rows == row, columns == column)
                chosen = counted[within]
                if chosen.any():
                    self._of(int(row), int(column)).add(
                        log_p[within][chosen], truth[within][chosen]
                    )

    def _of(self, row: int, column: int) -> DistributionFigures:
        if (row, column) not in self._figures:
            # Blocks that drew the same numbers would not be independent.
            seed = int(np.random.default_rng([self._seed, row, column]).integers(2**31))
            self._figures[row, column] = DistributionFigures(seed=seed)
        return self._figures[row, column]

    @property
    def sums(self) -> dict[tuple[int, int], dict[str, np.ndarray]]:
        return {block: self._figures[block].sums for block in sorted(self._figures)}


def _statistics(log_p: np.ndarray) -> dict[str, np.ndarray]:
    """Images [y, x] of a tile's log-probabilities [y, x, 256]."""
    found = {name: np.asarray(value) for name, value in _jitted(log_p).items()}
    cumulative = found.pop("cumulative").reshape(-1, bins.BINS)
    found["width"] = interval_width(cumulative, SHARPNESS_LEVEL).reshape(log_p.shape[:-1])
    return found


@jax.jit
def _jitted(log_p: jax.Array) -> dict[str, jax.Array]:
    cumulative = bins.cumulative(jax.nn.softmax(log_p, axis=-1))
    return bins.statistics(log_p, ("median", "mean")) | {"cumulative": cumulative}


def _read(contender: Contender, field: GroundField, ground: Ground) -> Predicted:
    images = read_prediction(contender, field)
    labels = tuple(label for label in ground.labels if label in contender.labels)
    missing = [label for label in labels if label not in images]
    if missing:
        raise InputError(
            f"{contender.folder}: the image of field '{field.name}' has no channel {missing[0]}, "
            "which others have; predict all fields with the same labels"
        )
    stacked = np.stack([images[label] for label in labels])
    return Predicted(labels=labels, images={"median": stacked}, distributions={})


def _warnings(
    plan: FieldPlan, records: tuple[PlaneNormalization, ...], model: AnyModel, options: Options
) -> tuple[str, ...]:
    return plan.fit.warnings + compare_intensity(
        records, model.config.input, normalize=options.normalize
    )


def _by_block(
    label: str, arrays: Mapping[str, np.ndarray]
) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    blocks = arrays[f"blocks/{label}"]
    names = [
        name.split("/")[1] for name in arrays if re.fullmatch(rf"sums/\w+/{re.escape(label)}", name)
    ]
    return {
        (int(row), int(column)): {name: arrays[f"sums/{name}/{label}"][n] for name in names}
        for n, (row, column) in enumerate(blocks)
    }
