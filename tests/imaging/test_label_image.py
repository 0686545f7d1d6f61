"""Label images as other programs write them, of all types of numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.imaging.inputs.label_image import checked_labels, read_label_image, remarks_on

LABELS = np.zeros((20, 30), np.uint8)
LABELS[2:8, 3:9], LABELS[10:18, 12:25] = 3, 7


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "uint32", "float32", "float64"])
def test_numbers_of_any_type(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(kind))
    np.save(tmp_path / "a.npy", LABELS.astype(kind))
    for name in ("a.tif", "a.npy"):
        stored = read_label_image(tmp_path / name)
        labels, numbered = checked_labels(stored, (1, 20, 30), source=name)
        np.testing.assert_array_equal(labels, LABELS[None])
        assert (labels.dtype, numbered) == (np.int32, False)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.bmp"])
def test_photographs_hold_no_numbers(tmp_path: Path, name: str) -> None:
    Image.fromarray(LABELS).save(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: JPEG and BMP do not keep an object's number"):
        read_label_image(tmp_path / name)


def test_colors_of_a_palette_are_names_of_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(LABELS, mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768, np.uint8).tobytes())
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "palette.png"), LABELS[None])
    Image.fromarray(np.stack([LABELS] * 3, -1)).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_label_image(tmp_path / "gray.png"), LABELS[None])


@pytest.mark.parametrize("kind", ["uint16", "int32"])
def test_frames_whether_or_not_the_file_names_its_axis(tmp_path: Path, kind: str) -> None:
    movie = np.stack([LABELS, 2 * LABELS]).astype(kind)
    for number, metadata in enumerate((None, {"axes": "TYX"}, {"axes": "ZYX"})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, movie, photometric="minisblack", metadata=metadata)
        np.testing.assert_array_equal(read_label_image(path), movie)


def test_parts_of_a_binary_mask_are_numbered_frame_by_frame() -> None:
    masks = np.stack([LABELS > 0, LABELS == 7])
    labels, numbered = checked_labels(masks, (2, 20, 30), source="m.tif")
    assert numbered
    assert [np.unique(frame).tolist() for frame in labels] == [[0, 1, 2], [0, 1]]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "two.ome.tif",
        np.stack([LABELS, LABELS]),
        photometric="minisblack",
        metadata={"axes": "CYX"},
    )
    with pytest.raises(InputError, match="has one channel and one plane; this one has 2 and 1"):
        read_label_image(tmp_path / "two.ome.tif")
    with pytest.raises(InputError, match="30 x 20 pixels and the picture 30 x 20 pixels and 2 fr"):
        checked_labels(LABELS[None], (2, 20, 30), source="m.tif")
    for wrong, message in (
        (LABELS[None] + 0.5, "whole numbers"),
        (-LABELS[None].astype(int), "goes below"),
        (LABELS[None].astype(complex), "goes below"),
        (LABELS[None] * 10000.0, "up to 70000; give one whose numbers go up to 65535"),
    ):
        with pytest.raises(InputError, match=message):
            checked_labels(wrong, (1, 20, 30), source="m.tif", highest=2**16 - 1)


@pytest.mark.parametrize("photometric", ["miniswhite", "palette"])
def test_numbers_are_those_stored_however_they_are_shown(tmp_path: Path, photometric: str) -> None:
    colors = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    shown: dict[str, Any] = {"colormap": colors} if photometric == "palette" else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LABELS, photometric=photometric, metadata=None, **shown)
    np.testing.assert_array_equal(read_label_image(path), LABELS[None])


def test_parts_are_reported_and_one_number_too() -> None:
    labels = np.stack([LABELS, LABELS]).astype(np.int32) * 100_000_000
    assert remarks_on(labels, False, what="cell") == []
    labels[1, 0, 0] = 700_000_000
    assert remarks_on(labels, False, what="cell") == [
        "in several places, each taken for one cell: 700000000"
    ]
    (said,) = remarks_on(np.array([[[1, 0, 2]]]), True, what="cell")
    assert said.endswith("parts that do not touch were numbered")
