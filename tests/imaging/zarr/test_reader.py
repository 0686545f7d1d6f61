import json

import numpy as np
import pytest
import zarr

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.zarr.reader import open_ome_zarr

UNITS = {"t": ("time", "second"), "c": ("channel", None)}
SCALE = {"t": 90.0, "c": 1.0, "z": 2.0, "y": 0.3, "x": 0.25}


def described(letters, scale=None, levels=("0",), unit="micrometer"):
    """A multiscale of axes named by letter."""
    axes = []
    for letter in letters:
        kind, own = UNITS.get(letter, ("space", unit))
        axes.append({"name": letter, "type": kind} | ({"unit": own} if own else {}))
    scale = [SCALE[letter] for letter in letters] if scale is None else scale
    return {
        "axes": axes,
        "datasets": [
            {
                "path": level,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [s * 2**n for s in scale]},
                ],
            }
            for n, level in enumerate(levels)
        ],
    }


def write(path, pixels, letters, version="0.4", channels=None, multiscale=None, **options):
    """An OME-Zarr of one level, written by zarr itself."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    options = {"chunks": tuple(min(n, 16) for n in pixels.shape)} | options
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **options)[...] = pixels
    ome = {"multiscales": [multiscale or described(letters)], "version": version}
    if channels:
        ome["omero"] = {"channels": [{"label": label} for label in channels]}
    group.attrs.update(ome if version == "0.4" else {"ome": ome})
    return path


def numbers(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("letters", ["tczyx", "czyx", "zyx", "yx", "tyx", "xyzct", "yzx"])
def test_axes_in_any_order(tmp_path, version, letters):
    lengths = {"t": 2, "c": 3, "z": 4, "y": 21, "x": 18}
    pixels = numbers(*(lengths[letter] for letter in letters))
    (picture,) = open_ome_zarr(write(tmp_path / "a.ome.zarr", pixels, letters, version))
    expected = tuple(lengths[letter] if letter in letters else 1 for letter in "tczyx")
    assert picture.name == "a"
    assert picture.shape == expected
    ordered = [letter for letter in "tczyx" if letter in letters]
    stored = pixels.transpose([letters.index(letter) for letter in ordered]).reshape(expected)
    for t, c, z in np.ndindex(expected[:3]):
        plane = picture.read(t=t, c=c, z=z)
        np.testing.assert_array_equal(plane, stored[t, c, z])
        assert plane.flags.c_contiguous
    window = picture.read(rows=slice(15, 20), columns=slice(3, 17))
    np.testing.assert_array_equal(window, stored[0, 0, 0, 15:20, 3:17])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_it_says_of_itself(tmp_path, version):
    path = write(
        tmp_path / "a.zarr", numbers(2, 2, 3, 20, 18), "tczyx", version, ["DAPI", "Phase contrast"]
    )
    (picture,) = open_ome_zarr(path)
    assert picture.pixel_size == PixelSize(y=0.3, x=0.25, z=2.0)
    assert picture.interval == pytest.approx(1.5)
    assert picture.channel_names == ("DAPI", "Phase contrast")
    assert picture.modality == "PHASE_CONTRAST"
    assert picture.stage is None
    assert picture.source == path


def test_units_are_converted_and_never_assumed(tmp_path):
    nanometers = described("zyx", [500.0, 300.0, 300.0], unit="nanometer")
    (picture,) = open_ome_zarr(
        write(tmp_path / "n", numbers(2, 5, 5), "zyx", multiscale=nanometers)
    )
    assert picture.pixel_size == PixelSize(
        y=pytest.approx(0.3), x=pytest.approx(0.3), z=pytest.approx(0.5)
    )
    silent = described("zyx", unit=None)
    (picture,) = open_ome_zarr(write(tmp_path / "s", numbers(2, 5, 5), "zyx", multiscale=silent))
    assert picture.pixel_size is None


def test_a_translation_tells_the_middle_on_the_stage(tmp_path):
    multiscale = described("yx", [0.5, 0.25])
    multiscale["datasets"][0]["coordinateTransformations"].append(
        {"type": "translation", "translation": [100.0, -40.0]}
    )
    (picture,) = open_ome_zarr(write(tmp_path / "a", numbers(5, 9), "yx", multiscale=multiscale))
    assert picture.stage == pytest.approx((100 + 2 * 0.5, -40 + 4 * 0.25))


def test_scales_of_all_levels_multiply_those_of_one(tmp_path):
    multiscale = described("yx", [1.0, 1.0])
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [0.4, 0.2]}]
    (picture,) = open_ome_zarr(write(tmp_path / "a", numbers(5, 9), "yx", multiscale=multiscale))
    assert picture.pixel_size == PixelSize(y=0.4, x=0.2)


def test_the_first_level_is_read(tmp_path):
    multiscale = described("yx", levels=("0", "half"))
    path = write(tmp_path / "a", numbers(20, 18), "yx", multiscale=multiscale)
    group = zarr.open_group(path, mode="r+")
    group.create_array("half", shape=(10, 9), dtype=np.uint16)[...] = numbers(10, 9)
    (picture,) = open_ome_zarr(path)
    assert picture.pixel_size == PixelSize(y=0.3, x=0.25)
    np.testing.assert_array_equal(picture.read(), numbers(20, 18))


def test_pixel_types(tmp_path):
    (big,) = open_ome_zarr(write(tmp_path / "b", numbers(4, 5, dtype=">u2"), "yx"))
    assert big.dtype == np.uint16
    assert big.dtype.isnative
    np.testing.assert_array_equal(big.read(), numbers(4, 5))
    (double,) = open_ome_zarr(write(tmp_path / "d", numbers(4, 5, dtype=float), "yx"))
    assert double.read().dtype == np.float32
    with pytest.raises(InputError, match="pixels of type int32"):
        open_ome_zarr(write(tmp_path / "i", numbers(4, 5, dtype=np.int32), "yx"))


def test_only_chunks_of_the_window_are_read(tmp_path):
    path = write(tmp_path / "a", numbers(32, 32), "yx", "0.5")
    (path / "0" / "c" / "1" / "1").write_bytes(b"not a chunk")
    (picture,) = open_ome_zarr(path)
    np.testing.assert_array_equal(picture.read(rows=slice(0, 16)), numbers(32, 32)[:16])
    with pytest.raises(InputError, match=r"cannot be read as OME-Zarr.*damaged"):
        picture.read()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("compressors", [None, "auto"])
def test_truncated_chunks(tmp_path, version, compressors):
    path = write(tmp_path / "a", numbers(16, 16), "yx", version, compressors=compressors)
    (chunk,) = [
        f for f in path.rglob("*") if f.is_file() and f.name in ("0", "0.0") and f.stat().st_size
    ]
    chunk.write_bytes(chunk.read_bytes()[:-7])
    (picture,) = open_ome_zarr(path)
    with pytest.raises(InputError, match=str(path)):
        picture.read()


def test_shards(tmp_path):
    pixels = numbers(40, 40)
    path = write(tmp_path / "a", pixels, "yx", "0.5", chunks=(8, 8), shards=(32, 32))
    (picture,) = open_ome_zarr(path)
    window = picture.read(rows=slice(30, 35), columns=slice(7, 33))
    np.testing.assert_array_equal(window, pixels[30:35, 7:33])


def test_a_series_of_images(tmp_path):
    zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    for number in (0, 1, 10, 2):
        write(tmp_path / "s.zarr" / str(number), numbers(3, 4) + number, "yx")
    pictures = open_ome_zarr(tmp_path / "s.zarr")
    assert [picture.name for picture in pictures] == ["s_0", "s_1", "s_2", "s_10"]
    assert [picture.read()[0, 0] for picture in pictures] == [0, 1, 2, 10]


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        open_ome_zarr(path)
    assert str(path) in str(caught.value)


def test_what_is_no_image(tmp_path):
    refused(tmp_path / "absent.zarr", "there is no such folder")
    (tmp_path / "empty.zarr").mkdir()
    refused(tmp_path / "empty.zarr", "is no OME-Zarr")
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    refused(tmp_path / "plain.zarr", "without OME's multiscales")


def edited(tmp_path, edit, version="0.5"):
    path = write(tmp_path / "a.zarr", numbers(2, 16, 16), "zyx", version)
    file = path / ("zarr.json" if version == "0.5" else ".zattrs")
    stored = json.loads(file.read_text())
    edit(stored["attributes"]["ome"] if version == "0.5" else stored)
    file.write_text(json.dumps(stored))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_attributes_that_make_no_sense(tmp_path, version):
    def axes(names):
        return lambda ome: ome["multiscales"][0].update(axes=[{"name": name} for name in names])

    refused(edited(tmp_path, axes("zy"), version), "axes z, y")
    refused(edited(tmp_path, axes("zzx"), version), "at most once")
    refused(edited(tmp_path, axes("zpx"), version), "axes z, p, x")
    refused(edited(tmp_path, axes("tcz"), version), "no axes y and x")
    refused(edited(tmp_path, lambda ome: ome.update(multiscales=[]), version), "without OME's")
    refused(edited(tmp_path, lambda ome: ome.update(multiscales=7), version), "cannot be read")
    gone = edited(tmp_path, lambda o: o["multiscales"][0]["datasets"][0].update(path="9"), version)
    refused(gone, "cannot be read")
    out = edited(
        tmp_path, lambda o: o["multiscales"][0]["datasets"][0].update(path="../a.zarr/0"), version
    )
    refused(out, "cannot be read")


def test_an_array_that_claims_too_much(tmp_path):
    def claiming(**values):
        path = write(tmp_path / "a.zarr", numbers(16, 16), "yx", "0.4")
        stored = json.loads((path / "0" / ".zarray").read_text()) | values
        (path / "0" / ".zarray").write_text(json.dumps(stored))
        return path

    refused(claiming(chunks=[10**7, 10**7]), "GiB")
    refused(claiming(shape=[0, 16]), "holds no pixels")
    (picture,) = open_ome_zarr(claiming(shape=[10**8, 10**8]))
    with pytest.raises(InputError, match="GiB"):
        picture.read()
    assert picture.read(rows=slice(0, 3), columns=slice(0, 3)).shape == (3, 3)
    (picture,) = open_ome_zarr(claiming(shape=[20000, 20000], chunks=[1, 1]))
    with pytest.raises(InputError, match="chunks of 1 x 1"):
        picture.read()


def test_metadata_that_is_no_json(tmp_path):
    path = write(tmp_path / "a.zarr", numbers(16, 16), "yx", "0.5")
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_ty')
    refused(path, "cannot be read as OME-Zarr")


def test_pictures_work_in_a_with_statement(tmp_path):
    (picture,) = open_ome_zarr(write(tmp_path / "a.zarr", numbers(4, 5), "yx"))
    with picture as opened:
        assert opened.read().shape == (4, 5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_damage_is_refused_in_one_line(tmp_path, capfd, version):
    """Whatever byte of it is wrong, nothing but an InputError comes out."""
    pixels = np.random.default_rng(0).integers(0, 60000, (2, 20, 20), dtype=np.uint16)
    path = write(tmp_path / "a.zarr", pixels, "zyx", version)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    messages = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        # Every other time the metadata, which are few among the chunks.
        chosen = [file for file in files if seed % 2 or file.name.startswith((".z", "zarr"))]
        file = chosen[random.integers(len(chosen))]
        whole = file.read_bytes()
        damaged = bytearray(whole[: random.integers(1, len(whole))] if seed % 3 == 0 else whole)
        for _ in range(random.integers(1, 6)):
            damaged[random.integers(len(damaged))] = random.integers(256)
        file.write_bytes(damaged)
        try:
            for picture in open_ome_zarr(path):
                picture.read(z=1, rows=slice(0, 50), columns=slice(0, 50))
        except InputError as error:
            messages.append(str(error))
        file.write_bytes(whole)
    assert len(messages) > 20
    assert all(str(path) in message and "\n" not in message for message in messages)
    assert capfd.readouterr() == ("", "")
    assert [file for file in sorted(path.rglob("*")) if file.is_file()] == files
