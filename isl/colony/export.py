"""A colony model as one program: patches in, probabilities of the classes out."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from isl.colony.model import ColonyModel, load_colony_model
from isl.export.program import Port, Program, Wanted, random_trial


def export(directory: Path, wanted: Wanted) -> Program:
    """The network of the model in a folder, with standardization and temperature.

    Raises:
        InputError: The model is damaged, or something is asked for that it has not.
    """
    wanted.only_probabilities("colony")
    model = load_colony_model(directory)
    config = model.config
    size = f"{config.pixel_size:g} um a pixel" if config.pixel_size else "as they are"
    return Program(
        model=model,
        function=lambda patches: _classified(model, patches),
        input=Port(
            name="patch",
            axes="bcyx",
            shape=("b", len(config.channels), config.patch, config.patch),
            channels=config.channels,
            says=f"pictures of one {config.subject} each, in [0, 1], {size}",
        ),
        outputs=(
            Port(
                name="probability",
                axes="bc",
                channels=config.classes,
                says="probability of every class",
            ),
        ),
        pixel_size=config.pixel_size,
        trial=random_trial(1, len(config.channels), config.patch, config.patch),
        left_out=(
            "It says what one patch shows; finding colonies, and drawing patches of them, is left "
            "to who calls it.",
        ),
    )


def _classified(model: ColonyModel, patches: jax.Array) -> Mapping[str, jax.Array]:
    """float32 [B, C, Y, X] in [0, 1] to float32 [B, classes]."""
    means = patches.mean(axis=(2, 3), keepdims=True)
    deviations = jnp.sqrt(jnp.square(patches - means).mean(axis=(2, 3), keepdims=True))
    # As `isl.colony.patches.standardized`.
    seen = (patches - means) / (deviations + 1e-3)
    logits = model.network(jnp.moveaxis(seen, 1, -1))
    return {"probability": jax.nn.softmax(logits / model.config.temperature, axis=-1)}
