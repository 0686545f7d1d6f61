"""Outlines that people drew on real frames; see the data's own README for where they come from."""

import os
from pathlib import Path

import numpy as np
import pytest

from isl.fragmentation.dataset import load_dataset, load_ground, share_of
from isl.fragmentation.pictures import read_frames
from isl.fragmentation.polygons import EMBRYO, FRAGMENT, outlines_of, painted, read_labelme

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("ISL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail("set ISL_DATA to the folder of real images")
    return Path(folder) / "cleavage_masks"


# Pixels of the painted polygons, as this reader painted them: a later change of the rule is seen.
@pytest.mark.parametrize(
    ("frame", "shapes", "embryo", "fragment"),
    [
        (141, 4, 89048, 5373),
        (142, 5, 91744, 5345),
        (156, 5, 88249, 6971),
        (157, 8, 91844, 7207),
    ],
)
def test_areas_of_the_labelled_frames(
    data: Path, frame: int, shapes: int, embryo: int, fragment: int
) -> None:
    outlines = read_labelme(data / f"frame_{frame}.json")
    labels = painted(outlines)
    assert outlines.image == f"frame_{frame}.jpg"
    assert len(outlines.shapes) == shapes
    assert (labels > 0).sum() == pytest.approx(embryo, abs=5)
    assert (labels == FRAGMENT).sum() == pytest.approx(fragment, abs=5)
    assert labels.shape == read_frames(data / f"frame_{frame}.jpg").images.shape[1:]
    again = painted(outlines_of(labels, outlines.image))
    assert share_of(again) == pytest.approx(share_of(labels), abs=0.002)


def test_fragment_polygons_alone_have_the_area_of_the_shoelace_formula(data: Path) -> None:
    outlines = read_labelme(data / "frame_141.json")
    polygons = [points for what, points in outlines.shapes if what == FRAGMENT]
    areas = []
    for points in polygons:
        x, y = points.T
        areas.append(0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    # The two do not overlap.
    assert (painted(outlines) == FRAGMENT).sum() == pytest.approx(sum(areas), rel=0.01)


def test_cells_are_brighter_or_darker_grained_than_the_empty_well(data: Path) -> None:
    """The outlines lie where the texture is: a mask that is turned or shifted fails."""
    dataset = load_dataset(CONFIGS / "data" / "cleavage_masks.toml")
    ground = load_ground(dataset.examples, 256)
    for image, labels in zip(ground.images.astype(float), ground.labels, strict=True):
        rough = np.hypot(*np.gradient(image))
        inside = rough[labels == EMBRYO].mean()
        for moved in (np.rot90(labels), labels[:, ::-1], np.roll(labels, 60, axis=0)):
            assert inside > 1.1 * rough[moved == EMBRYO].mean()
