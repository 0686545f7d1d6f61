"""What separate smallest patches, laid edge to edge, give, without computing them one by one.

A patch of the towers gives a block of 8 x 8 pixels, and its tower 4 samples every 16 pixels from
where the patch begins: patches with stride 8 begin at four phases of that grid. Towers 0 to 3
sample every 8 pixels or less, so patches share them, computed once for a whole tile. Tower 4 is
computed once for each phase, and so is the final tower down to where the windows of a phase no
longer overlap; its last modules see each window alone (specification, section 5).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from isl.backbones import layers
from isl.labeling.towers import Towers
from isl.tiling.geometry import Geometry


def exact_geometry(geometry: Geometry) -> Geometry:
    """Sizes of what `embed_exactly` takes: its smallest output is one block of every phase.

    Args:
        geometry: Of the towers.
    """
    block = geometry.output_size(geometry.smallest)
    return dataclasses.replace(geometry, smallest=geometry.smallest + geometry.step - block)


def embed_exactly(towers: Towers, transmitted: jax.Array) -> jax.Array:
    """The embeddings of the smallest patches at all multiples of their output's width.

    Args:
        towers: The network's body.
        transmitted: float32 [B, Y, X, Z] in [0, 1]; Y and X are valid for `exact_geometry`.

    Returns:
        [B, Y - 2 margin, X - 2 margin, D].
    """
    geometry = towers.geometry
    step, block = geometry.step, geometry.output_size(geometry.smallest)
    x = towers.project(transmitted)
    *shared, (coarsest, border) = zip(towers.towers, towers.borders, strict=True)
    beside = jnp.concatenate([tower(layers.crop(x, lost)) for tower, lost in shared], axis=-1)
    seen = layers.crop(x, border)

    def of_phase(corner: jax.Array) -> jax.Array:
        own = coarsest(_of_phase(seen, corner, step - block))
        embedded = [_of_phase(beside, corner, step - block), own]
        return _blocks(towers, jnp.concatenate(embedded, axis=-1), step, block)

    phases = step // block
    corners = block * np.indices((phases, phases), dtype=np.int32).reshape(2, -1).T
    found = lax.map(of_phase, jnp.asarray(corners))
    batch, rows, columns, *_, depth = found.shape[1:]
    found = found.reshape(phases, phases, batch, rows, columns, block, block, depth)
    size = (rows * step, columns * step)
    return found.transpose(2, 3, 0, 5, 4, 1, 6, 7).reshape(batch, *size, depth)


def _of_phase(x: jax.Array, corner: jax.Array, narrower: int) -> jax.Array:
    """[B, Y, X, C] from a corner (row, column) on, of the size that all phases have."""
    batch, rows, columns, depth = x.shape
    size = (batch, rows - narrower, columns - narrower, depth)
    return lax.dynamic_slice(x, (0, corner[0], corner[1], 0), size)


def _blocks(towers: Towers, x: jax.Array, step: int, block: int) -> jax.Array:
    """The final tower over all windows of a phase: [B, y, x, C] to [B, m, n, block, block, D].

    Where what remains of a window is `step` wide, windows lie edge to edge.
    """
    modules = list(towers.final.modules)
    alone = (step - block) // 2
    for module in modules[:-alone]:
        x = module(x)
    batch, rows, columns, depth = x.shape
    rows, columns = rows // step, columns // step
    x = x.reshape(batch, rows, step, columns, step, depth).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(-1, step, step, depth)
    for module in modules[-alone:]:
        x = module(x)
    return x.reshape(batch, rows, columns, block, block, x.shape[-1])
