"""Label-free microscopy in, measured biology out.

The names below are loaded when they are first used, so that importing `isl` costs nothing:

    import isl
    model = isl.load_model("NAME")
    prediction = model.predict(isl.read_transmitted("field.tif"), statistics=("median", "entropy"))
    prediction = model.predict(array, axes="ZYX", pixel_size=0.3, z_step=1.0)
    isl.write_ome_tiff("predicted.ome.tif", prediction.image())
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isl.errors import InputError
    from isl.imaging.formats.ome_tiff import write_ome_tiff
    from isl.imaging.image import FluorescenceImage, Movie, PixelSize, ZStack
    from isl.imaging.inputs.read import find_inputs, read_fluorescence, read_transmitted
    from isl.labeling.model import Ensemble, Model, load_models
    from isl.labeling.predict import Prediction, predict
    from isl.model_folder import bundled_models
    from isl.model_kinds import load_model

__all__ = [
    "Ensemble",
    "FluorescenceImage",
    "InputError",
    "Model",
    "Movie",
    "PixelSize",
    "Prediction",
    "ZStack",
    "bundled_models",
    "find_inputs",
    "load_model",
    "load_models",
    "predict",
    "read_fluorescence",
    "read_transmitted",
    "write_ome_tiff",
]

_MODULES = {
    "isl.errors": ("InputError",),
    "isl.imaging.image": ("FluorescenceImage", "Movie", "PixelSize", "ZStack"),
    "isl.imaging.inputs.read": ("find_inputs", "read_fluorescence", "read_transmitted"),
    "isl.imaging.formats.ome_tiff": ("write_ome_tiff",),
    "isl.labeling.model": ("Ensemble", "Model", "load_models"),
    "isl.model_folder": ("bundled_models",),
    "isl.model_kinds": ("load_model",),
    "isl.labeling.predict": ("Prediction", "predict"),
}
_ORIGIN = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Loads the module that a public name comes from (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("isl")
    if name not in _ORIGIN:
        raise AttributeError(f"module 'isl' has no attribute '{name}'")
    return getattr(importlib.import_module(_ORIGIN[name]), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
