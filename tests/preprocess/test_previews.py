"""A field's pictures: that they show the field, whatever its tiles hold."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.config import parse
from isl.errors import InputError
from isl.imaging.image import FluorescenceImage, ZStack
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout.fields import PlaneSource, RawField, Tile
from isl.preprocess.previews import write_previews
from isl.preprocess.quality import Measures
from isl.preprocess.record import FieldRecord, MeasuredLink, PlacedTile

CONFIG = parse(
    {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}}, PreprocessConfig, source="test"
)
SIZE = (40, 50)


def field_of(folder, images):
    tiles = []
    for number, image in enumerate(images):
        tifffile.imwrite(folder / f"{number}.tif", image)
        source = PlaneSource(file=folder / f"{number}.tif")
        tiles.append(
            Tile(
                name=f"c{number}",
                row=0,
                column=number,
                position=(0.0, 30.0 * number),
                images={("phase", 0): (source,)},
            )
        )
    return RawField(
        name="A1",
        group="A1",
        tiles=tuple(tiles),
        size=SIZE,
        dtype=images[0].dtype,
        planes={"phase": 1},
        pixel_size=None,
        z_step=None,
        warnings=(),
    )


def record_of(count):
    places = [(0.0, 15.0 * number) for number in range(count)]
    return FieldRecord(
        name="A1",
        group="A1",
        inputs="",
        size=(20, 25 + 15 * (count - 1)),
        tile_size=(20, 25),
        pixel_size=None,
        z_step=None,
        planes=(0,),
        sharpness=(0.3,),
        sharpest=0,
        tiles=tuple(
            PlacedTile(name=f"c{n}", nominal=at, position=at, anchored=False)
            for n, at in enumerate(places)
        ),
        links=tuple(
            MeasuredLink(
                tiles=(n, n + 1), offset=(0.0, 15.0), confidence=0.5, residual=0.0, trusted=True
            )
            for n in range(count - 1)
        ),
        covered=1.0,
        exposures={"phase": 1},
        gains={},
        normalization={},
        registration={},
        measures=Measures(field="A1"),
        warnings=(),
    )


def write(folder, images, labels=("DAPI",)):
    field, record = field_of(folder, images), record_of(len(images))
    rng = np.random.default_rng(0)
    stack = ZStack(name="A1", planes=rng.integers(0, 65536, (1, *record.size)).astype(np.uint16))
    dyes = FluorescenceImage(
        name="A1",
        channels=rng.integers(0, 65536, (len(labels), *record.size)).astype(np.uint16),
        labels=labels,
    )
    preview, offsets = folder / "A1.preview.png", folder / "A1.offsets.png"
    write_previews(preview, offsets, field, record, stack, dyes, CONFIG)
    return preview, offsets


def noise(count, dtype=np.uint16):
    return list(np.random.default_rng(1).integers(90, 255, (count, *SIZE)).astype(dtype))


@pytest.mark.parametrize("labels", [(), ("DAPI",), ("DAPI", "MAP2")])
def test_pictures_of_several_tiles(labels, tmp_path):
    preview, offsets = write(tmp_path, noise(3), labels)
    for file in (preview, offsets):
        with Image.open(file) as picture:
            assert min(picture.size) > 50
            assert np.ptp(np.asarray(picture.convert("L"))) > 100
    first = preview.read_bytes()
    assert write(tmp_path, noise(3), labels)[0].read_bytes() == first


def test_one_tile_has_no_offsets(tmp_path):
    preview, offsets = write(tmp_path, noise(2))
    assert offsets.exists()
    preview, offsets = write(tmp_path, noise(1))
    assert preview.exists()
    assert not offsets.exists()


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_tiles_can_be_shown(value, tmp_path):
    assert write(tmp_path, [np.full(SIZE, value, np.uint16)] * 2)[0].exists()


def test_negative_tiles_can_be_shown(tmp_path):
    assert write(tmp_path, [image.astype(np.float32) - 1000 for image in noise(2)])[0].exists()


def test_tiles_that_are_gone(tmp_path):
    field = field_of(tmp_path, noise(1))
    Path(tmp_path / "0.tif").unlink()
    stack = ZStack(name="A1", planes=np.zeros((1, 20, 25), np.uint16))
    dyes = FluorescenceImage(name="A1", channels=np.zeros((0, 20, 25), np.uint16), labels=())
    with pytest.raises(InputError, match=r"0\.tif: there is no such file"):
        write_previews(
            tmp_path / "p.png", tmp_path / "o.png", field, record_of(1), stack, dyes, CONFIG
        )
    assert not list(tmp_path.iterdir())
