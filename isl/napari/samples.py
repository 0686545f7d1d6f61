"""Simulated pictures to try the tools on, with what the simulation knows."""

import numpy as np

from isl.napari.layers import LayerData, image_layers, scaled

_SEED = 7


def cells() -> list[LayerData]:
    """A phase-contrast z-stack of simulated cells, and where nuclei and membranes are."""
    from isl.phantom.cells.field import PhantomConfig, make_phantom

    config = PhantomConfig(width=256, height=256)
    stack, labels = make_phantom(config, np.random.default_rng(_SEED), "cells")
    attributes = {
        "name": "cells",
        "colormap": "gray",
        "metadata": {"isl": {"modality": stack.modality}},
        **scaled(3, stack.pixel_size),
    }
    if stack.pixel_size is not None and stack.pixel_size.z is not None:
        size = stack.pixel_size
        attributes["scale"] = (size.z, size.y, size.x)
        attributes["units"] = ("micrometer",) * 3
    truth = image_layers(labels, statistic="true")
    for _, each, _ in truth:
        each["visible"] = False
    return [(stack.planes, attributes, "image"), *truth]


def embryo() -> list[LayerData]:
    """A frame of a simulated cleavage-stage embryo with fragments."""
    from isl.phantom.cleavage.anatomy import make_embryo
    from isl.phantom.cleavage.scene import make_scene, show

    rng = np.random.default_rng(_SEED)
    made = make_embryo(4, 0.2, rng)
    frame = show(made, make_scene(256, made, rng), rng)
    return [(frame, {"name": "embryo", "colormap": "gray"}, "image")]
