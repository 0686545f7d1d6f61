import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.imaging.colors import label_color
from isl.imaging.image import PixelSize
from isl.report.preview import Panel, write_preview


def drawn(path):
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def test_panels_stand_in_rows_and_columns(tmp_path):
    flat = np.full((256, 256), 0.5)
    write_preview(tmp_path / "1.png", [("a", flat, "gray")] * 5, columns=2, panel_size=256)
    picture = drawn(tmp_path / "1.png")
    panel = np.all(picture == 128, axis=-1)
    assert panel.sum() == pytest.approx(5 * 256 * 256, rel=1e-3)
    height, width = panel.shape
    assert width == pytest.approx(2 * 256, abs=40)
    assert height == pytest.approx(3 * 256, abs=130)
    assert not panel[-200:, width // 2 + 10 :].any()


def test_large_images_are_averaged_and_small_ones_enlarged(tmp_path):
    checkers = np.indices((512, 1024)).sum(axis=0) % 2
    dot = np.zeros((20, 30))
    dot[3, 4] = 1
    write_preview(tmp_path / "1.png", [("checkers", checkers, "gray")], panel_size=128)
    averaged = drawn(tmp_path / "1.png")
    assert np.all(averaged == 128, axis=-1).sum() == pytest.approx(64 * 128, rel=0.01)
    write_preview(tmp_path / "2.png", [("", dot, "#ff0000")], panel_size=128)
    enlarged = drawn(tmp_path / "2.png")
    assert np.all(enlarged == (255, 0, 0), axis=-1).sum() == 4 * 4


def test_colormaps_and_color_images(tmp_path):
    ramp = np.linspace(0, 1, 64)[None].repeat(64, axis=0)
    color = np.zeros((64, 64, 3))
    color[..., 1] = 1
    broken = np.full((64, 64), np.nan)
    panels = [Panel("v", ramp, "viridis"), Panel("rgb", color), Panel("nan", broken)]
    write_preview(tmp_path / "1.png", panels, panel_size=64)
    picture = drawn(tmp_path / "1.png")
    assert np.any(np.all(picture == (68, 1, 84), axis=-1))
    assert np.any(np.all(picture == (253, 231, 37), axis=-1))
    assert np.all(picture == (0, 255, 0), axis=-1).sum() == 64 * 64
    with pytest.raises(InputError, match="unknown colormap 'viridi'; did you mean 'viridis'"):
        write_preview(tmp_path / "2.png", [("v", ramp, "viridi")])
    assert not (tmp_path / "2.png").exists()


def test_long_titles_stay_inside_their_panel(tmp_path):
    write_preview(
        tmp_path / "1.png", [("a title " * 60, np.zeros((64, 64)), "gray")], panel_size=64
    )
    assert drawn(tmp_path / "1.png").shape[1] < 100


def test_a_scale_bar_has_its_length(tmp_path):
    size = PixelSize(y=0.5, x=0.5)
    black = np.zeros((256, 400))
    write_preview(tmp_path / "1.png", [("", black, "gray")], panel_size=400, pixel_size=size)
    # 50 µm is the longest bar within a quarter of 200 µm: 100 pixels.
    white = np.all(drawn(tmp_path / "1.png") == 255, axis=-1)
    assert white.sum(axis=1).max() == pytest.approx(100, abs=2)


def test_impossible_panels(tmp_path):
    with pytest.raises(ValueError, match=r"not \(4, 4, 2\)"):
        write_preview(tmp_path / "1.png", [("a", np.zeros((4, 4, 2)), "gray")])
    with pytest.raises(ValueError, match="needs a panel"):
        write_preview(tmp_path / "1.png", [])


def test_labels_have_colors():
    blue = label_color("DAPI_WIDEFIELD")
    assert max(blue) == blue[2]
    assert label_color("my new label") == (255, 255, 255)
