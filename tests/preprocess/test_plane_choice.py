import pytest
from hypothesis import given
from hypothesis import strategies as st

from isl.errors import InputError
from isl.preprocess.plane_choice import choose_planes


def choose(*numbers):
    return choose_planes(*numbers, source="well A1")


@pytest.mark.parametrize(
    ("numbers", "planes", "spacing", "shifted"),
    [
        ((13, 13, 6), range(13), 1, 0),
        ((13, 13, 11), range(13), 1, -5),
        ((15, 13, 7), range(1, 14), 1, 0),
        ((27, 13, 13), range(1, 26, 2), 2, 0),
        ((27, 13, 13, 1), range(7, 20), 1, 0),
        ((27, 13, 2, 1), range(13), 1, 4),
        ((27, 13, 25, 1), range(14, 27), 1, -5),
        ((9, 1, 4), [4], 1, 0),
        ((9, 1, 8), [8], 1, 0),
        ((9, 2, 4), [0, 8], 8, 4),
        ((9, 4, 5, 1), [3, 4, 5, 6], 1, 0),
        ((1, 1, 0), [0], 1, 0),
    ],
)
def test_planes_are_centered_on_the_sharpest_where_they_can_be(numbers, planes, spacing, shifted):
    choice = choose(*numbers)
    assert choice.planes == tuple(planes)
    assert choice.spacing == spacing
    assert choice.shifted == shifted


def test_a_note_says_how_far_planes_were_moved():
    assert choose(13, 5, 6, 1).note == ""
    assert "bottom of the stack: planes moved by 1 plane" in choose(13, 5, 1, 1).note
    assert "top of the stack: planes moved by 2 planes" in choose(13, 5, 12, 1).note


@given(data=st.data())
def test_planes_are_even_inside_the_stack_and_as_near_as_they_can_be(data):
    available = data.draw(st.integers(1, 40))
    wanted = data.draw(st.integers(1, available))
    sharpest = data.draw(st.integers(0, available - 1))
    most = available if wanted == 1 else (available - 1) // (wanted - 1)
    spacing = data.draw(st.none() | st.integers(1, most))
    choice = choose(available, wanted, sharpest, spacing)
    assert len(choice.planes) == wanted
    assert {b - a for a, b in zip(choice.planes, choice.planes[1:], strict=False)} <= {
        choice.spacing
    }
    assert choice.planes[0] >= 0
    assert choice.planes[-1] < available
    if spacing is None and wanted > 1:
        assert (wanted - 1) * (choice.spacing + 1) >= available
    # No other start inside the stack has its middle nearer to the sharpest plane.
    extent = choice.planes[-1] - choice.planes[0]
    middle = choice.spacing * (wanted // 2)
    distances = [abs(start + middle - sharpest) for start in range(available - extent)]
    assert abs(choice.planes[wanted // 2] - sharpest) == min(distances) == abs(choice.shifted)


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ((9, 13, 4), "well A1: 13 planes are wanted, but the stack has 9; ask for 9 or fewer"),
        ((13, 5, 6, 4), "5 planes at spacing 4 span 17, but the stack has 13"),
        ((13, 0, 6), "0 planes"),
        ((13, 5, 6, 0), "spacing 0"),
        ((13, 5, 13), "plane 13 is none of the stack's 13"),
        ((13, 5, -1), "plane -1"),
    ],
)
def test_what_a_stack_cannot_give_is_refused(numbers, complaint):
    with pytest.raises(InputError, match=complaint):
        choose(*numbers)
