import datetime

import pytest

from isl.errors import InputError
from isl.imaging.inputs.frame_numbers import frame_numbers, frame_steps


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
