"""The model folder that a labeling run leaves behind: weights, contract and card."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from isl.imaging.image import PixelSize
from isl.labeling.autoencoding import PlaneLoss, plane_loss
from isl.labeling.familiarity import Familiarity, learn_familiarity
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, LabelStatistics, ModelConfig
from isl.labeling.network import LabelingNetwork

from .config import LabelingConfig
from .crops import TrainingField, learned_from
from .ground import Ground


def write_model(
    directory: Path,
    network: LabelingNetwork,
    config: LabelingConfig,
    ground: Ground,
    *,
    name: str,
    summary: str,
    metrics: Mapping[str, float],
    start: ModelConfig | None = None,
) -> None:
    """Writes a model folder that prediction needs nothing besides.

    Args:
        directory: A new folder.
        network: With the weights to keep.
        config: The experiment.
        ground: What it was trained and judged on.
        name: The model's name.
        summary: The network in words.
        metrics: How it did on held-out ground, and after how many updates.
        start: Of the model it started from, whose ground it has seen, too.
    """
    trained_on: tuple[str, ...] | None = ground.training_groups
    chosen_on = ground.validation_groups
    if start is not None:
        # What nobody knows of the start, nobody knows of what came of it.
        seen = start.trained_on
        trained_on = None if seen is None else tuple(sorted({*seen, *trained_on}))
        chosen_on = tuple(sorted({*start.chosen_on, *chosen_on}))
    size = ground.pixel_size
    shown = ground.settled(config.augment)
    turned = shown.all_ways or ground.side_of_light is None
    if start is not None and "body" in config.start.freeze:
        turned = turned and start.input.turned
    model = ModelConfig(
        name=name,
        labels=ground.labels,
        autoencode=bool(network.plane_heads),
        architecture=config.network,
        input=InputContract(
            planes=ground.planes,
            any_planes=config.augment.fewer_planes > 0 and ground.planes > 1,
            turned=turned,
            modality=ground.modality,
            pixel_size=size.x if size is not None else None,
            z_step=size.z if size is not None else None,
            normalization=config.normalization,
            normalized_by="recording",
        ),
        stitch=config.stitch,
        label_statistics=label_statistics(ground),
        label_scale=ground.label_scale,
        label_scales=ground.label_scales,
        familiarity=familiarity_of(
            ground.training,
            plane_loss(network),
            normalization=config.normalization,
            turned=turned,
            mirrored=shown.flip is True,
        ),
        trained_on=trained_on,
        chosen_on=chosen_on,
    )
    save_model(
        directory, network, model, _card(config, ground, name, summary, metrics, turned=turned)
    )


def label_statistics(ground: Ground) -> dict[str, LabelStatistics]:
    """Mean and deviation of every label that was measured on the training ground."""
    statistics = {}
    for index, label in enumerate(ground.labels):
        total, count = 0.0, 0
        for values in _measured_values(ground, index):
            total, count = total + float(values.sum(dtype=np.float64)), count + values.size
        if count:
            mean = total / count
            squares = sum(
                float(np.square(values - mean, dtype=np.float64).sum())
                for values in _measured_values(ground, index)
            )
            deviation = math.sqrt(squares / count)
            statistics[label] = LabelStatistics(mean=mean, standard_deviation=deviation)
    return statistics


def _measured_values(ground: Ground, index: int) -> Iterator[np.ndarray]:
    """A label's targets [N], field by field."""
    for field in ground.training:
        yield field.targets[..., index][field.measured[..., index]]


def familiarity_of(
    training: Sequence[TrainingField],
    loss: PlaneLoss | None = None,
    *,
    normalization: str = "auto",
    turned: bool = True,
    mirrored: bool = False,
) -> Familiarity | None:
    """What the training ground looks like where crops were drawn from it.

    Args:
        training: All of it.
        loss: Of the network that learned from it; None: it has no autoencoding heads.
        normalization: Of what it predicts from.
        turned: Whether it learned images turned in every way.
        mirrored: Whether it learned them mirrored, left and right, as well.
    """
    fields = learned_from(training)
    return learn_familiarity(fields, loss, normalization, turned=turned, mirrored=mirrored)


def _card(
    config: LabelingConfig,
    ground: Ground,
    name: str,
    summary: str,
    metrics: Mapping[str, float],
    *,
    turned: bool,
) -> str:
    """What a person must know before trusting the model, in Markdown."""
    training, optimizer = config.training, config.optimizer
    held_out = [f"- {field.name}" for field in ground.validation] or ["- nothing"]
    measured = [
        f"- {key}: {value:.4g}"
        for key, value in metrics.items()
        if key != "updates" and math.isfinite(value)
    ]
    lines = [
        f"# {name}",
        "",
        config.description or f"Predicts {', '.join(ground.labels)} from transmitted light.",
        "",
        f"Network: {summary}.",
        "",
        f"Input: {ground.planes} planes, {_or_unknown('modality', ground.modality)}, "
        f"{_pixel_size(ground.pixel_size)}, normalization {config.normalization}."
        f"{'' if turned else ' Light must come from the side that it comes from there.'}",
        "",
        "## Training",
        "",
        f"{int(metrics['updates'])} updates of {training.batch_size} crops, {training.crop} pixels "
        f"wide; {optimizer.kind}, learning rate {optimizer.learning_rate:g} "
        f"({optimizer.schedule}); seed {config.seed}. Fields:",
        "",
        *[f"- {field.name}" for field in ground.training],
        "",
        "## Held-out ground",
        "",
        *held_out,
        "",
        *(measured or ["No score: nothing was held out."]),
        "",
        "Scores come from ground that also chose which weights were kept. Where it belongs to a "
        "field that was trained on, it resembles the training ground, and they are optimistic.",
        "",
        "## Limits",
        "",
        "It has seen only images like those above. Other cells, microscopes, magnifications or "
        "planes need a test against measured fluorescence before its predictions mean anything.",
        "",
    ]
    return "\n".join(lines)


def _or_unknown(what: str, value: str | None) -> str:
    return value if value is not None else f"{what} not known"


def _pixel_size(size: PixelSize | None) -> str:
    if size is None:
        return "pixel size not known"
    step = f"planes {size.z:g} um apart" if size.z is not None else "z step not known"
    return f"pixels of {size.x:g} um, {step}"
