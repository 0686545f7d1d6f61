"""The flicker figure of movies: analytic answers, and blocks that change nothing."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

from isl.imaging.image import Movie
from isl.labeling import flicker as module
from isl.labeling.flicker import flicker, flicker_of_input
from isl.labeling.source import field_of, measure


def of(movie):
    return flicker(lambda t, rows: movie[t, rows], len(movie), movie.shape[1:])


def plainly(movie):
    movie = movie.astype(np.float64)
    return np.abs(np.diff(movie, axis=0)).mean() / movie.std()


def test_a_still_picture_does_not_flicker():
    picture = np.random.default_rng(0).random((7, 5))
    assert of(np.stack([picture] * 4)) == 0


def test_frames_that_alternate_between_two_values():
    # Every pixel changes by 2 about a deviation of 1.
    movie = np.stack([np.full((3, 4), value) for value in (4, 6, 4, 6)])
    assert of(movie) == pytest.approx(2)


def test_independent_noise():
    movie = np.random.default_rng(1).normal(size=(6, 200, 201))
    assert of(movie) == pytest.approx(2 / np.sqrt(np.pi), rel=0.01)


def test_one_value_has_no_flicker():
    assert of(np.full((3, 4, 5), 7, np.uint16)) is None
    assert of(np.full((2, 300, 401), 0.1, np.float32)) is None


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        np.float32,
        st.tuples(st.integers(2, 4), st.integers(1, 5), st.integers(1, 6)),
        # Sixty-fourths stay exact in another scale; what float32 rounds away is not the test's.
        elements=st.integers(0, 64).map(lambda number: number / 64),
    ),
    st.integers(1, 40),
)
def test_bands_of_rows_and_another_scale_change_nothing(movie, block):
    hypothesis.assume(movie.std() > 1e-3)
    expected = plainly(movie)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(module, "_BLOCK", block)
        assert of(movie) == pytest.approx(expected, rel=1e-6)
        assert of(3.0 * movie - 5) == pytest.approx(expected, rel=1e-4)


def test_of_the_input_the_middle_plane_as_the_network_sees_it():
    rng = np.random.default_rng(2)
    frames = rng.integers(1000, 3000, (3, 3, 9, 11), dtype=np.uint16)
    # A lamp that grows brighter is normalized away.
    frames[:, 1] = frames[0, 1] * np.array([1, 4, 12], np.uint16)[:, None, None]
    field = field_of(Movie(name="movie", frames=frames))
    records = measure(field, (0, 1, 2), "auto")
    assert flicker_of_input(field, records, 0, (9, 11)) == pytest.approx(0, abs=1e-6)
    records = measure(field, (1, 2, 0), "auto")
    part = frames[:, 2, 2:7, 2:9].astype(float)
    whole = frames[:, 2].astype(float)
    mean, deviation = (f(whole, axis=(1, 2))[:, None, None] for f in (np.mean, np.std))
    seen = np.clip((part - mean) / deviation * 0.125 + 0.5, 0, 1)
    assert flicker_of_input(field, records, 2, (5, 7)) == pytest.approx(plainly(seen), rel=1e-5)
