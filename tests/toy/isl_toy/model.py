"""The network, its folder, and what isl is told of models of this kind."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.networks import draw_weights
from isl.model_folder import (
    WEIGHTS_FILE,
    FolderConfig,
    check_folder,
    fill,
    read_folder_config,
    read_weights,
)
from isl.model_kinds import ModelKind, find_model


class BrightnessConfig(FolderConfig):
    """What `model.toml` says."""

    kind: Literal["brightness"] = "brightness"
    unit: str


class BrightnessNetwork(nnx.Module):
    """One weight for the mean, and one bias."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.line = nnx.Linear(1, 1, rngs=rngs)
        draw_weights(self, rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """From images [B, Y, X] in [0, 1] to brightness [B]."""
        return self.line(jnp.mean(images, axis=(1, 2))[:, None])[:, 0]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BrightnessModel:
    """A loaded model."""

    config: BrightnessConfig
    network: BrightnessNetwork

    def predict(self, image: np.ndarray) -> float:
        """The brightness of one image [Y, X] in [0, 1]."""
        return float(self.network(jnp.asarray(image, jnp.float32)[None])[0])


def load(name_or_directory: str | Path) -> BrightnessModel:
    directory = find_model(name_or_directory)
    config = read_folder_config(directory, BrightnessConfig)
    check_folder(directory, config)
    network = BrightnessNetwork(nnx.Rngs(0))
    fill(network, read_weights(directory / WEIGHTS_FILE), source=str(directory))
    return BrightnessModel(config=config, network=network)


def summary(directory: Path) -> str:
    return f"brightness in {read_folder_config(directory, BrightnessConfig).unit}"


def describe(directory: Path) -> list[tuple[str, str]]:
    return [("model", directory.name), ("summary", summary(directory))]


KIND = ModelKind(
    load=load, summary=summary, describe=describe, bundled=Path(__file__).parent / "models"
)
