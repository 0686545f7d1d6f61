"""Detection: every step against a slow one, tiles against the whole, phantoms' truth."""

import numpy as np
import pytest
from scipy import ndimage

from isl.colony.detection import (
    DetectionConfig,
    as_bytes,
    binarized,
    blurred,
    detect,
    entropy_map,
    full_scale,
)
from isl.errors import InputError
from isl.phantom.colonies.well import ColonyWellConfig, TrueWell, make_well

WELL = ColonyWellConfig(
    size=420, colonies=7, diameter=95, smallest=(62, 64), largest=(150, 170), zoom=0.7, gap=14
)


def well(seed: int = 0, **settings) -> TrueWell:
    return make_well(WELL.model_copy(update=settings), np.random.default_rng(seed))


def reading(array: np.ndarray):
    return lambda rows, columns: array[rows, columns]


def slow_blur(grey: np.ndarray) -> np.ndarray:
    """Three taps of a Gaussian of 0.8 along both axes, mirrored about the border pixel."""
    taps = np.exp(-0.5 * (np.arange(-1, 2) / 0.8) ** 2)
    taps /= taps.sum()
    padded = np.pad(grey.astype(float), 1, mode="reflect")
    result = np.zeros(grey.shape)
    for i, row in enumerate(taps):
        for j, column in enumerate(taps):
            height, width = grey.shape
            result += row * column * padded[i : i + height, j : j + width]
    return np.rint(result).astype(np.uint8)


def slow_entropy(grey: np.ndarray, radius: int) -> np.ndarray:
    result = np.zeros(grey.shape)
    for y in range(grey.shape[0]):
        for x in range(grey.shape[1]):
            values = [
                grey[v, u]
                for v in range(max(0, y - radius), min(grey.shape[0], y + radius + 1))
                for u in range(max(0, x - radius), min(grey.shape[1], x + radius + 1))
                if (v - y) ** 2 + (u - x) ** 2 <= radius**2
            ]
            shares = np.bincount(values) / len(values)
            shares = shares[shares > 0]
            result[y, x] = -(shares * np.log2(shares)).sum()
    return result


def slow_otsu(values: np.ndarray) -> float:
    """The middle of the bin of 256 after which the variance between both sides is greatest."""
    counts, edges = np.histogram(values.ravel(), 256)
    middles = (edges[:-1] + edges[1:]) / 2
    best, threshold = -1.0, middles[0]
    for cut in range(255):
        low, high = counts[: cut + 1], counts[cut + 1 :]
        if not low.sum() or not high.sum():
            continue
        apart = (low * middles[: cut + 1]).sum() / low.sum() - (
            high * middles[cut + 1 :]
        ).sum() / high.sum()
        between = float(low.sum()) * float(high.sum()) * apart**2
        if between > best:
            best, threshold = between, middles[cut]
    return float(threshold)


def slow_detection(grey: np.ndarray, config: DetectionConfig) -> np.ndarray:
    bits = slow_entropy(slow_blur(grey), config.disk).astype(np.float32)
    span = np.arange(-config.disk, config.disk + 1)
    footprint = span[:, None] ** 2 + span[None] ** 2 <= config.disk**2
    above = bits > slow_otsu(bits)
    # Beyond the border everything counts for an erosion, nothing for a dilation.
    eroded = ndimage.binary_erosion(above, footprint, border_value=1)
    opened = ndimage.binary_dilation(eroded, footprint)
    background, _ = ndimage.label(~opened)
    border = {0} | set(
        np.concatenate([background[0], background[-1], background[:, 0], background[:, -1]])
    )
    filled = ~np.isin(background, list(border - {0})) | opened
    labels, count = ndimage.label(filled)
    for number in range(1, count + 1):
        if (labels == number).sum() < config.least_area:
            labels[labels == number] = 0
    return labels > 0


def test_steps_equal_slow_ones() -> None:
    picture = well(1, size=120, colonies=2, diameter=45, smallest=(30, 30)).image
    grey = as_bytes(picture, 65535)
    np.testing.assert_array_equal(blurred(grey), slow_blur(grey))
    config = DetectionConfig(least_area=300)
    bits = entropy_map(reading(picture), picture.shape, config)
    np.testing.assert_allclose(bits, slow_entropy(slow_blur(grey), 3), atol=1e-5)
    found = detect(grey, config=config)
    assert found.labels.max() >= 1
    np.testing.assert_array_equal(found.labels > 0, slow_detection(grey, config))


@pytest.mark.parametrize("tile", [64, 100, 419, 2000])
def test_tiles_equal_the_whole(tile: int) -> None:
    picture = well(2).image[:, :333]
    whole = detect(picture, config=DetectionConfig(), tile=10_000)
    tiled = detect(reading(picture), picture.shape, DetectionConfig(), tile=tile)
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    assert tiled.threshold == whole.threshold
    assert whole.labels.max() > 1


def object_f1(found: np.ndarray, truth: np.ndarray, least: float = 0.5) -> float:
    """Objects matched one to one by an overlap of at least half of both together."""
    matched = 0
    numbers = [n for n in np.unique(truth) if n and (truth == n).sum() >= 2000]
    for number in numbers:
        own = truth == number
        for other in np.unique(found[own]):
            if other:
                both = own & (found == other)
                if both.sum() >= least * (own | (found == other)).sum():
                    matched += 1
                    break
    objects = len(np.unique(found)) - 1
    return 2 * matched / (objects + len(numbers))


def test_clean_phantoms_are_found() -> None:
    scores = [
        object_f1(detect(each.image).labels, each.labels) for each in (well(s) for s in range(4))
    ]
    assert np.mean(scores) >= 0.95


def test_phantoms_with_uneven_light_specks_and_touching_colonies_are_found() -> None:
    hard = {"light": 0.12, "specks": 60.0, "touching": 0.12}
    wells = [well(s, **hard) for s in range(4)]
    parted, paper = (
        [object_f1(detect(each.image, config=config).labels, each.labels) for each in wells]
        for config in (DetectionConfig(split=0.1), DetectionConfig())
    )
    assert np.mean(parted) >= 0.85
    # The paper's steps take colonies that touch for one.
    assert np.mean(paper) < np.mean(parted)


def test_necks_part_colonies_and_bays_do_not() -> None:
    y, x = np.mgrid[:120, :220]
    discs = ((y - 60) ** 2 + (x - 65) ** 2 < 50**2) | ((y - 60) ** 2 + (x - 155) ** 2 < 50**2)
    oval = ((y - 60) / 40) ** 2 + ((x - 110) / 95) ** 2 < 1
    rng = np.random.default_rng(0)
    for shape, count in ((discs, 2), (oval, 1)):
        bits = np.where(shape, 4, 1) + rng.normal(0, 0.01, shape.shape)
        found = binarized(bits.astype(np.float32), DetectionConfig(split=0.1))
        assert found.labels.max() == count
        assert (found.labels > 0).sum() == pytest.approx(shape.sum(), rel=0.02)


def test_published_order_opens_before_it_thresholds() -> None:
    picture = well(0).image
    paper = detect(picture)
    published = detect(picture, config=DetectionConfig(order="published_code"))
    assert object_f1(published.labels, well(0).labels) >= 0.8
    assert (paper.labels != published.labels).any()


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.006])
def test_an_empty_well_holds_no_colony(noise: float) -> None:
    found = detect(well(0, colonies=0, noise=noise, light=0.1).image)
    assert found.ground == "empty"
    assert found.labels.max() == 0


def test_one_giant_colony_fills_the_picture() -> None:
    picture = np.random.default_rng(0).integers(60, 190, (200, 200)).astype(np.uint8)
    found = detect(picture)
    assert found.ground == "full"
    assert np.unique(found.labels).tolist() == [1]


def test_small_objects_and_holes() -> None:
    bits = np.full((100, 100), 1.0, np.float32)
    bits[10:60, 10:60] = 4
    bits[30:34, 30:34] = 1
    bits[80:90, 80:90] = 4
    bits += np.random.default_rng(0).normal(0, 0.01, bits.shape).astype(np.float32)
    config = DetectionConfig(least_area=101)
    found = binarized(bits, config)
    assert found.labels.max() == 1
    assert found.labels[32, 32] == 1
    assert binarized(bits, config.model_copy(update={"least_area": 70})).labels.max() == 2


def test_sizes_follow_the_pixel_size() -> None:
    half = DetectionConfig().at(0.4)
    assert (half.disk, half.least_area) == (6, 8000)
    assert DetectionConfig().at(None) == DetectionConfig()
    assert DetectionConfig().at(8.0).disk == 1


def test_grey_values() -> None:
    deep = np.array([[0, 4095]], np.uint16)
    assert full_scale(reading(deep), (1, 2)) == 4095
    assert full_scale(reading(deep * 16), (1, 2)) == 65535
    np.testing.assert_array_equal(as_bytes(deep, 4095), [[0, 255]])
    share = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_array_equal(as_bytes(share, full_scale(reading(share), (1, 2))), [[0, 255]])
    with pytest.raises(InputError, match="within 0 and 1"):
        detect(np.array([[0.0, 2.0]], np.float32))
