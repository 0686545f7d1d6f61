"""A fragmentation model as one program: a frame in, where embryo and fragments are out."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from isl.errors import InputError
from isl.export.program import Port, Program, Wanted
from isl.fragmentation.model import FragmentationModel, load_fragmentation_model
from isl.fragmentation.network import EMBRYO, FRAGMENT
from isl.fragmentation.view import CUT, LEAST_CONTRAST

RESEARCH = "For research only; it decides nothing about an embryo."


def export(directory: Path, wanted: Wanted) -> Program:
    """The network of the model in a folder, with the stretched contrast: its first look.

    Raises:
        InputError: The model is damaged, finds no embryo, or something is asked for that it has
            not.
    """
    wanted.only_probabilities("fragmentation")
    model = load_fragmentation_model(directory)
    if not model.config.segments:
        raise InputError(f"{directory}: finds no embryo, so there is no image to export")
    size = model.config.size
    left_out = [
        RESEARCH,
        f"The frame's longer side is brought to {size} pixels, the rest filled with the nearest "
        "pixels, by who calls it.",
        "Intervals, grades, and whether an embryo is like those learned from are not in it.",
    ]
    if model.config.closer is not None:
        left_out.append("It is the first look; isl fragmentation looks closer a second time.")
    return Program(
        model=model,
        function=lambda frames: _seen(model, frames),
        input=Port(
            name="frame",
            axes="bcyx",
            shape=("b", 1, size, size),
            channels=("transmitted",),
            says="a frame of one embryo each, in [0, 1]",
        ),
        outputs=(
            Port(
                name="probability",
                axes="bcyx",
                channels=("embryo", "fragment"),
                says="probability of embryo, and of fragment, at every pixel",
            ),
            Port(
                name="share",
                axes="bc",
                channels=("fragments",),
                says="area of fragments over the embryo's; not a number without an embryo",
            ),
        ),
        trial=_trial(size),
        left_out=tuple(left_out),
    )


def _trial(size: int) -> np.ndarray:
    """A disk with a smaller one beside it, float32 [1, 1, size, size] in [0, 1]."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    noise = np.random.default_rng(0).normal(size=(size, size))
    frame = 0.4 + 0.2 * (np.hypot(y, x) < 0.3) + 0.1 * (np.hypot(y - 0.2, x) < 0.08) + 0.02 * noise
    return np.clip(frame, 0, 1).astype(np.float32)[None, None]


def _seen(model: FragmentationModel, frames: jax.Array) -> Mapping[str, jax.Array]:
    """float32 [B, 1, Y, X] in [0, 1] to what `export` says."""
    said = model.network(_stretched(frames[:, 0])[..., None])
    probability = jax.nn.sigmoid(said.logits)
    embryo = probability[..., EMBRYO] > 0.5
    fragment = embryo & (probability[..., FRAGMENT] > 0.5)
    areas = [each.astype(jnp.float32).sum(axis=(1, 2)) for each in (fragment, embryo)]
    return {
        "probability": jnp.moveaxis(probability, -1, 1),
        "share": (areas[0] / areas[1])[:, None],
    }


def _stretched(frames: jax.Array) -> jax.Array:
    """Contrast as `isl.fragmentation.view.seen` stretches it: float32 [B, Y, X] to the same."""
    count = frames.shape[1] * frames.shape[2]
    ordered = jnp.sort(frames.reshape(frames.shape[0], count), axis=1)
    low, high = (_percentile(ordered, percent) for percent in (CUT, 100 - CUT))
    apart = jnp.maximum(high - low, LEAST_CONTRAST)
    return jnp.clip((frames - low) / apart, 0, 1)


def _percentile(ordered: jax.Array, percent: float) -> jax.Array:
    """Between the two nearest of numbers [B, N] in order, as NumPy has it: [B, 1, 1]."""
    place = percent / 100 * (ordered.shape[1] - 1)
    below = int(place)
    pair = ordered[:, below : below + 2]
    return (pair[:, :1] + (place - below) * (pair[:, 1:] - pair[:, :1]))[..., None]
