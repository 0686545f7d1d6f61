"""A backbone that stays as it is: its vectors of all images, made once and kept."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.colony.network import (
    ColonyNetwork,
    EncoderVector,
    build_network,
)
from isl.files.whole import written_whole
from isl.model_folder import abstract_arrays

from .augment import augmented, seen
from .config import ColonyExperiment
from .ground import Ground
from .images import Images
from .split import Split

FOLDER = "vectors"
_AT_ONCE = 64


def backbone_of(
    experiment: ColonyExperiment, images: Images, start: Callable[[], ColonyNetwork] | None = None
) -> Any:
    """The backbone of an experiment: of the model to begin with, or as `build_network` gives it."""
    if start is not None:
        network = start()
    else:
        sizes = len(images.channels), len(images.classes)
        network = build_network(experiment.network, *sizes, rngs=nnx.Rngs(experiment.seed))
    network.eval()
    return network.backbone


def with_vectors(
    images: Images,
    experiment: ColonyExperiment,
    folder: Path,
    *,
    start: Callable[[], ColonyNetwork] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Images:
    """Images with their vectors and the backbone that made them; see `vectors_of`."""
    backbone = backbone_of(experiment, images, start)
    vectors = vectors_of(images, experiment, backbone, folder, say)
    return dataclasses.replace(images, vectors=vectors, backbone=backbone)


def vectors_of(
    images: Images,
    experiment: ColonyExperiment,
    backbone: Any,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> np.ndarray:
    """What a backbone makes of patches and of their augmented views.

    Args:
        images: All images; vectors that they have are not looked at.
        experiment: Has `frozen`.
        backbone: In evaluation mode.
        folder: Where vectors are kept, and looked for first; None: nowhere.
        say: Told what is done.

    Returns:
        float32 [N, places, 1 + views, D]: of each patch as it is, and of its augmented views.
    """
    frozen = experiment.frozen
    if frozen is None:
        raise ValueError("the experiment's backbone is not frozen")
    file = None
    if folder is not None:
        file = folder / f"{_fingerprint(images, experiment, backbone)}.npy"
        if file.is_file():
            return np.load(file)
    say(
        f"computing the frozen backbone's vectors of {len(images.names)} images, "
        f"{frozen.places} x {1 + frozen.views} views each"
    )
    nothing = np.zeros(0, int)
    ground = Ground(
        images=images,
        split=Split(labelled=nothing, validation=nothing, unlabelled=nothing),
        patch=experiment.patch,
    )
    plain, view = _programs(experiment, backbone)
    every = np.arange(len(images.names))
    portions = []
    for first in range(0, len(every), _AT_ONCE):
        which = every[first : first + _AT_ONCE]
        # One size is one compiled program.
        padded = np.resize(which, _AT_ONCE)
        patches = jnp.asarray(ground.fixed(padded, frozen.places))
        keys = jax.random.split(jax.random.key(frozen.seed + first), frozen.views)
        made = [plain(patches), *(view(patches, key) for key in keys)]
        stacked = np.stack([np.asarray(each, np.float32) for each in made], axis=1)
        by_image = stacked.reshape(_AT_ONCE, frozen.places, *stacked.shape[1:])
        portions.append(by_image[: len(which)])
    vectors = np.concatenate(portions)
    if file is not None:
        with written_whole(file, overwrite=True) as temporary, temporary.open("wb") as opened:
            np.save(opened, vectors)
    return vectors


def hold_statistics(network: ColonyNetwork, vectors: np.ndarray) -> None:
    """Gives a network's batch norm, in place, mean and variance of vectors float32 [N, P, D]."""
    if network.norm is not None:
        rows = vectors.reshape(-1, vectors.shape[-1]).astype(np.float64)
        network.norm.mean[...] = jnp.asarray(rows.mean(axis=0), jnp.float32)
        network.norm.var[...] = jnp.asarray(rows.var(axis=0), jnp.float32)


def _programs(
    experiment: ColonyExperiment, backbone: Any
) -> tuple[Callable[[jax.Array], jax.Array], Callable[[jax.Array, jax.Array], jax.Array]]:
    """Vectors of patches uint8 [B, Y, X, C] as they are, and of an augmented view of each."""
    graph, state = nnx.split(backbone)
    once, _ = nnx.split(_in_one_position(backbone))
    vector = jax.jit(lambda state, x: nnx.merge(graph, state).vector(seen(x)))
    of_view = jax.jit(
        lambda state, x, key: nnx.merge(once, state).vector(
            augmented(seen(x), experiment.augment, key)
        )
    )
    return lambda x: vector(state, x), lambda x, key: of_view(state, x, key)


def _in_one_position(backbone: Any) -> Any:
    """The same backbone, not averaging over turned patches."""
    graph, state = nnx.split(backbone)
    copied = nnx.merge(graph, state, copy=True)
    for _, part in nnx.iter_modules(copied):
        if isinstance(part, EncoderVector):
            part.config = part.config.model_copy(update={"turns": 1})
    return copied


def _fingerprint(images: Images, experiment: ColonyExperiment, backbone: Any) -> str:
    """What vectors depend on, in 16 hexadecimal digits."""
    settings = [
        experiment.network.backbone.model_dump(mode="json"),
        experiment.network.scales,
        experiment.patch,
        experiment.augment.model_dump(mode="json"),
        experiment.frozen and experiment.frozen.model_dump(mode="json"),
    ]
    found = hashlib.sha256(json.dumps(settings).encode())
    for image in images.images:
        found.update(np.ascontiguousarray(image.pixels).tobytes())
        found.update(np.packbits(image.mask).tobytes())
    for path, array in sorted(abstract_arrays(backbone).items()):
        found.update(path.encode())
        found.update(np.asarray(array).tobytes())
    return found.hexdigest()[:16]


__all__ = ["FOLDER", "backbone_of", "hold_statistics", "vectors_of", "with_vectors"]
