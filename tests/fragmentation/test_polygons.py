"""Outlines of LabelMe and COCO as masks and back."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.fragmentation.polygons import (
    EMBRYO,
    FRAGMENT,
    Outlines,
    labels_from,
    outlines_of,
    painted,
    read_coco,
    read_labelme,
    write_labelme,
)


def labelme(path: Path, shapes: list[dict[str, Any]], size: tuple[int, int] = (40, 60)) -> Path:
    tables = {
        "imagePath": "C:\\data\\a.jpg",
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
        "shapes": [{"shape_type": "polygon", "group_id": None, **shape} for shape in shapes],
    }
    path.write_text(json.dumps(tables))
    return path


def square(x: float, y: float, width: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + width], [x, y + width]]


@pytest.mark.parametrize("width", [3, 4, 7, 30])
@pytest.mark.parametrize("x", [2, 5])
def test_squares_cover_exactly_their_pixels(width: int, x: int) -> None:
    outlines = Outlines(
        image="a", height=40, width=40, shapes=((EMBRYO, np.array(square(x, 3, width), float)),)
    )
    expected = np.zeros((40, 40), np.uint8)
    expected[3 : 3 + width, x : x + width] = EMBRYO
    np.testing.assert_array_equal(painted(outlines), expected)


@pytest.mark.parametrize("radius", [3.0, 6.5, 15.0])
def test_discs_have_their_area(tmp_path: Path, radius: float) -> None:
    shape = {
        "label": "Fragment",
        "shape_type": "circle",
        "points": [[20.3, 20.1], [20.3 + radius, 20.1]],
    }
    labels = painted(read_labelme(labelme(tmp_path / "a.json", [shape], (40, 40))))
    assert (labels == FRAGMENT).sum() == pytest.approx(np.pi * radius**2, rel=0.06)


def test_fragments_are_painted_over_cells_whatever_their_order(tmp_path: Path) -> None:
    shapes = [
        {"label": "FRAG", "points": square(12, 12, 4)},
        {"label": "cell", "points": square(10, 10, 20)},
        {"label": "fragments", "shape_type": "rectangle", "points": [[40, 5], [44, 9]]},
        {"label": "note", "shape_type": "point", "points": [[1, 1]]},
    ]
    outlines = read_labelme(labelme(tmp_path / "a.json", shapes))
    labels = painted(outlines)
    assert outlines.image == "a.jpg"
    assert (labels == FRAGMENT).sum() == 32
    assert (labels == EMBRYO).sum() == 400 - 16


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "nucleus", "points": square(1, 1, 5)}, "'nucleus' is not known"),
        ({"label": "cell", "points": square(50, 30, 20)}, "beyond the image"),
        ({"label": "cell", "points": [[0, 0], [9, 9], [9, 0], [0, 9]]}, "crosses itself"),
        ({"label": "cell", "points": [[0, 0], [9, 9]]}, "polygon of 2 points"),
        ({"label": "cell", "shape_type": "mask", "points": [[0, 0], [9, 9]]}, "KeyError"),
        (
            {"label": "cell", "shape_type": "mask", "points": [[0, 0], [9, 9]], "mask": "no"},
            "a mask that is no picture",
        ),
    ],
)
def test_damaged_shapes_are_named(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labelme(labelme(tmp_path / "a.json", [shape]))


def coco(path: Path, segmentation: Any) -> Path:
    tables = {
        "images": [
            {"id": 3, "file_name": "x/a.jpg", "height": 30, "width": 30},
            {"id": 4, "file_name": "b.jpg", "height": 30, "width": 30},
        ],
        "categories": [{"id": 7, "name": "fragment"}, {"id": 8, "name": "cell"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 7, "segmentation": segmentation},
            {"id": 2, "image_id": 4, "category_id": 8, "segmentation": [[0, 0, 9, 0, 9, 9]]},
        ],
    }
    path.write_text(json.dumps(tables))
    return path


def test_coco_polygons_are_of_the_image_asked_for(tmp_path: Path) -> None:
    path = coco(tmp_path / "c.json", [[2, 2, 6, 2, 6, 6, 2, 6], [10, 10, 12, 10, 12, 12, 10, 12]])
    labels = painted(labels_from(path, "a.jpg"))
    assert (labels == FRAGMENT).sum() == 16 + 4
    assert not (labels == EMBRYO).any()
    with pytest.raises(InputError, match="about 2 images"):
        read_coco(path)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4, 5]], "annotation 1 .*5 numbers"),
        ([[1, 2, 3, 4]], "annotation 1 .*4 numbers"),
        ([], "annotation 1 is a box without an outline"),
        ({"counts": "", "size": [30, 30]}, "run lengths of 0 pixels for 30 x 30"),
        ({"counts": [4], "size": [2, 2]}, "annotation 1 .*another size"),
    ],
)
def test_damaged_coco_is_named(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        labels_from(coco(tmp_path / "c.json", segmentation), "a.jpg")


def compressed(counts: list[int]) -> str:
    """COCO's text of run lengths, after its reference code."""
    text = ""
    for place, count in enumerate(counts):
        value = count - (counts[place - 2] if place > 2 else 0)
        while True:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text += chr(48 + code + 32 * more)
            if not more:
                break
    return text


@pytest.mark.parametrize("is_text", [False, True])
def test_run_lengths_go_column_by_column(tmp_path: Path, is_text: bool) -> None:
    mask = np.zeros((30, 30), bool)
    mask[4:9, 2:20] = mask[20:22, 5:28] = True
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    stored = {"size": [30, 30], "counts": compressed(counts) if is_text else counts}
    labels = painted(labels_from(coco(tmp_path / "c.json", stored), "a.jpg"))
    np.testing.assert_array_equal(labels == FRAGMENT, mask)


def test_labelme_masks_and_a_laboratorys_own_words(tmp_path: Path) -> None:
    part = np.zeros((4, 6), np.uint8)
    part[1:3, 2:5] = 255
    stream = io.BytesIO()
    Image.fromarray(part).save(stream, "PNG")
    shape = {
        "label": "Zelle",
        "shape_type": "mask",
        "points": [[3, 10], [8, 13]],
        "mask": base64.b64encode(stream.getvalue()).decode(),
        "group_id": 4,
    }
    other = {"label": "Schmutz", "points": square(1, 1, 5)}
    path = labelme(tmp_path / "a.json", [shape, other])
    with pytest.raises(InputError, match=r"'Schmutz' is not known.*labels = "):
        read_labelme(path, {"zelle": EMBRYO})
    labels = painted(read_labelme(path, {"zelle": EMBRYO, "schmutz": 0}))
    assert (labels > 0).sum() == 6
    assert (labels[11:13, 5:8] == EMBRYO).all()


def test_masks_survive_the_way_to_labelme_and_back(tmp_path: Path) -> None:
    y, x = np.mgrid[:80, :90]
    labels = (np.hypot(y - 40, x - 45) < 35).astype(np.uint8)
    labels[np.hypot(y - 30, x - 60) < 6] = FRAGMENT
    labels[np.hypot(y - 75, x - 80) < 4] = FRAGMENT
    path = tmp_path / "a.json"
    write_labelme(path, outlines_of(labels, "a.png"))
    back = painted(read_labelme(path))
    for what in (EMBRYO, FRAGMENT):
        own, found = labels == what, back == what
        assert 2 * (own & found).sum() / (own.sum() + found.sum()) > 0.96


@pytest.mark.parametrize(("key", "value"), [("image_id", "3"), ("category_id", 9)])
def test_annotations_of_nothing_in_the_file_are_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    path = coco(tmp_path / "c.json", [[2, 2, 6, 2, 6, 6, 2, 6]])
    tables = json.loads(path.read_text())
    tables["annotations"][0][key] = value
    path.write_text(json.dumps(tables))
    with pytest.raises(InputError, match=f"annotation 1 has {key} {value!r}, which is none of"):
        labels_from(path, "a.jpg")


def test_coco_of_another_system_is_found_by_the_files_name(tmp_path: Path) -> None:
    path = coco(tmp_path / "c.json", [[2, 2, 6, 2, 6, 6, 2, 6]])
    path.write_text(path.read_text().replace("x/a.jpg", r"C:\\x\\a.jpg"))
    outlines = labels_from(path, "a.jpg")
    assert outlines.image == "a.jpg"
    assert (painted(outlines) == FRAGMENT).sum() == 16


def test_a_circle_that_the_border_cuts_is_what_lies_within(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :60] + 0.5
    for x, y, radius in ((5, 20, 10), (57, 36, 8)):
        points = [[x, y], [x, y - radius]]
        shape = {"label": "cell", "points": points, "shape_type": "circle"}
        labels = painted(read_labelme(labelme(tmp_path / "a.json", [shape])))
        inside = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
        assert (labels == EMBRYO).sum() == pytest.approx(inside.sum(), rel=0.02)
    shape["points"] = [[90, 20], [80, 20]]
    with pytest.raises(InputError, match="reaches beyond the image"):
        read_labelme(labelme(tmp_path / "a.json", [shape]))
