"""What all images of a channel share - dust, uneven light - taken from a sample of the set."""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.imaging.files import written_whole
from isl.imaging.image import FluorescenceImage
from isl.imaging.ome_tiff import write_ome_tiff
from isl.imaging.read import read_picture
from isl.preprocess import scratch
from isl.preprocess.additive_dust import AdditiveDust, estimate_additive_dust
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates, acquire, without_additive_dust
from isl.preprocess.flat_field import estimate_flat_field, smooth
from isl.preprocess.layout import PlaneSource
from isl.preprocess.medians import pixelwise_median, sample_of
from isl.preprocess.multiplicative_dust import estimate_dust
from isl.preprocess.workers import Workers

FOLDER = "estimates"
_DUST_IMAGES = ("artifact", "background", "mask")
# An error of the dust that would be seen: a tenth of the contrast that images are brought to.
MOST_ERROR = 0.02
_LEAST_OF_A_HALF = 3
# Background between specks of dust is smooth: blurred over this many of their diameters.
_BACKGROUND_DIAMETERS = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelOfSet:
    """All planes of one channel, over all fields and tiles.

    Attributes:
        name: Of the channel.
        fluorescence: Whether it is fluorescence.
        planes: The exposures of each plane of each tile.
        pixel_size: Micrometres as acquired, or None.
    """

    name: str
    fluorescence: bool
    planes: tuple[tuple[tuple[PlaneSource, ...], ...], ...]
    pixel_size: float | None

    @property
    def count(self) -> int:
        """Planes of all tiles."""
        return sum(map(len, self.planes))


def needs_estimates(channel: ChannelOfSet, config: PreprocessConfig) -> bool:
    """Whether some stage needs what the channel's images share."""
    own = "additive_dust" if channel.fluorescence else "multiplicative_dust"
    return config.runs("flat_field") or config.runs(own)


def estimate(
    channel: ChannelOfSet,
    config: PreprocessConfig,
    folder: Path,
    workers: Workers,
    progress: Callable[[int, int], None],
) -> Estimates:
    """Estimates one channel's additive dust, flat field and multiplicative dust.

    The median does not change order with a division by one field, so the flat field and the dust
    come from one median: the flat field is the median, blurred; the dust is what is left of it.

    Args:
        channel: The channel.
        config: Which stages run.
        folder: For unfinished arrays; emptied at the end.
        workers: Who does it.
        progress: Called with images done and to do.

    Raises:
        InputError: There are too few images, or they cannot be read.
    """
    sample = [channel.planes[tile][z] for tile, z in _sample(channel, config)]
    acquired = [folder / f"{number:05d}.acquired.npy" for number in range(len(sample))]
    reduced = [folder / f"{number:05d}.npy" for number in range(len(sample))]
    exposures = len(sample[0])
    acquire_one = functools.partial(_acquire, config=config, fluorescence=channel.fluorescence)
    for done, _ in enumerate(workers.map(acquire_one, zip(sample, acquired, strict=True)), 1):
        progress(done, len(acquired))
    dust = _additive_dust(channel, acquired, config, exposures) if channel.fluorescence else None
    reduce_one = functools.partial(_reduce, dust=dust, config=config)
    list(workers.map(reduce_one, zip(acquired, reduced, strict=True)))
    median, error = _median(reduced)
    scratch.remove(folder)
    flat_field = dust_field = None
    if config.runs("flat_field"):
        flat = config.flat_field
        flat_field = estimate_flat_field(
            median,
            divisor=flat.fluorescence_divisor if channel.fluorescence else flat.transmitted_divisor,
            sensor_offset=(config.sensor_offset or 0.0) * exposures,
        )
    if config.runs("multiplicative_dust") and not channel.fluorescence:
        above = median - np.float32((config.sensor_offset or 0.0) * exposures)
        dust_field = estimate_dust(above if flat_field is None else above / flat_field)
    notes = [f"additive dust: {dust.note}"] if dust is not None and dust.note else []
    if dust_field is not None and error > MOST_ERROR:
        notes.append(
            f"the median of {len(sample)} images is known to {error:.1%} a pixel, and what it errs "
            "by is divided into every image as dust; give more images of other places (sample), or "
            "leave multiplicative_dust out of 'stages'"
        )
    return Estimates(
        additive_dust=dust,
        flat_field=flat_field,
        dust=dust_field,
        images=len(sample),
        of=channel.count,
        notes=tuple(notes),
    )


def _sample(channel: ChannelOfSet, config: PreprocessConfig) -> list[tuple[int, int]]:
    """Tile and plane of each image of the sample, in the order of tiles.

    Planes of one tile show the same cells, so every tile gives one before any gives two.
    """
    if channel.count < config.sample.least:
        raise InputError(
            f"channel '{channel.name}': {channel.count} images are too few for a median over the "
            f"set, which needs {config.sample.least}; leave the stages flat_field, additive_dust "
            "and multiplicative_dust out of 'stages', or set sample.least"
        )
    rounds = -(-config.sample.images // len(channel.planes))
    spread = [
        (tile, (tile + turn) % len(planes))
        for tile, planes in enumerate(channel.planes)
        for turn in range(min(rounds, len(planes)))
    ]
    return list(sample_of(spread, config.sample.images, 0))


def _median(files: Sequence[Path]) -> tuple[np.ndarray, float]:
    """The median of each pixel, and how far it errs, relative: from the medians of two halves.

    The halves are of different tiles, but for the one in the middle.
    """
    images = [np.load(file, mmap_mode="r") for file in files]
    median = pixelwise_median(images)
    if len(images) < 2 * _LEAST_OF_A_HALF:
        return median, 0.0
    middle = len(images) // 2
    halves = pixelwise_median(images[:middle]), pixelwise_median(images[middle:])
    first, second = (half / half.mean() for half in halves)
    # What differs slowly between halves is illumination, which the flat field takes.
    fine = (first - second) - smooth(first - second, len(median) / 32)
    return median, float(fine.std()) / 2


def _acquire(
    item: tuple[tuple[PlaneSource, ...], Path], *, config: PreprocessConfig, fluorescence: bool
) -> None:
    sources, file = item
    if not scratch.is_saved(file):
        scratch.save(file, acquire(sources, config, fluorescence=fluorescence).image)


def _reduce(
    files: tuple[Path, Path], *, dust: AdditiveDust | None, config: PreprocessConfig
) -> None:
    acquired, reduced = files
    scratch.save(reduced, without_additive_dust(np.load(acquired), dust, config))


def _additive_dust(
    channel: ChannelOfSet, files: Sequence[Path], config: PreprocessConfig, exposures: int
) -> AdditiveDust | None:
    if not config.runs("additive_dust"):
        return None
    if channel.pixel_size is None:
        raise InputError(
            "stage additive_dust: how large dust is in pixels follows from the pixel size, which "
            "the files do not say; set pixel_size"
        )
    stage = config.additive_dust
    diameter = stage.disk_diameter / channel.pixel_size
    offset = config.sensor_offset
    return estimate_additive_dust(
        (np.load(file) for file in files),
        sensor_offset=None if offset is None else offset * exposures,
        disk_diameter=diameter,
        most_share=stage.most_share,
        background_sigma=_BACKGROUND_DIAMETERS * diameter,
    )


def save_estimates(folder: Path, channel: str, estimates: Estimates) -> None:
    """Writes a channel's estimates as float32 TIFFs, which Fiji opens, and CHANNEL.json last.

    Raises:
        InputError: They cannot be written.
    """
    pictures: dict[str, tuple[np.ndarray, ...]] = {}
    if estimates.additive_dust is not None:
        dust = estimates.additive_dust
        pictures["additive_dust"] = tuple(getattr(dust, name) for name in _DUST_IMAGES)
    if estimates.flat_field is not None:
        pictures["flat_field"] = (estimates.flat_field,)
    if estimates.dust is not None:
        pictures["dust"] = (estimates.dust,)
    for name, channels in pictures.items():
        labels = _DUST_IMAGES if len(channels) > 1 else (name,)
        write_ome_tiff(
            folder / f"{channel}.{name}.ome.tif",
            FluorescenceImage(
                name=channel, channels=np.stack(channels, dtype=np.float32), labels=labels
            ),
            overwrite=True,
        )
    dust = estimates.additive_dust
    said = {
        "images": estimates.images,
        "of": estimates.of,
        "notes": estimates.notes,
        "pictures": list(pictures),
        "additive_dust": None
        if dust is None
        else {
            field.name: getattr(dust, field.name)
            for field in dataclasses.fields(dust)
            if field.name not in _DUST_IMAGES
        },
    }
    with written_whole(folder / f"{channel}.json", overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def has_estimates(folder: Path, channel: str) -> bool:
    """Whether `save_estimates` finished."""
    return (folder / f"{channel}.json").is_file()


@functools.lru_cache(maxsize=8)
def load_estimates(folder: Path, channel: str) -> Estimates:
    """What `save_estimates` wrote; kept in memory, since every tile needs it."""
    said = json.loads((folder / f"{channel}.json").read_text(encoding="utf-8"))
    pictures = {
        name: read_picture(folder / f"{channel}.{name}.ome.tif").array[0, :, 0]
        for name in said["pictures"]
    }
    dust = None
    if said["additive_dust"] is not None:
        artifact, background, mask = pictures["additive_dust"]
        dust = AdditiveDust(
            artifact=artifact, background=background, mask=mask > 0, **said["additive_dust"]
        )
    return Estimates(
        additive_dust=dust,
        flat_field=pictures["flat_field"][0] if "flat_field" in pictures else None,
        dust=pictures["dust"][0] if "dust" in pictures else None,
        images=said["images"],
        of=said["of"],
        notes=tuple(said["notes"]),
    )
