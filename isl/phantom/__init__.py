"""Simulated cells and embryos with known truth, in transmitted light and in fluorescence."""

from isl.phantom.dataset import write_phantoms
from isl.phantom.embryo import EMBRYO_LABELS, EmbryoConfig, make_embryo
from isl.phantom.embryo_dataset import write_embryos
from isl.phantom.phantom import LABELS, PhantomConfig, make_phantom

__all__ = [
    "EMBRYO_LABELS",
    "LABELS",
    "EmbryoConfig",
    "PhantomConfig",
    "make_embryo",
    "make_phantom",
    "write_embryos",
    "write_phantoms",
]
