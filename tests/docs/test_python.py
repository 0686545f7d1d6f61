"""The page on Python: every line of it is run as it stands."""

import doctest
from pathlib import Path

import numpy as np
import pytest

from isl.imaging.formats.imagej_tiff import write_stack
from isl.phantom import PhantomConfig, make_phantom
from isl.phantom.cleavage.dataset import CleavageConfig, write_cleavage

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page's reader has: a field as an array and as a file, and an embryo."""
    monkeypatch.chdir(tmp_path)
    stack, _ = make_phantom(PhantomConfig(height=64, width=80, pixel_size=0.3, z_step=1.0), seed=3)
    np.save("field.npy", stack.planes)
    write_stack(Path("field.tif"), stack)
    write_cleavage(Path("embryos"), 1, CleavageConfig(frames=1, size=96, test=0), 0, validation=0)
    (still,) = sorted(Path("embryos").rglob("*.png"))[:1]
    from PIL import Image

    np.save("embryo.npy", np.asarray(Image.open(still).convert("L")))


@pytest.mark.usefixtures("at_hand")
def test_every_line_of_the_page_on_python() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = text.count("```python")
    failed, tried = doctest.testfile(
        str(PAGE), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert tried > blocks > 5
    assert not failed
