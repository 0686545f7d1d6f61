"""What quality is judged by, measured of pictures that hold cells, or noise, or imprints."""

import numpy as np
import pytest
import scipy.ndimage

from isl.imaging.sharpness import Noise
from isl.preprocess import scratch
from isl.preprocess.measures import measure_field, measure_planes
from isl.preprocess.stages.canvas import plan_canvas
from isl.preprocess.stages.registration import Shift
from isl.preprocess.stages.springs import Link, solve_positions
from isl.preprocess.stored import Canvases
from isl.preprocess.tiles import CorrectedTiles
from isl.workers import Workers

SIZE = (96, 110)
MEAN = 8000.0


def cells(contrast, seed=0):
    """A smooth relief of this relative deviation."""
    relief = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SIZE), 3)
    return MEAN * (1 + contrast * relief / relief.std())


def noisy(image, deviation=80.0, seed=1):
    return image + np.random.default_rng(seed).normal(0, deviation, SIZE)


def canvases_of(folder, **stacks):
    files = {}
    for channel, planes in stacks.items():
        files[channel] = folder / f"{channel}.npy"
        scratch.save(files[channel], np.stack(planes).astype(np.float32))
    return Canvases(
        canvas=plan_canvas(np.zeros((1, 2)), SIZE),
        files=files,
        covered=np.ones(SIZE, bool),
        full_scale=dict.fromkeys(stacks, 65535.0),
    )


def planes_of(canvases, error=0.0):
    with Workers(1) as workers:
        return measure_planes(canvases, "phase", error, workers)


def tiles(saturated=0.0, noise=80.0):
    return CorrectedTiles(
        files=(), saturated=saturated, exposures=1, full=65535, noise=Noise(deviation=noise)
    )


def test_planes_are_measured_one_by_one(tmp_path):
    sharp = cells(0.1)
    blurred = scipy.ndimage.gaussian_filter(sharp, 4)
    found = planes_of(canvases_of(tmp_path, phase=[blurred, sharp, np.full(SIZE, MEAN)]))
    assert [plane.sharpness for plane in found].index(max(p.sharpness for p in found)) == 1
    assert found[1].content > 0.5
    assert found[2].content == 0


def test_imprints_of_other_images_are_no_content(tmp_path):
    """A set's dust that errs by two percent puts relief into an empty well."""
    relief = cells(0.02)
    canvases = canvases_of(tmp_path, phase=[noisy(relief, 10)])
    error = float((relief / MEAN).std())
    assert planes_of(canvases)[0].content > 0.3
    assert planes_of(canvases, error)[0].content < 0.005
    grown = canvases_of(tmp_path, phase=[noisy(cells(0.2))])
    assert planes_of(grown, error)[0].content > 0.2


def test_a_field_is_known_by_its_worst(tmp_path):
    canvases = canvases_of(
        tmp_path,
        phase=[noisy(cells(0.01)), noisy(cells(0.1))],
        DAPI=[noisy(cells(0.5))],
        MAP2=[noisy(np.full(SIZE, MEAN))],
    )
    placement = solve_positions(
        3,
        [
            Link(i=0, j=1, offset=(0.0, 50.0), confidence=0.9),
            Link(i=1, j=2, offset=(0.0, 50.0), confidence=0.9),
            Link(i=0, j=2, offset=(0.0, 100.6), confidence=0.9),
        ],
        np.array([[0.0, 0.0], [0.0, 50.0], [0.0, 100.0]]),
    )
    shifts = {
        "DAPI": Shift(y=3.0, x=4.0, confidence=0.9),
        "MAP2": Shift(y=30.0, x=40.0, confidence=0.0),
    }
    planes = planes_of(canvases)
    found = measure_field(
        "A1",
        canvases,
        "phase",
        {"phase": tiles(), "DAPI": tiles(0.25), "MAP2": tiles(0.1)},
        placement,
        planes,
        shifts,
    )
    assert found.field == "A1"
    sharpest = found.sharpest_plane
    assert found.sharpness == planes[sharpest].sharpness == max(p.sharpness for p in planes)
    assert found.content == max(plane.content for plane in planes)
    assert found.label_content == 0
    assert found.saturated == 0.25
    assert found.uneven < 0.01
    assert found.trusted_links == 1
    # Three springs share what they disagree by.
    assert found.stitching_residual == pytest.approx(0.2, abs=0.01)
    assert found.registration_shift == pytest.approx(5)


def test_what_was_not_measured_is_not_there(tmp_path):
    canvases = canvases_of(tmp_path, phase=[cells(0.1)])
    alone = solve_positions(1, [], np.zeros((1, 2)))
    found = measure_field(
        "A1", canvases, "phase", {"phase": tiles()}, alone, planes_of(canvases), {}
    )
    assert found.label_content is None
    assert found.stitching_residual is found.trusted_links is found.registration_shift is None
