"""A polarity model as one program: all-in-focus frames in, before or after the onset out."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from isl.errors import InputError
from isl.export.program import Port, Program, Wanted, random_trial
from isl.polarity.classifier import AFTER
from isl.polarity.model import PolarityModel, load_polarity_model


def export(directory: Path, wanted: Wanted) -> Program:
    """The members of the model in a folder and the encoder that they read.

    Raises:
        InputError: The model is damaged, looks at predicted EZRIN or with networks of its own, or
            something is asked for that it has not.
    """
    wanted.only_probabilities("polarity")
    model = load_polarity_model(directory)
    config = model.config
    if model.frozen is None or config.arm != "dic" or config.combine != "mean":
        raise InputError(
            f"{directory}: only polarity models that read a pretrained encoder of DIC frames can "
            f"be exported; its arm is {config.arm}, its backbone {config.backbone.kind}"
        )
    size = config.size
    return Program(
        model=model,
        function=lambda frames: _called(model, frames),
        input=Port(
            name="frame",
            axes="bcyx",
            shape=("b", 1, size, size),
            channels=("all-in-focus DIC",),
            says="whole frames of an 8-cell embryo, lowest pixel 0 and highest 1",
        ),
        outputs=(
            Port(
                name="after_onset",
                axes="bc",
                channels=("after onset",),
                says="probability that a frame is after the onset of polarity",
            ),
        ),
        trial=random_trial(1, 1, size, size),
        left_out=(
            "For research only; it decides nothing about an embryo.",
            "It calls single frames; the all-in-focus frame, the onset of a recording, its "
            "interval and whether the recording is like those learned from are not in it.",
        ),
    )


def _called(model: PolarityModel, frames: jax.Array) -> Mapping[str, jax.Array]:
    """float32 [B, 1, Y, X] in [0, 1] to the members' mean probability [B, 1]."""
    assert model.frozen is not None
    after = []
    for reader, features in zip(model.readers, model.frozen.of_images(frames[:, 0]), strict=True):
        logits = features @ reader.kernel[...]
        logits = logits + jnp.broadcast_to(reader.bias[...], logits.shape)
        after.append(jax.nn.softmax(logits, axis=-1)[:, AFTER])
    return {"after_onset": (sum(after[1:], after[0]) / len(after))[:, None]}
