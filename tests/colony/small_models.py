"""Models too small to be of use, with made-up weights."""

from pathlib import Path

import numpy as np
from flax import nnx

from isl.backbones.vgg import VGGConfig
from isl.colony.model import ColonyConfig, ColonyModel, load_colony_model, save_colony_model
from isl.colony.network import NetworkConfig, build_network

CLASSES = ("debris", "dense", "differentiated", "spread")
NETWORK = NetworkConfig(backbone=VGGConfig(depth=11, width=2, blocks=3), scales=1)


def saved_model(folder: Path, **settings) -> ColonyModel:
    config = ColonyConfig(
        **{
            "name": folder.name,
            "network": NETWORK,
            "classes": CLASSES,
            "patch": 32,
            "pixel_size": 0.8,
            "undecided": 0.0,
            **settings,
        }
    )
    network = build_network(
        config.network, len(config.channels), len(config.classes), rngs=nnx.Rngs(0)
    )
    rng = np.random.default_rng(0)
    network.dense.bias[...] = rng.normal(size=len(config.classes)).astype(np.float32)
    save_colony_model(folder, network, config, "# made up\n", overwrite=True)
    return load_colony_model(folder)
