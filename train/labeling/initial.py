"""What a labeling network starts from: intensities' histograms, or another model's weights."""

from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from isl.backbones.efficientnet_weights import start_from_pretrained
from isl.backbones.encoder_unet import EncoderUNetConfig
from isl.errors import InputError
from isl.labeling.bins import BINS
from isl.labeling.heads import Head
from isl.labeling.model import load_model
from isl.labeling.network import LabelingNetwork
from isl.model_folder import arrays_of, fill

from .config import LabelingConfig
from .ground import Ground

_UNSEEN = 0.1
"""Pixels added to every bin, so that an intensity that never occurred stays possible."""
_KERNEL_SHARE = 0.3
"""Of a fresh head's kernel is kept: with all of it the first logits hide the histogram, and with
none of it the body learns nothing from the first update."""


def with_histogram_biases(network: LabelingNetwork, ground: Ground) -> None:
    """Starts each head's bias at the logarithm of its intensities' frequencies, its kernel small.

    The network then begins near the best answer that does not look at the image, and need not spend
    its first steps on learning it (specification, section 6).

    Args:
        network: Changed in place.
        ground: Its training fields are counted, where measured.
    """
    labels = np.full((len(ground.labels), BINS), _UNSEEN)
    planes = np.full((len(network.plane_heads), BINS), _UNSEEN)
    for field in ground.training:
        targets, measured = field.targets, field.measured
        for index, counts in enumerate(labels):
            counts += _counted(targets[..., index][measured[..., index]])
        transmitted, visible = field.transmitted, field.visible
        for plane, counts in enumerate(planes):
            counts += _counted(transmitted[..., plane][visible])
    for label, counts in zip(ground.labels, labels, strict=True):
        _begin_at(network.label_heads[label], _log_shares(counts))
    for head, counts in zip(network.plane_heads, planes, strict=True):
        _begin_at(head, _log_shares(counts))


def _begin_at(head: Head, logits: jax.Array) -> None:
    assert head.linear.bias is not None
    head.linear.bias[...] = logits
    head.linear.kernel[...] = _KERNEL_SHARE * head.linear.kernel[...]


def log_histogram(values: Iterable[np.ndarray]) -> jax.Array:
    """float32 [256]: log frequencies of intensities in [0, 1], each bin counted a little."""
    counts = np.full(BINS, _UNSEEN)
    for part in values:
        counts += _counted(part)
    return _log_shares(counts)


def _counted(intensities: np.ndarray) -> np.ndarray:
    return np.bincount(np.round(intensities * (BINS - 1)).astype(np.int64), minlength=BINS)


def _log_shares(counts: np.ndarray) -> jax.Array:
    return jnp.asarray(np.log(counts / counts.sum()), jnp.float32)


def start_encoder(network: LabelingNetwork, config: LabelingConfig) -> None:
    """Gives a body that has a pretrained encoder its weights, in place; others stay as they are."""
    if isinstance(config.network, EncoderUNetConfig):
        start_from_pretrained(network.body.encoder, config.network.encoder)


def start_from_model(network: LabelingNetwork, model: str | Path) -> tuple[int, list[str]]:
    """Copies another model's arrays wherever name and shape agree.

    Heads of labels that the other model lacks stay fresh, and so does the first layer where the
    number of planes differs.

    Args:
        network: Changed in place.
        model: A model folder, or the name of a bundled model.

    Returns:
        How many arrays were copied, and the parts of the network that hold fresh ones.

    Raises:
        InputError: There is no such model, or nothing in it fits.
    """
    given = arrays_of(load_model(model).network)
    wanted = arrays_of(network)
    fits = {
        name for name, array in wanted.items() if name in given and given[name].shape == array.shape
    }
    if not any(name.startswith("body/") for name in fits):
        raise InputError(
            f"start.model {model}: nothing of its body fits this network; give the table network "
            "the architecture of that model"
        )
    merged = {name: given[name] if name in fits else array for name, array in wanted.items()}
    fill(network, merged, source=str(model))
    fresh = [name.rpartition("/")[0] for name in wanted if name not in fits]
    return len(fits), list(dict.fromkeys(fresh))
