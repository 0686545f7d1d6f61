"""Simulated cells, embryos and raw wells with known truth: transmitted light, fluorescence."""

from isl.phantom.cells.dataset import write_phantoms
from isl.phantom.cells.field import LABELS, PhantomConfig, make_phantom
from isl.phantom.embryos.dataset import write_embryos
from isl.phantom.embryos.embryo import EMBRYO_LABELS, EmbryoConfig, make_embryo
from isl.phantom.wells.wells import WellConfig, WellSet, write_wells

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
