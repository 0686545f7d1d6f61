"""Following: numbers stay through movement, absence, parting and merging; masks as given."""

import numpy as np
import pytest

from isl.colony.following import Follower
from isl.colony.masks import read_mask
from isl.errors import InputError


def frame(*boxes: tuple[int, int, int, int], size: int = 40) -> np.ndarray:
    labels = np.zeros((size, size), np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


def followed(*frames: np.ndarray, **settings) -> list[np.ndarray]:
    follower = Follower(**settings)
    return [follower.follow(each) for each in frames]


def test_numbers_stay_while_colonies_move() -> None:
    first, second = followed(
        frame((2, 2, 12, 12), (20, 20, 34, 34)), frame((20, 21, 34, 35), (3, 3, 13, 13))
    )
    assert (first[5, 5], first[25, 25]) == (1, 2)
    assert (second[5, 5], second[25, 25]) == (1, 2)
    assert (second > 0).sum() == (14 * 14) + (10 * 10)


@pytest.mark.parametrize(("absent", "number"), [(1, 1), (2, 1), (3, 2)])
def test_absence_up_to_the_gap(absent: int, number: int) -> None:
    colony, nothing = frame((5, 5, 20, 20)), frame()
    frames = followed(colony, *[nothing] * absent, colony, gap=2)
    assert frames[-1].max() == number
    assert all(not each.any() for each in frames[1:-1])


def test_a_new_colony_gets_a_new_number() -> None:
    _, second = followed(frame((2, 2, 12, 12)), frame((20, 20, 30, 30), (2, 2, 12, 12)))
    assert (second[25, 25], second[5, 5]) == (2, 1)


def test_parting_and_merging_go_on_as_the_larger_overlap() -> None:
    whole = frame((5, 5, 15, 35))
    parts = frame((5, 5, 15, 12), (5, 13, 15, 35))
    _, parted, merged = followed(whole, parts, whole)
    assert (parted[10, 20], parted[10, 7]) == (1, 2)
    assert np.unique(merged).tolist() == [0, 1]


def test_empty_frames() -> None:
    assert [each.max() for each in followed(frame(), frame())] == [0, 0]


def test_mask_numbers_are_identities() -> None:
    labels = np.stack([frame((2, 2, 8, 8)) * 7, frame((2, 2, 8, 8)) * 300])
    given = read_mask(labels.astype(np.uint16), (2, 40, 40), source="m.tif")
    assert np.unique(given.labels).tolist() == [0, 7, 300]
    assert given.remarks == ()


def test_binary_masks_are_numbered_by_connectedness() -> None:
    binary = (frame((2, 2, 8, 8), (20, 20, 30, 30)) > 0).astype(np.uint8)[None] * 255
    given = read_mask(binary, (3, 40, 40), source="m.tif")
    assert given.labels.shape == (3, 40, 40)
    assert given.labels.max() == 2
    assert given.numbered
    assert "parts that do not touch" in given.remarks[0]


def test_numbers_in_several_places_are_named() -> None:
    labels = frame((2, 2, 8, 8), (20, 20, 30, 30), (32, 2, 36, 6))
    labels[labels == 3] = 1
    given = read_mask(labels[None], (1, 40, 40), source="m.tif")
    assert given.remarks == ("in several places, each taken for one colony: 1",)
    assert np.unique(given.labels).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 39, 40), np.uint8), "40 x 39 pixels and the picture 40 x 40"),
        (np.zeros((3, 40, 40), np.uint8), "and 3 frames"),
        (np.full((1, 40, 40), 0.5, np.float32), "whole numbers"),
        (np.full((1, 40, 40), -1, np.int16), "from 0"),
    ],
)
def test_masks_that_do_not_fit(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mask(array, (2, 40, 40), source="m.tif")
