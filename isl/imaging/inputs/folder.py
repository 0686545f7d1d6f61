"""Which of a folder's files are its images."""

import logging
from collections.abc import Iterable
from pathlib import Path

from isl.imaging.formats.table import format_named, format_of, image_ending, is_photo

logger = logging.getLogger(__name__)


def images_among(files: Iterable[Path]) -> list[Path]:
    """The files that are one image each; photographs only where nothing else is an image.

    Beside images JPEGs are previews and overviews, whether or not what opens those is installed.

    Args:
        files: Of one folder, files of several images and folders too.
    """
    photos: list[Path] = []
    others: list[Path] = []
    for file in files:
        if not is_photo(file):
            others.append(file)
        elif not file.is_dir():
            photos.append(file)
    if not any(format_named(file) or format_of(file) for file in others):
        return photos
    return [file for file in others if image_ending(file) is not None]


def not_searched(folder: Path) -> str:
    """What a message says of a folder without images that holds folders; "" where it holds none."""
    inner = sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    return f", and its folders are not searched; name them, such as {inner[0]}" if inner else ""


def tell_photos_left_out(folder: Path, images: Iterable[Path]) -> None:
    """Warns of photographs in a folder that are none of its images."""
    kept = set(images)
    photos = sorted(
        entry.name
        for entry in folder.iterdir()
        if is_photo(entry)
        and entry not in kept
        and not entry.is_dir()
        and not entry.name.startswith(".")
    )
    if photos and kept:
        logger.warning(
            "%s: %d JPEG or BMP pictures beside its images are left out, such as %s; save all as "
            "TIFF or PNG",
            folder,
            len(photos),
            photos[0],
        )
