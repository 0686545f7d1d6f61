"""Predictions in the camera's own counts: normalization undone, by a field or by the whole set."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from isl.errors import InputError
from isl.files.whole import written_whole
from isl.imaging.image import FluorescenceImage
from isl.imaging.normalize import normalize_label
from isl.preprocess.record import FieldRecord
from isl.preprocess.stages.normalization import Normalization, to_raw

# Statistics of `isl predict` that are intensities, differences of intensities, and no intensities.
SPREADS = ("standard_deviation", "interval_90")
UNITLESS = ("probability_nonzero", "entropy", "abstained")

_ADAPTER = pydantic.TypeAdapter(dict[str, tuple[Normalization, ...]])


def of_the_set(records: Sequence[FieldRecord], labels: Sequence[str]) -> dict[str, Normalization]:
    """What undoes the labels' normalization where a field's own is not known: the fields' mean.

    Args:
        records: Fields of the set.
        labels: Which labels; a field that lacks one does not count for it.
    """
    found = {}
    for label in labels:
        own = [
            record.normalization[label][0] for record in records if label in record.normalization
        ]
        counts = float(np.mean([1 / each.scale for each in own]))
        zero = float(np.mean([-each.offset / each.scale for each in own]))
        found[label] = Normalization(
            scale=1 / counts,
            offset=-zero / counts,
            mean=float(np.mean([each.mean for each in own])),
            deviation=float(np.mean([each.deviation for each in own])),
        )
    return found


def write_normalization(path: Path, normalization: Mapping[str, Normalization]) -> None:
    """Writes what `read_normalization` reads.

    Raises:
        InputError: It cannot be written.
    """
    stated = {label: (each,) for label, each in normalization.items()}
    with written_whole(path, overwrite=True) as unfinished:
        unfinished.write_bytes(_ADAPTER.dump_json(stated, indent=1) + b"\n")


def read_normalization(path: Path) -> dict[str, Normalization]:
    """Normalization of each label, from a field's record or a set's normalization.json.

    Raises:
        InputError: It is missing, or neither.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        found = _ADAPTER.validate_python(stated.get("normalization", stated))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: says nothing of normalization; name fields/NAME.json or normalization.json "
            "of a folder that isl preprocess wrote"
        ) from error
    return {label: each[0] for label, each in found.items() if each}


def in_counts(
    image: FluorescenceImage, normalization: Mapping[str, Normalization], *, spread: bool = False
) -> FluorescenceImage:
    """A predicted image in the counts of the raw images it was learned from.

    Args:
        image: Channels as `isl predict` stores them, full scale = 1.
        normalization: Of each label.
        spread: Whether the values are standard deviations, which know no zero.

    Returns:
        float32 channels, counts above the sensor's offset; the rest as it was.

    Raises:
        InputError: A label's normalization is not known.
    """
    channels = np.empty(image.channels.shape, np.float32)
    for number, label in enumerate(image.labels):
        if label not in normalization:
            raise InputError(
                f"{image.source or image.name}: nothing says how '{label}' was normalized (known: "
                f"{', '.join(normalization)})"
            )
        values = normalize_label(image.channels[..., number, :, :], source=image.source)
        own = normalization[label]
        channels[..., number, :, :] = (
            values / np.float32(own.scale) if spread else to_raw(values, own)
        )
    return FluorescenceImage(
        name=image.name,
        channels=channels,
        labels=image.labels,
        pixel_size=image.pixel_size,
        interval=image.interval,
        times=image.times,
        source=image.source,
    )
