"""`bioio` stands for the package: two scenes of two channels, as its BioImage shows them."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats.table import format_of
from isl.imaging.image import PixelSize
from isl.imaging.inputs.read import find_inputs, read_transmitted

PIXELS = np.arange(2 * 2 * 3 * 6 * 5, dtype=np.uint16).reshape(2, 1, 2, 3, 6, 5)


class UnsupportedFileFormatError(Exception):
    pass


class BioImage:
    order, dtype = "TCZYX", np.dtype(np.uint16)

    def __init__(self, path):
        content = path.read_bytes()
        if content == b"other":
            raise UnsupportedFileFormatError(path)
        if content == b"broken":
            raise OSError("the file ends\nwithin its header")
        self.scenes = ("Well A", "Well B")
        self.channel_names = ["DAPI", "Phase contrast"]
        self.physical_pixel_sizes = types.SimpleNamespace(Z=2.0, Y=0.5, X=0.25)
        lengths = dict(zip("TCZYX", PIXELS.shape[1:], strict=True))
        self.dims = types.SimpleNamespace(order=self.order, **lengths)

    def set_scene(self, scene):
        self.pixels = PIXELS[self.scenes.index(scene)]

    def get_image_dask_data(self, order, T, C, Z):
        assert order == "YX"
        return self.pixels[T, C, Z]


@pytest.fixture
def bioio(monkeypatch):
    module = types.ModuleType("bioio")
    module.__spec__ = importlib.machinery.ModuleSpec("bioio", None)
    module.BioImage = BioImage
    monkeypatch.setitem(sys.modules, "bioio", module)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mice.oir"
    path.write_bytes(b"two scenes")
    return path


def test_scenes_are_fields(bioio, path):
    (path.parent / "table.csv").touch()
    found = find_inputs([path.parent])
    assert found == [(f"mice_Well-{well}", path / f"mice_Well-{well}") for well in "AB"]
    stack = read_transmitted(found[1][1])
    np.testing.assert_array_equal(stack.planes, PIXELS[1, 0, 1])
    assert (stack.modality, stack.pixel_size) == ("PHASE_CONTRAST", PixelSize(y=0.5, x=0.25, z=2.0))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"other", r"none of bioio's installed plugins opens it; install the one for \.oir files"),
        (b"broken", "cannot be read as an image by bioio"),
        (b"", "is empty"),
    ],
)
def test_what_no_plugin_opens(bioio, path, content, match):
    path.write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_transmitted(path)


@pytest.mark.parametrize(
    ("more", "match"),
    [({"order": "TCZYXS"}, "is a color image"), ({"dtype": np.dtype(np.int32)}, "type int32")],
)
def test_color_and_other_types_are_refused(bioio, path, monkeypatch, more, match):
    for name, value in more.items():
        monkeypatch.setattr(BioImage, name, value)
    with pytest.raises(InputError, match=match):
        read_transmitted(path)


def test_without_bioio_the_extra_is_named_and_folders_are_as_before(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioio", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert format_of(path) is None
    for function in (read_transmitted, lambda path: find_inputs([path])):
        with pytest.raises(InputError, match=r"mice\.oir: .*pip install isl\[bioio\]"):
            function(path)
    with pytest.raises(InputError, match="holds no image"):
        find_inputs([path.parent])
