"""Dots lie where people set points, in the colors of what became of them."""

import numpy as np

from isl.data.points import Points
from isl.imaging.image import ZStack
from isl_eval.labeling.ground import GroundField
from isl_eval.labeling.point_pictures import COLORS, point_picture
from isl_eval.labeling.points import AnnotatedField
from isl_eval.metrics.points import match_points


def points(*yx):
    return Points(yx=np.array(yx, float).reshape(-1, 2), kinds=("",) * len(yx))


def shown(size, true, predicted, *, image=True, mask=None, debris=()):
    field = GroundField(
        name="a",
        group="a",
        stack=ZStack(name="a", planes=np.zeros((3, *size), np.uint8)),
        labels=("DAPI",),
        truth=np.zeros((1, *size), np.float32),
        measured=np.ones((1, *size), bool),
    )
    annotated = AnnotatedField(
        name="a",
        size=size,
        measured={"ann": points(*true)},
        predicted={"ann": points(*predicted)},
        mask=mask,
    )
    figures = match_points(
        points(*true),
        points(*predicted),
        diameter=10,
        size=size,
        mask=mask,
        debris=points(*debris),
    )
    return point_picture(
        field,
        annotated,
        figures,
        predicted=np.zeros(size) if image else None,
        label="DAPI",
        of="m",
        who="ann",
        rank="best",
    )


def test_dots_have_the_colors_of_what_became_of_points():
    true = [(20, 20), (20, 100), (100, 20), (100, 97), (100, 103), (60, 140)]
    predicted = [(21, 20), (60, 60), (100, 100), (20, 140), (60, 140)]
    mask = np.ones((130, 160), bool)
    mask[:, 130:] = False
    mask[:30, 130:] = True
    drawn = shown((130, 160), true, predicted, mask=mask, debris=[(20, 141)])
    assert list(drawn.panels) == ["transmitted light", "measured", "predicted", "points"]
    assert drawn.place == ""
    dots = drawn.panels["points"]
    expected = {
        (20, 20): "correct",
        (20, 100): "missing",
        (100, 20): "missing",
        (60, 60): "added",
        (100, 100): "merged",
        (20, 140): "debris",
        (60, 140): "left out",
    }
    for at, word in expected.items():
        assert tuple(dots[at]) == COLORS[word], word
    assert (dots[60, 20] < 20).all()


def test_of_a_large_field_the_square_with_most_errors_is_shown():
    size = (1500, 1000)
    true = [(100, 100), (1200, 500), (1210, 560), (1300, 520)]
    drawn = shown(size, true, [], image=False)
    assert list(drawn.panels) == ["transmitted light", "measured", "points"]
    assert drawn.panels["points"].shape == (480, 480, 3)
    assert drawn.place == "rows 960 to 1440, columns 260 to 740"
    assert tuple(drawn.panels["points"][1200 - 960, 500 - 260]) == COLORS["missing"]
