"""A labeling model as one program: a transmitted-light stack of any size in, statistics out.

What surrounds the network is in it: normalization, the image reflected beyond its borders as far as
the network sees, its distributions and their statistics, and the margin cut off again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from isl.errors import InputError, unknown
from isl.export.program import Port, Program, Wanted
from isl.imaging.normalize import (
    DEVIATION,
    DEVIATION_TOLERANCE,
    MEAN,
    MEAN_TOLERANCE,
)
from isl.labeling import bins
from isl.labeling.contract import spread
from isl.labeling.distributions import at_temperatures
from isl.labeling.medians import with_median
from isl.labeling.model import Model, load_model
from isl.labeling.model_config import InputContract

DISTRIBUTION = "distribution"
"""All 256 probabilities of a pixel and label."""
INPUT = "transmitted"
_TRIAL = 45
_SAYS = {
    "median": "median of every pixel's distribution, interpolated within a bin, in [0, 1]",
    "mean": "expected intensity, in [0, 1]",
    "mode": "likeliest intensity, in [0, 1]",
    "standard_deviation": "standard deviation of every pixel's distribution, in intensities",
    "probability_nonzero": "probability that the intensity is not 0",
    "entropy": "entropy of every pixel's distribution, in [0, 1]",
    "interval_90": "width of the central interval that holds 90 %, in intensities",
    DISTRIBUTION: "probability of every intensity k / 255",
}


def export(directory: Path, wanted: Wanted) -> Program:
    """The model in a folder, as `isl predict` uses it by default.

    Raises:
        InputError: The model is damaged, or has no such label; there is no such statistic.
    """
    model = load_model(directory)
    labels = wanted.labels or model.labels
    for label in labels:
        if label not in model.labels:
            raise unknown("label", label, model.labels)
    known = tuple(_SAYS)
    names = wanted.statistics or ("median",)
    for name in names:
        if name == bins.SAMPLE:
            raise InputError(
                "statistic 'sample' is drawn by isl predict and not by an exported model; export "
                f"'{DISTRIBUTION}' and draw from it"
            )
        if name not in known:
            raise unknown("statistic", name, known)
    geometry, planes = model.geometry, model.config.input.planes
    smallest = max(2, geometry.output_size(geometry.smallest))
    left_out = [
        "It takes the planes as they are given, and does not choose or resample them.",
        "isl predict divides integers that use fewer bits than their type (12 of 16) by the "
        "largest number of those bits; who calls this does that first.",
    ]
    if model.config.input.any_planes and planes > 1:
        of_2 = ", ".join(map(str, spread(2, planes)))
        left_out.append(
            "isl predict takes any number of planes, placed evenly; who calls this places them: of "
            f"1 it stands at all {planes} places, of 2 (planes 0 and 1) at {of_2}."
        )
    if not model.config.input.turned:
        left_out.append(
            "The model learned light from one side alone: isl predict warns of images in which it "
            "comes from another, and who calls this does not turn them."
        )
    if geometry.whole:
        left_out.append(
            f"It sees an image whole; isl predict cuts one wider than {geometry.whole} pixels into "
            "tiles, near whose seams results may differ."
        )
    if model.config.stitch == "exact":
        left_out.append(
            "It gives what isl predict gives with --stitch dense; the model learned from single "
            "patches (--stitch exact)."
        )
    return Program(
        model=model,
        function=lambda given: _predicted(model, given, labels, names),
        input=Port(
            name=INPUT,
            axes="bcyx",
            shape=("b", planes, "h", "w"),
            channels=tuple(f"plane {plane}" for plane in range(planes)),
            says=f"{_planes(model.config.input)}, in [0, 1]",
        ),
        outputs=tuple(_port(name, labels) for name in names),
        smallest=smallest,
        pixel_size=model.config.input.pixel_size,
        trial=_trial(planes, max(_TRIAL, smallest)),
        left_out=tuple(left_out),
    )


def _planes(expected: InputContract) -> str:
    modality = (expected.modality or "transmitted light").lower().replace("_", " ")
    planes = "one plane" if expected.planes == 1 else f"{expected.planes} planes, bottom to top"
    step = f", {expected.z_step:g} um apart" if expected.z_step else ""
    size = f", {expected.pixel_size:g} um a pixel" if expected.pixel_size else ""
    return f"{modality}: {planes}{step}{size}"


def _port(name: str, labels: Sequence[str]) -> Port:
    axes = "bckyx" if name == DISTRIBUTION else "bcyx"
    stepped = name == "mode"
    return Port(name=name, axes=axes, channels=tuple(labels), says=_SAYS[name], stepped=stepped)


def _trial(planes: int, size: int) -> np.ndarray:
    """Blurred noise, float32 [1, Z, Y, X] in [0, 1], of odd and unequal sizes."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(1, planes, size, size + 6))
    smooth = gaussian_filter(noise, (0, 0, 2, 2))
    return np.clip(0.4 + 0.1 * smooth / smooth.std(), 0, 1).astype(np.float32)


def _predicted(
    model: Model, given: jax.Array, labels: Sequence[str], names: Sequence[str]
) -> Mapping[str, jax.Array]:
    """float32 [B, Z, Y, X] in [0, 1] to [B, L, Y, X], or [B, L, 256, Y, X], for every name."""
    expected, geometry = model.config.input, model.geometry
    rows, columns = given.shape[2:]
    planes = jnp.moveaxis(_normalized(given, expected), 1, -1)
    for axis, size in ((1, rows), (2, columns)):
        beyond = -(-(size - geometry.output_size(geometry.smallest)) // geometry.step)
        width = geometry.smallest + beyond * geometry.step
        planes = jnp.take(planes, _reflected(width, geometry.margin, size), axis=axis, mode="clip")
    # Rows of all images: a few at a time, so that no image of distributions is ever in memory.
    embedding = model.network.embed(planes)
    batch, _, _, depth = embedding.shape
    embedding = jax.lax.slice(embedding, (0, 0, 0, 0), (batch, rows, columns, depth))
    temperatures = model.temperatures(tuple(labels))
    statistics = [name for name in names if name != DISTRIBUTION]
    known_as = with_median(statistics, "interpolated")

    def of_row(row: jax.Array) -> dict[str, jax.Array]:
        logits = at_temperatures(temperatures, model.network.label_logits(row, labels))
        p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        found = bins.statistics_of(p, known_as)
        found = {name: found[own] for name, own in zip(statistics, known_as, strict=True)}
        return found | ({DISTRIBUTION: p} if DISTRIBUTION in names else {})

    by_row = jax.lax.map(of_row, embedding.reshape(-1, columns, depth))
    results = {}
    for name, values in by_row.items():
        image = values.reshape(batch, rows, *values.shape[1:])
        order = (0, 3, 4, 1, 2) if name == DISTRIBUTION else (0, 3, 1, 2)
        results[name] = image.transpose(order)
    return results


def _normalized(planes: jax.Array, expected: InputContract) -> jax.Array:
    """As `isl.imaging.normalize`, of float32 [B, Z, Y, X] in [0, 1]."""
    if expected.normalization == "off":
        return planes
    # Twice: what the first mean of many float32 numbers lacks, the second finds.
    mean = planes.mean(axis=(2, 3), keepdims=True)
    mean = mean + (planes - mean).mean(axis=(2, 3), keepdims=True)
    centred = planes - mean
    deviation = jnp.sqrt(jnp.square(centred).mean(axis=(2, 3), keepdims=True))
    kept = (jnp.abs(mean - MEAN) <= MEAN_TOLERANCE) & (
        jnp.abs(deviation - DEVIATION) <= DEVIATION_TOLERANCE
    )
    if expected.normalized_by == "recording":
        kept = jnp.broadcast_to(kept.all(axis=1, keepdims=True), kept.shape)
    mapped = jnp.clip(MEAN + centred * (DEVIATION / deviation), 0, 1)
    return jnp.where(kept, planes, mapped)


def _reflected(width: int, margin: int, size: int) -> jax.Array:
    """Which of `size` rows each of `width` is that begin `margin` before the first."""
    # Sizes may be symbols, which become numbers here.
    period = jnp.asarray(2 * (size - 1), jnp.int32)
    folded = jnp.mod(jnp.arange(width, dtype=jnp.int32) - margin, period)
    return jnp.minimum(folded, period - folded)
