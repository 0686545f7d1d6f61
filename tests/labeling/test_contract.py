"""Which planes of a z-stack stand for a model's, and what is refused."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import Movie, PixelSize, ZStack
from isl.labeling.contract import fit_to_model, parse_planes, spread
from isl.labeling.model_config import InputContract
from isl.labeling.source import field_of, held, measure, normalized, stored_planes

SIZE = (4, 5)


def stack(planes, z_step=None, dtype=np.uint16, seed=0):
    values = np.random.default_rng(seed).integers(0, 200, (planes, *SIZE)).astype(dtype)
    if dtype == np.float32:
        values /= 200
    size = None if z_step is None else PixelSize(y=0.5, x=0.5, z=z_step)
    return field_of(ZStack(name="field", planes=values, pixel_size=size))


def fit(field, expected, z_step=None, **options):
    return fit_to_model(field, InputContract(planes=expected, z_step=z_step), model="m", **options)


@pytest.mark.parametrize(
    ("count", "z_step", "expected", "model_step", "planes"),
    [
        # Every third of 0.5 um where the model has 1.5 um; plane 20 is the middle one of 41.
        (41, 0.5, 13, 1.5, range(2, 39, 3)),
        # Steps agree, and there are more planes: those around the centre.
        (7, 1.0, 3, 1.0, (2, 3, 4)),
        (8, 1.0, 3, 1.05, (2, 3, 4)),
        (8, 1.0, 4, 0.95, (2, 3, 4, 5)),
        # All of them are used.
        (3, 1.0, 3, 1.0, (0, 1, 2)),
        (5, 0.52, 3, 1.0, (0, 2, 4)),
    ],
)
def test_planes_lie_as_far_apart_as_the_models(count, z_step, expected, model_step, planes):
    made = fit(stack(count, z_step), expected, model_step)
    assert made.planes == tuple(planes)
    assert all(isinstance(plane, int) for plane in made.planes)
    assert len([w for w in made.warnings if "are taken" in w]) == (count > expected)


@pytest.mark.parametrize(
    ("count", "listed", "planes"),
    [
        (1, None, (0, 0, 0, 0, 0, 0)),
        (2, None, (0, 0, 0, 1, 1, 1)),
        (11, None, (0, 2, 4, 6, 8, 10)),
        (13, (4, 8), (4, 4, 4, 8, 8, 8)),
    ],
)
def test_models_of_any_planes_have_each_stand_where_it_lies(count, listed, planes):
    expected = InputContract(planes=6, any_planes=True)
    made = fit_to_model(stack(count), expected, model="m", planes=listed)
    assert made.planes == planes
    assert any("stand for these" in warning for warning in made.warnings)
    strict = expected.model_copy(update={"any_planes": False})
    with pytest.raises(InputError, match="expects 6"):
        fit_to_model(stack(count), strict, model="m", planes=listed)


@pytest.mark.parametrize(
    ("count", "places", "planes"),
    [
        # Of 13 places, 7 planes have 2 each, but for the outermost and the middle one.
        (7, 13, (0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6)),
        (13, 1, (6,)),
        (1, 6, (0,) * 6),
        (3, 6, (0, 0, 1, 1, 2, 2)),
    ],
)
def test_planes_are_spread_evenly(count, places, planes):
    assert spread(count, places) == planes


@hypothesis.given(count=st.integers(1, 40), places=st.integers(1, 20))
def test_bottom_and_top_are_spread_alike(count, places):
    planes = np.array(spread(count, places))
    turned = count - 1 - planes[::-1]
    middle = places // 2 if places % 2 else -1
    # Where the middle place lies between two planes, only one of them can stand there.
    alike = [i for i in range(places) if i != middle or count % 2]
    assert planes[alike].tolist() == turned[alike].tolist()
    assert (np.diff(planes) >= 0).all()


def any_of_6(z_step: float | None = 1.0) -> InputContract:
    return InputContract(planes=6, any_planes=True, z_step=z_step)


@pytest.mark.parametrize(("step", "span"), [(99, 396), (2.6, 10.4)])
def test_planes_that_span_far_more_than_the_models_are_refused(step, span):
    with pytest.raises(InputError, match=f"planes span {span:g} um; model 'm' expects 5 um"):
        fit_to_model(stack(5, step), any_of_6(), model="m")
    made = fit_to_model(stack(5, step), any_of_6(), model="m", allow_mismatch=True)
    assert any("planes span" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("count", "step", "warned"),
    [(5, 1.4, True), (5, 1.3, False), (5, 0.3, False), (2, 1.0, False), (3, 0.4, True)],
)
def test_what_fewer_planes_span_is_compared(count, step, warned):
    made = fit_to_model(stack(count, step), any_of_6(), model="m")
    assert any("planes span" in warning for warning in made.warnings) == warned


def test_one_plane_spans_nothing_and_an_unknown_step_is_said():
    made = fit_to_model(stack(1, 99), any_of_6(), model="m")
    assert not any("span" in warning for warning in made.warnings)
    made = fit_to_model(stack(5), any_of_6(), model="m")
    assert any("does not say its z step" in warning for warning in made.warnings)


def test_that_familiarity_is_lost_is_said_where_planes_repeat():
    for count, lost in ((5, True), (11, False)):
        made = fit_to_model(stack(count), any_of_6(None), model="m")
        assert any("familiar" in warning for warning in made.warnings) == lost


@pytest.mark.parametrize("frames", [5, 6])
def test_a_movie_of_single_planes_is_predicted_by_a_model_of_any(frames):
    movie = field_of(Movie(name="field", frames=np.zeros((frames, 1, *SIZE), np.uint16)))
    made = fit_to_model(movie, any_of_6(None), model="m")
    assert made.planes == (0,) * 6
    assert any("axes=ZYX" in warning for warning in made.warnings) == (frames == 6)


def test_as_many_planes_as_learned_from_are_taken_as_they_are():
    made = fit_to_model(stack(6), InputContract(planes=6, any_planes=True), model="m")
    assert made.planes == tuple(range(6))
    assert not any("stand for" in warning for warning in made.warnings)


def test_what_was_taken_is_said():
    said = fit(stack(41, 0.5), 13, 1.5).warnings[0]
    assert said == (
        "of 41 planes, 0.5 um apart, 2 to 38 in steps of 3 are taken, as model 'm' expects 1.5 um "
        "(`planes` chooses others)"
    )


@hypothesis.given(st.integers(1, 40), st.integers(2, 9), st.integers(1, 5))
def test_planes_are_around_the_centre_or_refused(count, expected, every):
    field = stack(count, 0.5)
    if (expected - 1) * every >= count:
        with pytest.raises(InputError):
            fit(field, expected, 0.5 * every)
        return
    planes = fit(field, expected, 0.5 * every).planes
    assert len(planes) == expected
    assert set(np.diff(planes)) == {every}
    assert abs(planes[0] - (count - 1 - planes[-1])) <= 1


@pytest.mark.parametrize(
    ("count", "z_step", "expected", "model_step", "line"),
    [
        (9, 1.0, 3, 1.5, "planes are 1 um apart, and model 'm' expects 1.5 um, where none lie "),
        (3, 1.0, 3, 0.5, "planes are 1 um apart, and model 'm' expects 0.5 um, where none lie "),
        (4, 0.5, 3, 1.0, "its 4 planes, 0.5 um apart, span 1.5 um; model 'm' expects 3, 1 um "),
        (2, 0.5, 3, 1.0, "z-stack has 2 planes; model 'm' expects 3 (give `planes` to choose)"),
        # Where a step is not known, the number must agree.
        (9, None, 3, 1.0, "z-stack has 9 planes; model 'm' expects 3 (give `planes` to choose)"),
        (9, 0.5, 3, None, "z-stack has 9 planes; model 'm' expects 3 (give `planes` to choose)"),
        (9, 0.5, 1, 0.5, "z-stack has 9 planes; model 'm' expects 1 (give `planes` to choose)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(count, z_step, expected, model_step, line):
    with pytest.raises(InputError) as refused:
        fit(stack(count, z_step), expected, model_step)
    assert line in str(refused.value)
    assert "`planes" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_steps_that_are_not_known_change_nothing():
    assert fit(stack(3), 3).planes == (0, 1, 2)
    assert fit(stack(3), 3, 1.0).planes == (0, 1, 2)
    assert fit(stack(3, 2.0), 3).planes == (0, 1, 2)


def test_a_mismatch_that_is_allowed_takes_all_planes_with_a_warning():
    made = fit(stack(3, 0.25), 3, 1.0, allow_mismatch=True)
    assert made.planes == (0, 1, 2)
    assert "planes are 0.25 um apart; model 'm' expects 1 um" in made.warnings[0]
    with pytest.raises(InputError, match="where none lie"):
        fit(stack(9, 0.7), 3, 1.0, allow_mismatch=True)


def test_listed_planes_are_taken_whatever_lies_between():
    assert fit(stack(9, 0.5), 3, 1.0, planes=(8, 0, 0)).planes == (8, 0, 0)
    assert fit(stack(9, 0.5), 3, 1.0, planes=(1, 3, 5)).warnings == ()
    with pytest.raises(InputError, match=r"planes are 0\.25 um apart"):
        fit(stack(9, 0.25), 3, 1.0, planes=(1, 2, 3))


@pytest.mark.parametrize(
    ("count", "z_step", "expected", "model_step", "planes"),
    [
        (9, 1.0, 3, 1.5, (2.5, 4, 5.5)),
        (8, 1.0, 3, 1.5, (1.5, 3, 4.5)),
        (8, 1.0, 2, 1.5, (2.75, 4.25)),
        (9, 0.5, 3, 1.0, (2, 4, 6)),
        (5, 1.0, 3, 1 / 3, (1.667, 2, 2.333)),
        # Half a plane beyond the last is that plane.
        (3, 1.0, 3, 1.4, (0, 1, 2)),
        (4, 1.0, 1, 1.5, (1,)),
    ],
)
def test_blended_planes_lie_where_the_models_do(count, z_step, expected, model_step, planes):
    made = fit(stack(count, z_step), expected, model_step, planes="interpolate")
    assert made.planes == planes
    assert [type(plane) for plane in made.planes] == [type(plane) for plane in planes]
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("z_step", "model_step", "line"),
    [
        (None, 1.0, "does not say its z step, which `planes=interpolate` needs"),
        (1.0, None, "`planes=interpolate`: model 'm' does not say its z step"),
        (1.0, 1.6, "span 2 um; model 'm' expects 3, 1.6 um apart, which span 3.2 um"),
    ],
)
def test_what_cannot_be_blended_is_refused(z_step, model_step, line):
    with pytest.raises(InputError) as refused:
        fit(stack(3, z_step), 3, model_step, planes="interpolate")
    assert line in str(refused.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_blend_is_linear_between_neighbours(dtype):
    field = stack(3, 1.0, dtype)
    everything = slice(None)
    full = 1.0 if dtype == np.float32 else float(np.iinfo(dtype).max)
    below, above = (field.read(0, z, everything, everything).astype(float) for z in (1, 2))
    blend = field.plane(0, 1.25, everything, everything)
    assert blend.dtype == np.float32
    np.testing.assert_allclose(blend, (0.75 * below + 0.25 * above) / full, rtol=1e-6)
    whole = field.plane(0, 2, everything, everything)
    assert whole.dtype == dtype
    np.testing.assert_array_equal(whole, above)


def test_blends_are_measured_and_normalized_as_planes_are():
    frames = np.random.default_rng(3).integers(0, 4096, (2, 4, *SIZE), dtype=np.uint16)
    field = field_of(Movie(name="field", frames=frames))
    planes = (0.5, 3, 1.25)
    assert stored_planes(planes) == [0, 1, 2, 3]
    records = measure(field, planes, "auto")[1]
    assert [record.plane for record in records] == list(planes)
    blended = np.stack([field.plane(1, z, slice(None), slice(None)) for z in planes[::2]])
    expected = [measure(field_of(ZStack(name="b", planes=blended)), (0, 1), "auto")[0]][0]
    assert [r.mean for r in records[::2]] == [r.mean for r in expected]
    window = ((1, 3), (0, 4))
    kept = held(field, planes)
    seen = normalized(kept, 1, records, window)
    np.testing.assert_array_equal(seen, normalized(field, 1, records, window))
    for place, plane in enumerate(blended):
        inside = (plane[1:3, 0:4] - plane.mean()) * (0.125 / plane.std()) + 0.5
        np.testing.assert_allclose(seen[2 * place], inside.clip(0, 1), atol=1e-5)


def test_planes_as_they_are_typed():
    assert parse_planes("interpolate") == "interpolate"
    assert parse_planes("0,2:4,5:10:2") == (0, 2, 3, 5, 7, 9)
    for text in ("interpolated", "1:2:3:4", "-1", "1,,2", ""):
        with pytest.raises(InputError, match="expected numbers from 0 and ranges"):
            parse_planes(text)
