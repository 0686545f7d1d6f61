import datetime
import re

import pytest

from isl.errors import InputError
from isl.imaging.inputs.frame_numbers import frame_numbers, frame_steps, warn_of_gaps


@pytest.mark.parametrize(
    "pattern",
    [
        "t{:03d}.png",
        "img_channel000_position000_time{:09d}_z000.tif",
        "t{:03d}_crop480.png",
        "E16_t{:02d}_w1.tif",
        "Embryo16t{}.ome.tif",
    ],
)
def test_the_number_that_grows_counts_frames_wherever_it_stands(pattern):
    numbers = [3, 4, 5, 8]
    assert frame_numbers([pattern.format(n) for n in numbers], "folder") == numbers


def test_of_several_the_most_even_counts():
    clocks = (900, 913, 929, 941)
    names = [f"2021-03-05_{clock:04d}_t{t}.png" for t, clock in enumerate(clocks)]
    assert frame_numbers(names, "folder") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("t013.png", [13]),
        ("E016_t13_crop480.png", [13]),
        ("img_channel000_time000000005_z000.tif", [5]),
        ("scene 2 frame 7.tif", [7]),
        ("E016_2021.tif", None),
        ("first.png", None),
    ],
)
def test_a_name_alone_says_which_number_is_time(name, numbers):
    assert frame_numbers([name], "folder") == numbers


def test_names_without_numbers_count_nothing():
    assert frame_numbers(["a.png", "b.png"], "folder") is None
    assert frame_numbers(["a1.png", "a1_2.png"], "folder") is None


def test_doubles_are_named():
    with pytest.raises(InputError, match=r"folder: t1_z0.png, t1_z1.png and others count more"):
        frame_numbers(["t1_z0.png", "t1_z1.png", "t2_z0.png", "t2_z1.png"], "folder")


@pytest.mark.parametrize(
    "pattern",
    ["E1_{:%Y-%m-%d_%H-%M-%S}.png", "E1_{:%Y%m%d_%H%M%S}.tif", "2x_{:%Y%m%dT%H%M%S}_F0.png"],
)
def test_dates_with_times_grow_over_midnight(pattern):
    first = datetime.datetime(2024, 2, 28, 22, 0, 3)
    names = [pattern.format(first + datetime.timedelta(hours=hour)) for hour in (0, 1, 2, 4, 26)]
    assert frame_steps(names, "folder") == (0, 1, 2, 4, 26)


@pytest.mark.parametrize(
    ("numbers", "steps"),
    [
        ((0, 10, 15), (0, 2, 3)),
        ((0, 10, 25, 35), (0, 1, 2.5, 3.5)),
        ((0, 10, 24), (0, 1, 2.4)),
        ((0, 100, 201, 301), (0, 1, 2.01, 3.01)),
    ],
)
def test_steps_follow_uneven_numbers_exactly(numbers, steps):
    names = [f"t{number:03d}.png" for number in numbers]
    assert frame_steps(names, "folder") == pytest.approx(steps)


def test_the_middle_of_what_a_clock_ticks_is_one_interval():
    names = [f"e_{clock}.png" for clock in ("100000", "100957", "102000", "103001", "105001")]
    steps = frame_steps(names, "folder")
    assert steps == pytest.approx([seconds / 601 for seconds in (0, 597, 1200, 1801, 3001)])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0, 10, 15), "1 frame is missing .* between t0.png and t10.png, if one interval lies "
         "between t10.png and t15.png"),
        ((0, 10, 25, 35), "unevenly apart .* one interval lies between t0.png and t10.png"),
        ((0, 10, 24), "unevenly apart .* one interval lies between t0.png and t10.png"),
    ],
)  # fmt: skip
def test_uneven_numbers_are_told(numbers, said, caplog):
    names = [f"t{number}.png" for number in numbers]
    warn_of_gaps(names, frame_steps(names, "folder"), "folder")
    assert re.search(said, caplog.text)


def test_even_numbers_need_no_word(caplog):
    for numbers in ((1, 2, 3), (0, 10, 20), (100, 201, 300)):
        names = [f"t{number}.png" for number in numbers]
        warn_of_gaps(names, frame_steps(names, "folder"), "folder")
    assert caplog.text == ""
