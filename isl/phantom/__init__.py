"""Simulated cells, embryos and raw wells with known truth: transmitted light, fluorescence."""

from isl.phantom.dataset import write_phantoms
from isl.phantom.embryo import EMBRYO_LABELS, EmbryoConfig, make_embryo
from isl.phantom.embryo_dataset import write_embryos
from isl.phantom.phantom import LABELS, PhantomConfig, make_phantom
from isl.phantom.wells import WellConfig, WellSet, write_wells

__all__ = [
    "EMBRYO_LABELS",
    "LABELS",
    "EmbryoConfig",
    "PhantomConfig",
    "WellConfig",
    "WellSet",
    "make_embryo",
    "make_phantom",
    "write_embryos",
    "write_phantoms",
    "write_wells",
]
