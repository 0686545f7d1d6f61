"""How well a network's autoencoding heads say what the planes of its input are.

A network that learned to say what it sees says it less well of images unlike any it learned from.
The loss is the ranked probability score, which knows that bins are neighbours: images of 8 bits
occupy few of them, and other ones after each normalization, which cross-entropy would take for all.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.labeling import losses
from isl.labeling.network import LabelingNetwork
from isl.tiling.geometry import Geometry

_OUTPUT = 32
_TINY = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlaneLoss:
    """The loss of the autoencoding heads in one place of an image.

    Attributes:
        geometry: The network's.
        parts: The network, in evaluation mode.
    """

    geometry: Geometry
    parts: tuple[nnx.GraphDef[LabelingNetwork], nnx.State]

    @property
    def width(self) -> int:
        """Pixels a side that it looks at, of which the middle is judged."""
        return self.geometry.input_size(_OUTPUT)

    def __call__(self, planes: np.ndarray) -> float:
        """Natural logarithm of the ranked probability score, mean over planes.

        Args:
            planes: float32 [Z, width, width] in [0, 1].
        """
        return float(_loss(*self.parts, jnp.asarray(np.moveaxis(planes, 0, -1)[None])))


def plane_loss(network: LabelingNetwork) -> PlaneLoss | None:
    """Of a network in evaluation mode; None: it has no autoencoding heads."""
    if not network.plane_heads:
        return None
    graph, state = nnx.split(network)
    return PlaneLoss(geometry=network.geometry, parts=(graph, state))


@functools.partial(jax.jit, static_argnums=0)
def _loss(graph: nnx.GraphDef[LabelingNetwork], state: nnx.State, batch: jax.Array) -> jax.Array:
    network = nnx.merge(graph, state)
    margin = network.geometry.margin
    seen = batch[:, margin:-margin, margin:-margin]
    logits = network.plane_logits(network.embed(batch))
    everywhere = jnp.ones(seen.shape, bool)
    scores = losses.ratio(*losses.ranked_probability_score(logits, seen, everywhere))
    return jnp.log(jnp.mean(scores) + _TINY)
