"""Sheets of frames: each panel is filled, however small or large its frame is."""

import io

import numpy as np
import pytest
from PIL import Image

from isl.fragmentation.drawing import sheet


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96), (1200, 1200)])
def test_a_frame_fills_its_panel(height: int, width: int) -> None:
    frame = np.full((height, width, 3), 90, np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(sheet([frame]))))
    rows, columns = (np.flatnonzero((shown[..., 0] < 200).any(axis)) for axis in (1, 0))
    drawn = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    assert max(drawn) == max(shown.shape[:2])
    assert drawn[0] / drawn[1] == pytest.approx(height / width, rel=0.01)
