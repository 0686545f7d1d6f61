import numpy as np
import pytest

from isl.data.points import Points
from isl.errors import InputError
from isl_eval.metrics.points import (
    annotator_pairs,
    draw_discs,
    match_points,
    point_rates,
    shares_of,
)

SIZE = (60, 80)


def points(*yx, kind=""):
    return Points(yx=np.array(yx, float).reshape(-1, 2), kinds=(kind,) * len(yx))


def errors(figures):
    return figures.split, figures.merged, figures.added, figures.missing


def matched(true, predicted, **settings):
    return match_points(points(*true), points(*predicted), diameter=10, size=SIZE, **settings)


def test_discs_have_the_diameter_and_part_where_they_overlap():
    discs = draw_discs(points((20, 20), (20, 26), (50, 70)), 10, SIZE)
    y, x = np.indices(SIZE)
    assert ((discs == 3) == (np.hypot(y - 50, x - 70) <= 5)).all()
    assert (discs[20, 15:32] == [1] * 8 + [1 if discs[20, 23] == 1 else 2] + [2] * 8).all()
    assert not draw_discs(points(), 10, SIZE).any()


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([(20, 20), (40, 40)], [(21, 18), (40, 43)], (0, 0, 0, 0)),
        ([(20, 20)], [(20, 17), (20, 23)], (1, 0, 0, 0)),
        ([(20, 17), (20, 23)], [(20, 20)], (0, 1, 0, 0)),
        ([(20, 20)], [(20, 20), (40, 40)], (0, 0, 1, 0)),
        ([(20, 20), (40, 40)], [(40, 40)], (0, 0, 0, 1)),
        # Discs of 10 pixels share most with each other within 4 pixels, and not beyond 5.
        ([(20, 20)], [(20, 23.6)], (0, 0, 0, 0)),
        ([(20, 20)], [(20, 25)], (0, 0, 1, 1)),
    ],
)
def test_errors_by_kind(true, predicted, expected):
    figures = matched(true, predicted)
    assert errors(figures) == expected
    _, _, added, missing = expected
    shares = shares_of([figures])
    assert shares["accuracy"] == (len(true) - sum(expected)) / len(true)
    assert shares["precision"] == (len(predicted) - added) / len(predicted)
    assert shares["recall"] == (len(true) - missing) / len(true)


def test_discs_at_the_edge_count_only_where_asked():
    true, predicted = [(20, 20), (5, 40)], [(20, 20)]
    assert matched(true, predicted).missing == 0
    assert matched(true, predicted, exclude_edge=False).missing == 1
    assert matched([(20, 20), (6, 40)], predicted).missing == 1
    assert matched(true, predicted).edge == 1
    assert matched(true, predicted).of_true == ("correct", "left out")


def test_points_in_excluded_regions_do_not_count():
    mask = np.ones(SIZE, bool)
    mask[:, 50:] = False
    figures = matched([(20, 20), (30, 60)], [(20, 20), (20, 70)], mask=mask)
    assert (figures.true_count, figures.predicted_count, sum(errors(figures))) == (1, 1, 0)
    nothing = matched([(20, 20)], [(20, 20)], mask=np.zeros(SIZE, bool))
    assert (nothing.true_count, shares_of([nothing])["accuracy"]) == (0, None)
    assert shares_of([nothing])["dense"] == 1
    # One of the two true points lies where nuclei are too dense.
    assert (figures.annotated, figures.dense, shares_of([figures])["dense"]) == (2, 1, 0.5)


def test_what_was_added_on_debris_is_no_error():
    true, predicted = [(20, 20)], [(20, 20), (40, 40), (40, 60)]
    # One mark on the second added point, within its disc; one at a nucleus, which is none.
    marks = points((40, 64.9), (20, 20))
    figures = matched(true, predicted, debris=marks)
    assert (figures.added, figures.debris) == (1, 1)
    assert figures.of_predicted == ("correct", "added", "debris")
    shares = shares_of([figures])
    assert (shares["debris"], shares["added"], shares["accuracy"]) == (1, 1, 0)
    assert shares["precision"] == pytest.approx(2 / 3)
    assert matched(true, predicted, debris=points((40, 65.1))).debris == 0
    assert matched(true, predicted, debris=points()).added == 2


def test_annotators_are_compared_in_all_ordered_pairs():
    annotations = {
        "a": points((20, 20), (40, 40)),
        "b": points((20, 20)),
        "c": points((20, 20), (40, 40), (40, 60), (20, 60)),
        "d": points((20, 20), (40, 40)),
    }
    pairs = annotator_pairs(annotations, diameter=10, size=SIZE)
    assert len(pairs) == 12
    assert errors(pairs["a", "b"]) == (0, 0, 0, 1)
    assert errors(pairs["b", "c"]) == (0, 0, 3, 0)
    rates = point_rates({" and ".join(pair): [figures] for pair, figures in pairs.items()})
    added = [0, 1, 0, 1, 3, 1, 0, 0, 0, 0, 0, 1]
    missing = [1 / 2, 0, 0, 0, 0, 0, 1 / 2, 3 / 4, 1 / 2, 0, 1 / 2, 0]
    assert rates["missing"].mean == pytest.approx(np.mean(missing))
    assert rates["missing"].deviation == pytest.approx(np.std(missing, ddof=1))
    assert rates["added"].mean == pytest.approx(np.mean(added))
    assert (rates["split"].mean, rates["split"].deviation) == (0, 0)


def test_rates_without_objects_are_undefined():
    nothing = matched([], [(20, 20)])
    note = "left out, without a true object in any field: ann (1 predicted)"
    assert point_rates({"ann": [nothing]})["added"] == (None, None, 0, note)
    assert point_rates({"ann": [nothing]})["dense"] == (None, None, 0, note)
    rates = point_rates({"ann": [nothing], "bo": [matched([(20, 20)], [])]})
    assert rates["missing"] == (1, None, 1, note)


def test_errors_are_summed_over_fields_and_divided_once():
    grid = [(y, x) for y in range(15, 55, 12) for x in range(15, 75, 12)]
    dense, empty, sparse = matched(grid, grid), matched([], grid), matched([(20, 20)], [])
    rates = point_rates({"ann": [dense, empty, sparse]})
    objects = len(grid) + 1
    assert rates["added"] == (pytest.approx(len(grid) / objects), None, 1, "")
    assert rates["missing"] == (pytest.approx(1 / objects), None, 1, "")
    both = point_rates({"ann": [dense, empty, sparse], "bo": [dense]})
    assert both["missing"].mean == pytest.approx(1 / objects / 2)
    assert both["missing"].deviation == pytest.approx(np.std([1 / objects, 0], ddof=1))
    assert both["missing"].comparisons == 2


def test_bad_points_and_settings():
    with pytest.raises(InputError, match="y 20, x 90 lies outside of the image of 60 x 80"):
        matched([(20, 90)], [])
    with pytest.raises(InputError, match="two points of one image lie on the same pixel"):
        matched([(20, 20), (20.1, 20)], [])
    with pytest.raises(InputError, match="diameter of 0 pixels"):
        draw_discs(points((20, 20)), 0, SIZE)
    with pytest.raises(InputError, match="60 x 80 pixels, its mask 80 x 60"):
        matched([], [], mask=np.ones(SIZE[::-1], bool))
    with pytest.raises(InputError, match="1 annotator"):
        annotator_pairs({"a": points()}, diameter=10, size=SIZE)
