"""Simulated wells: seeded, truthful, laid out as asked for, imbalanced like the paper's."""

import csv
import json

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from isl.config import parse
from isl.errors import InputError
from isl.phantom.colonies.dataset import write_colonies
from isl.phantom.colonies.textures import CLASSES, TEXTURES
from isl.phantom.colonies.well import (
    MIXED,
    ColonyWellConfig,
    _composition,
    make_film,
    make_well,
)

SMALL = ColonyWellConfig(
    size=160, colonies=4, diameter=50, smallest=(20, 24), largest=(70, 90), zoom=0.4, gap=6
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_same_seed_same_well() -> None:
    first, again, other = (make_well(SMALL, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.colonies == again.colonies
    assert (first.image != other.image).any()


def test_truth_is_where_the_texture_is() -> None:
    well = make_well(SMALL, rng())
    assert well.image.dtype == np.uint16
    assert [colony.number for colony in well.colonies] == sorted(np.unique(well.labels)[1:])
    image = well.image / 65535
    rough = gaussian_filter((image - gaussian_filter(image, 2)) ** 2, 2)
    inside, outside = rough[well.labels > 0], rough[well.labels == 0]
    assert np.median(inside) > 10 * np.median(outside)
    for colony in well.colonies:
        top, left, bottom, right = colony.box
        own = well.labels == colony.number
        assert own[top:bottom, left:right].sum() == own.sum() > 0
        assert sum(colony.shares.values()) == pytest.approx(1)


def test_colonies_keep_their_distance_unless_they_touch() -> None:
    config = SMALL.model_copy(update={"size": 220, "colonies": 6})
    apart = make_well(config, rng(3))
    touching = make_well(config.model_copy(update={"touching": 1.0}), rng(3))
    from scipy.ndimage import label

    assert label(apart.labels > 0)[1] == len(apart.colonies)
    assert label(touching.labels > 0)[1] < len(touching.colonies)


def test_classes_are_as_frequent_as_in_the_paper() -> None:
    """Within four standard errors of the paper's table 1: 21,342 images, 2,659 of them mixed."""
    config, source, draws = ColonyWellConfig(), rng(), 4000
    kinds = [_composition(config, source) for _ in range(draws)]
    total = 3587 + 3934 + 656 + 10506 + 2659
    counts = {"debris": 3587, "dense": 3934, "differentiated": 656, "spread": 10506, MIXED: 2659}
    for kind, count in counts.items():
        found = sum((next(iter(k)) if len(k) == 1 else MIXED) == kind for k in kinds) / draws
        share = count / total
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / draws)


def test_boxes_stay_within_the_published_sizes() -> None:
    config = ColonyWellConfig(size=1400, colonies=6, diameter=400, diameter_spread=1.5, overlap=0)
    well = make_well(config, rng(5))
    assert well.colonies
    for colony in well.colonies:
        height, width = np.subtract(colony.box[2:], colony.box[:2])
        assert max(height, width) <= 1.25 * 1298


@pytest.mark.parametrize("kind", CLASSES)
def test_textures_differ(kind: str) -> None:
    own = TEXTURES[kind]((96, 96), 1.0, rng())
    assert own.shape == (96, 96)
    assert np.isfinite(own).all()
    for other in CLASSES:
        if other != kind:
            texture = TEXTURES[other]((96, 96), 1.0, rng())
            assert abs(texture.std() - own.std()) > 0.004 or abs(texture.mean() - own.mean()) > 0.01


def test_composition_drifts_over_time() -> None:
    config = SMALL.model_copy(update={"counts": {"dense": 1}, "partly_spread": 0.0})
    config = config.model_copy(update={"partly_differentiated": 0.0, "size": 200, "colonies": 6})
    film = make_film(config, 4, rng(1))
    first, last = film[0], film[-1]
    assert {colony.kind for colony in first.colonies} <= {"dense", MIXED}
    assert "spread" in {colony.kind for colony in last.colonies}
    numbers = {colony.number for colony in last.colonies}
    assert {colony.number for colony in first.colonies} <= numbers
    assert (last.labels > 0).sum() > 1.3 * (first.labels > 0).sum()


def test_light_is_uneven_when_asked() -> None:
    empty = SMALL.model_copy(update={"colonies": 0, "noise": 0.0})
    assert make_well(empty, rng()).image.std() == 0
    lit = make_well(empty.model_copy(update={"light": 0.2}), rng()).image.astype(float)
    assert lit.std() / lit.mean() == pytest.approx(0.2, rel=0.01)


def test_written_wells(tmp_path) -> None:
    table = write_colonies(tmp_path, 2, SMALL, 0, frames=2)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["image"] for row in rows} == {"well-000", "well-001"}
    assert {row["time"] for row in rows} == {"0", "1"}
    labels = tifffile.imread(tmp_path / "labels" / "well-001.tif")
    assert labels.shape == tifffile.imread(tmp_path / "well-001.tif").shape == (2, 160, 160)
    for row in rows:
        if row["image"] == "well-001":
            where = labels[int(row["time"])] == int(row["colony"])
            assert where[:, int(row["left"])].any()
            assert where[int(row["top"])].any()
        assert sum(json.loads(row["shares"]).values()) == pytest.approx(1)
    with tifffile.TiffFile(tmp_path / "well-000.tif") as tiff:
        assert tiff.series[0].axes == "TYX"
    with pytest.raises(InputError, match="exists already"):
        write_colonies(tmp_path, 1, SMALL, 0)
    with pytest.raises(InputError, match="0 wells"):
        write_colonies(tmp_path / "none", 0, SMALL, 0)


def test_unknown_class() -> None:
    with pytest.raises(InputError, match="unknown class 'neurons'"):
        parse({"counts": {"neurons": 1}}, ColonyWellConfig, source="--set")
