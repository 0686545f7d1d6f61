"""What people draw: LabelMe's shapes and COCO's polygons, as masks and back.

One rule for borders: a pixel belongs to a shape if its centre does, pixel (0, 0) having its centre
at (0.5, 0.5), as LabelMe and COCO count. Fragments are painted over cells; cells and fragments
together are the embryo.
"""

import dataclasses
import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skimage.draw import polygon2mask
from skimage.measure import approximate_polygon, find_contours

from isl.errors import InputError
from isl.files.whole import write_text
from isl.fragmentation.stored_masks import from_picture, from_run_lengths

BACKGROUND, EMBRYO, FRAGMENT = 0, 1, 2
SPELLINGS: Mapping[str, int] = {
    "cell": EMBRYO,
    "cells": EMBRYO,
    "blastomere": EMBRYO,
    "blastomeres": EMBRYO,
    "embryo": EMBRYO,
    "fragment": FRAGMENT,
    "fragments": FRAGMENT,
    "frag": FRAGMENT,
}
"""What labels mean, whatever their case."""

_TOLERANCE = 0.6

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """The shapes of one image.

    Attributes:
        image: Name of the image's file.
        height: Pixels.
        width: Pixels.
        shapes: What each is (EMBRYO or FRAGMENT) and its polygon, float64 [N, 2] as (x, y).
        masks: What each of those is that are stored pixel by pixel, and it, bool [Y, X].
    """

    image: str
    height: int
    width: int
    shapes: tuple[tuple[int, np.ndarray], ...]
    masks: tuple[tuple[int, np.ndarray], ...] = ()


def painted(outlines: Outlines) -> np.ndarray:
    """The shapes as labels, uint8 [Y, X]; fragments over cells."""
    labels = np.zeros((outlines.height, outlines.width), np.uint8)
    for wanted in (EMBRYO, FRAGMENT):
        for what, points in outlines.shapes:
            if what == wanted:
                labels[_filled(points, labels.shape)] = what
        for what, mask in outlines.masks:
            if what == wanted:
                labels[mask] = what
    return labels


def read_labelme(
    path: Path,
    meanings: Mapping[str, int] = SPELLINGS,
    *,
    size: tuple[int, ...] | None = None,
) -> Outlines:
    """Reads LabelMe's JSON: polygons, rectangles, circles and masks.

    Args:
        path: The file.
        meanings: Labels, in lower case, and what they are; BACKGROUND: left out.
        size: Y and X that it must be of; None: any.

    Raises:
        InputError: It cannot be read, is of another size, a label is not known, or a shape crosses
            itself or lies outside the image.
    """
    tables = _read_json(path)
    try:
        height, width = int(tables["imageHeight"]), int(tables["imageWidth"])
        check_size((height, width), size, path)
        image = _file_name(tables.get("imagePath") or path.stem)
        drawn = [s for s in tables["shapes"] if s.get("shape_type") != "mask"]
        shapes = [_labelme_shape(shape, path, meanings, (height, width)) for shape in drawn]
        masks = [
            (
                _meaning(str(shape["label"]), path, meanings),
                from_picture(shape["mask"], shape["points"], (height, width)),
            )
            for shape in tables["shapes"]
            if shape.get("shape_type") == "mask"
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: is not LabelMe's JSON ({error!r})") from error
    kept = tuple(shape for shape in shapes if shape is not None and shape[0] != BACKGROUND)
    for number, (_, points) in enumerate(kept, start=1):
        _check_polygon(points, (height, width), f"{path}: shape {number}")
    return Outlines(
        image=image,
        height=height,
        width=width,
        shapes=kept,
        masks=tuple(mask for mask in masks if mask[0] != BACKGROUND),
    )


def read_coco(
    path: Path,
    image: str | None = None,
    meanings: Mapping[str, int] = SPELLINGS,
    *,
    size: tuple[int, ...] | None = None,
) -> Outlines:
    """Reads the polygons and run-length masks of one image from COCO's JSON.

    Args:
        path: The file.
        image: The image's file name; None: the file is about one image only.
        meanings: Category names, in lower case, and what they are; BACKGROUND: left out.
        size: Y and X that the image must be of; None: any.

    Raises:
        InputError: It cannot be read, is about other images, or a polygon is damaged.
    """
    tables = _read_json(path)
    try:
        entries = [
            entry
            for entry in tables["images"]
            if image is None or _file_name(entry["file_name"]) == image
        ]
        if len(entries) != 1:
            raise InputError(
                f"{path}: is about {len(entries)} images"
                + (f" named '{image}'" if image else "; name one")
            )
        entry = entries[0]
        names = {category["id"]: str(category["name"]) for category in tables["categories"]}
        height, width = int(entry["height"]), int(entry["width"])
        check_size((height, width), size, path)
        shapes: list[tuple[int, np.ndarray]] = []
        masks: list[tuple[int, np.ndarray]] = []
        images = {each["id"] for each in tables["images"]}
        for annotation in tables["annotations"]:
            _check_references(annotation, images, names, path)
            if annotation["image_id"] != entry["id"]:
                continue
            what = _meaning(names[annotation["category_id"]], path, meanings)
            if what == BACKGROUND:
                continue
            if isinstance(annotation.get("segmentation"), dict):
                masks.append((what, _coco_mask(annotation, (height, width))))
            else:
                shapes += [(what, part) for part in _coco_parts(annotation, path)]
        image = _file_name(entry["file_name"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: is not COCO's JSON ({error!r})") from error
    for number, (_, points) in enumerate(shapes, start=1):
        _check_polygon(points, (height, width), f"{path}: polygon {number}")
    return Outlines(
        image=image, height=height, width=width, shapes=tuple(shapes), masks=tuple(masks)
    )


def _file_name(path: object) -> str:
    """The last part of a path of any system."""
    return re.split(r"[\\/]", str(path))[-1]


def _check_references(
    annotation: Mapping[str, Any], images: Collection[Any], names: Mapping[Any, str], path: Path
) -> None:
    """Refuses what would be left out or painted as something else without a word."""
    for key, known in (("image_id", images), ("category_id", names)):
        if annotation[key] not in known:
            raise InputError(
                f"{path}: annotation {annotation.get('id', '?')} has {key} {annotation[key]!r}, "
                f"which is none of the file's {sorted(known, key=str)[:6]}; export it again"
            )


def check_size(own: tuple[int, int], size: tuple[int, ...] | None, path: Path) -> None:
    """Refuses outlines of another size than their picture, before anything is drawn.

    Raises:
        InputError: They are.
    """
    if size is not None and own != size:
        raise InputError(
            f"{path}: is {own[1]} x {own[0]}, but its picture is {size[1]} x {size[0]} (turned as "
            "its EXIF says)"
        )


def outlines_of(labels: np.ndarray, image: str) -> Outlines:
    """Polygons around what a mask holds: the embryo's parts, and every fragment.

    Args:
        labels: uint8 [Y, X] of BACKGROUND, EMBRYO, FRAGMENT.
        image: Name of the image's file.
    """
    shapes: list[tuple[int, np.ndarray]] = []
    for what in (EMBRYO, FRAGMENT):
        padded = np.pad((labels >= what).astype(float), 1)
        for contour in find_contours(padded, 0.5):
            # Contours run counter-clockwise around what is high; the others are holes.
            points = approximate_polygon(contour, _TOLERANCE)[:-1, ::-1] - 0.5
            if len(points) >= 3 and _area(points) * _turn(contour) > 1.0:
                shapes.append((what, points))
    return Outlines(
        image=image, height=labels.shape[0], width=labels.shape[1], shapes=tuple(shapes)
    )


def write_labelme(path: Path, outlines: Outlines, *, overwrite: bool = False) -> None:
    """Writes LabelMe's JSON, with the image beside it by its name."""
    names = {EMBRYO: "embryo", FRAGMENT: "fragment"}
    tables = {
        "version": "5.2.1",
        "flags": {},
        "shapes": [
            {
                "label": names[what],
                "points": np.round(points, 2).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for what, points in outlines.shapes
        ],
        "imagePath": outlines.image,
        "imageData": None,
        "imageHeight": outlines.height,
        "imageWidth": outlines.width,
    }
    write_text(path, json.dumps(tables, indent=1), overwrite=overwrite)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(tables, dict):
        raise InputError(f"{path}: holds no JSON object")
    return tables


def _labelme_shape(
    shape: Mapping[str, Any], path: Path, meanings: Mapping[str, int], size: tuple[int, int]
) -> tuple[int, np.ndarray] | None:
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], float)
    if kind in ("point", "line", "linestrip", "points"):
        logger.warning("%s: a %s ('%s') has no area and is left out", path, kind, shape["label"])
        return None
    what = _meaning(str(shape["label"]), path, meanings)
    if kind == "rectangle" and points.shape == (2, 2):
        (x0, y0), (x1, y1) = points
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    elif kind == "circle" and points.shape == (2, 2):
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        radius = float(np.hypot(*(points[1] - points[0])))
        drawn, corner = points, np.array(size[::-1])
        points = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        # An embryo that the border cuts is drawn by a centre and a rim that are there.
        if (drawn >= 0).all() and (drawn <= corner).all():
            points = np.clip(points, 0, corner)
    elif kind != "polygon" or points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise InputError(
            f"{path}: a shape '{shape['label']}' is a {kind} of {len(points)} points; polygons of "
            "three points or more, rectangles and circles can be read"
        )
    return what, points


def _coco_parts(annotation: Mapping[str, Any], path: Path) -> list[np.ndarray]:
    number = annotation.get("id", "?")
    found = []
    if not annotation.get("segmentation"):
        raise InputError(
            f"{path}: annotation {number} is a box without an outline; outline it, or delete it"
        )
    for part in annotation["segmentation"]:
        if len(part) % 2 or len(part) < 6:
            raise InputError(
                f"{path}: annotation {number} has a polygon of {len(part)} numbers; expected x and "
                "y of three points or more"
            )
        found.append(np.asarray(part, float).reshape(-1, 2))
    return found


def _coco_mask(annotation: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    mask = from_run_lengths(annotation["segmentation"])
    if mask.shape != size:
        raise ValueError(f"annotation {annotation.get('id', '?')} has a mask of another size")
    return mask


def _meaning(label: str, path: Path, meanings: Mapping[str, int]) -> int:
    what = meanings.get(label.strip().lower())
    if what is None:
        raise InputError(
            f"{path}: the label '{label}' is not known (known: {', '.join(sorted(meanings))}); say "
            f"what it is in the dataset's file: labels = {{ '{label}' = 'embryo' }}, or "
            "'fragment', or 'ignore'"
        )
    return what


def _check_polygon(points: np.ndarray, size: tuple[int, int], where: str) -> None:
    height, width = size
    outside = (points < -1).any() or (points > np.array([width, height]) + 1).any()
    if outside or not np.isfinite(points).all():
        raise InputError(
            f"{where} reaches beyond the image ({width} x {height}); was it drawn on another one?"
        )
    if _crosses_itself(points):
        raise InputError(f"{where} crosses itself; draw it anew")


def _crosses_itself(points: np.ndarray) -> bool:
    """Whether two sides that do not touch cut through each other."""
    a, b = points, np.roll(points, -1, axis=0)
    count = len(points)
    for i in range(count):
        others = np.array([j for j in range(i + 2, count) if (j + 1) % count != i], int)
        if not len(others):
            continue
        c, d = a[others], b[others]
        first = _side(a[i], b[i], c) * _side(a[i], b[i], d)
        second = _side(c, d, a[i]) * _side(c, d, b[i])
        if ((first < 0) & (second < 0)).any():
            return True
    return False


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = b - a, c - a
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _filled(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bool [Y, X]; the polygon's (x, y) have pixel centres at halves."""
    return polygon2mask(size, points[:, ::-1] - 0.5)


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _turn(contour: np.ndarray) -> int:
    """1 for contours around what is high, -1 around holes."""
    y, x = contour.T
    return 1 if float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) > 0 else -1


def labels_from(
    path: Path,
    image: str,
    meanings: Mapping[str, int] = SPELLINGS,
    *,
    size: tuple[int, ...] | None = None,
) -> Outlines:
    """Outlines from a JSON file of either kind; `image` picks among COCO's."""
    tables = _read_json(path)
    if "shapes" in tables:
        return read_labelme(path, meanings, size=size)
    if "annotations" in tables:
        several = len(tables.get("images", ())) > 1
        return read_coco(path, image if several else None, meanings, size=size)
    raise InputError(f"{path}: is neither LabelMe's nor COCO's JSON")
