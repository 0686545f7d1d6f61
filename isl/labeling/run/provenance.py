"""Where a prediction comes from, written beside it: input, model, options, versions, time."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isl.errors import as_options
from isl.files.provenance import made_by
from isl.imaging.inputs.stated import UNSTATED, Stated
from isl.imaging.outputs.results import ResultFiles
from isl.labeling.abstention import ABSTAINED
from isl.labeling.flicker import DEFINITION, Flicker
from isl.labeling.options import Options
from isl.labeling.predict import Outcome

# What settings that came later were before they could be asked for.
FORMERLY = {
    "symmetries": False,
    "format": "ome-tiff",
    "into": False,
    "abstain": None,
    "original_unit": False,
    "z_step": None,
    "modality": None,
    "median": "published",
    "seed": 0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """What was asked for and decides the result, as far as the model's `Options` do not say it.

    Attributes:
        model: The model's name.
        model_hash: sha256 of its weights.
        options: As checked against the model.
        dtype: Pixel type of the images written; see `pixel_type`.
        format: What they are written as, where predicted channels are images of their own.
        into: Whether predicted channels are added to a copy of the input.
        stated: What was said of the images.
        origin: What the model was loaded by: names of bundled models and folders, with commas.
    """

    model: str
    model_hash: str
    options: Options
    dtype: str
    format: str = "ome-tiff"
    into: bool = False
    stated: Stated = UNSTATED
    origin: str | None = None

    def pixel_type(self, statistic: str) -> str:
        """What a statistic is stored as: a mask's own image has 8 bits, and 255 where it holds."""
        return "uint8" if statistic == ABSTAINED and not self.into else self.dtype

    def settings(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON would give it back."""
        settings = dataclasses.asdict(self.options) | {
            "dtype": self.dtype,
            "format": self.format,
            "into": self.into,
            **dataclasses.asdict(self.stated),
        }
        # How an image is cut into tiles changes nothing but rounding; the other is the model's.
        del settings["tile"], settings["normalized_by"]
        return json.loads(json.dumps(settings))


def record(
    call: Call,
    prediction: Outcome,
    files: ResultFiles,
    *,
    source: Path,
    source_hash: str,
    stored: Mapping[str, Any],
    flicker: Flicker | None,
    abstained: Mapping[str, float] | None,
    width: int,
    batch: int,
    images: Mapping[str, str],
    device: str,
    seconds: float,
) -> dict[str, Any]:
    """Everything needed to know how a result was made, and to make it again.

    Args:
        call: What was asked for.
        prediction: What came of it.
        files: Where it is written.
        source: The input file or folder.
        source_hash: Its `content_hash`.
        stored: Axes, shape and pixel type of the input as it was read.
        flicker: Of a movie.
        abstained: By label, the share of pixels abstained from; None: there is no mask.
        width: The widest output of a tile.
        batch: How many tiles were predicted together.
        images: The `content_hash` of every image, by statistic.
        device: What computed it.
        seconds: Wall time from opening the input to the last image.
    """
    size = prediction.pixel_size
    facts = {
        "sha256": source_hash,
        **stored,
        "planes": list(prediction.planes),
        "pixel_size": None if size is None else dataclasses.asdict(size),
    }
    made = made_by("isl predict", source=source, facts=facts, settings=call.settings())
    return made | {
        "model": {"name": call.model, "sha256": call.model_hash, "origin": call.origin},
        "border": {"kind": prediction.options.border, "offset": prediction.offset},
        "labels": list(prediction.labels),
        "statistics": list(call.options.statistics),
        "normalization_choice": _choice(prediction),
        "normalization": [
            [dataclasses.asdict(plane) for plane in planes] for planes in prediction.normalization
        ],
        "renormalization": [dataclasses.asdict(label) for label in prediction.renormalization],
        "flicker": flicker and {"definition": DEFINITION} | dataclasses.asdict(flicker),
        "abstained": abstained and {"width": call.options.abstain, "share": dict(abstained)},
        "tiles": {
            "count": prediction.tiles,
            "reads": list(prediction.tile_size),
            "width": width,
            "batch": batch,
        },
        "outputs": {
            "images": {
                name: path.relative_to(files.record.parent).as_posix()
                for name, path in files.images.items()
            },
            "preview": files.preview.name,
            "sha256": dict(images),
        },
        "familiarity": prediction.familiarity and prediction.familiarity.record,
        "warnings": [as_options(warning) for warning in prediction.warnings],
        "device": device,
        "seconds": round(seconds, 3),
    }


def _choice(prediction: Outcome) -> str:
    """What normalization did to all planes of all time points."""
    if prediction.options.normalize == "off":
        return "off"
    done = {plane.done for planes in prediction.normalization for plane in planes}
    return done.pop() if len(done) == 1 else "plane by plane"
