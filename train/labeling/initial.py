"""What a labeling network starts from: intensities' histograms, or another model's weights."""

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
    for index, label in enumerate(ground.labels):
        values = [f.targets[..., index][f.measured[..., index]] for f in ground.training]
        _begin_at(network.label_heads[label], log_histogram(values))
    for plane, head in enumerate(network.plane_heads):
        values = [f.transmitted[..., plane][f.visible] for f in ground.training]
        _begin_at(head, log_histogram(values))


def _begin_at(head: Head, logits: jax.Array) -> None:
    assert head.linear.bias is not None
    head.linear.bias[...] = logits
    head.linear.kernel[...] = _KERNEL_SHARE * head.linear.kernel[...]


def log_histogram(values: list[np.ndarray]) -> jax.Array:
    """float32 [256]: log frequencies of intensities in [0, 1], each bin counted a little."""
    counts = np.full(BINS, _UNSEEN)
    for part in values:
        counts += np.bincount(np.round(part * (BINS - 1)).astype(np.int64), minlength=BINS)
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
