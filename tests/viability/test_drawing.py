"""Film strips: dark films are shown bright, with one range for all their pictures."""

import numpy as np
from matplotlib.figure import Figure

from isl.viability.drawing import _gray


def test_a_dark_film_is_shown_from_black_to_white() -> None:
    dark, darker = np.meshgrid(np.arange(101, dtype=np.uint8), np.arange(101, dtype=np.uint8))
    pictures = np.stack([dark, darker, dark // 2])
    look = _gray(pictures)
    axes = Figure().subplots()
    shown = [axes.imshow(picture, **look) for picture in pictures]
    brightest = [float(np.max(image.norm(pictures[i]))) for i, image in enumerate(shown)]
    assert brightest[0] > 0.98
    # The third is half as bright as the first, and is shown so.
    assert 0.48 < brightest[2] < 0.53


def test_a_film_of_one_gray_is_drawn() -> None:
    look = _gray(np.full((2, 4, 4), 255, np.uint8))
    assert look["vmin"] < look["vmax"]
