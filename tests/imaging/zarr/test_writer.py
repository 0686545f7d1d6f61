import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
import yaozarrs
import zarr

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.zarr import writer as ome_zarr_writer
from isl.imaging.zarr.reader import open_ome_zarr
from isl.imaging.zarr.writer import halved, is_image, zarr_image

SIZE = PixelSize(y=0.3, x=0.25)


def pixels_of(*shape, dtype=np.uint16):
    values = np.random.default_rng(3).integers(0, 60000, shape)
    return (values / 60000).astype(dtype) if dtype == np.float32 else values.astype(dtype)


def labels_of(pixels):
    channels = pixels.shape[0 if pixels.ndim == 3 else 1]
    return ["DAPI_CONFOCAL", "TUJ1_WIDEFIELD", "OTHER"][:channels]


def places(image):
    """Every block of every channel, time point and plane: what `write` takes, and its index."""
    lengths = dict(zip(image.axes, image.shape, strict=True))
    for t, c, z in np.ndindex(lengths.get("t", 1), lengths["c"], lengths.get("z", 1)):
        index = tuple({"t": t, "c": slice(c, c + 1), "z": z}[axis] for axis in image.axes[:-2])
        for rows, columns in image.blocks():
            yield (t, slice(c, c + 1), rows, columns), z, (*index, rows, columns)


def fill(image, pixels, chosen=None):
    for place, z, index in list(places(image)) if chosen is None else chosen:
        image.write(*place, pixels[index], z=z)


def write(path, pixels, **options):
    options = {"labels": labels_of(pixels), "chunk": 64, "shard": 128} | options
    with zarr_image(path, shape=pixels.shape, dtype=pixels.dtype, **options) as image:
        fill(image, pixels)
    return path


def files(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ome(path):
    """The metadata of an image, which must be as OME-Zarr 0.5 prescribes."""
    yaozarrs.validate_ome_json((path / "zarr.json").read_bytes(), yaozarrs.v05.OMEZarrGroupJSON)
    return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 130, 67), (2, 1, 64, 65), (1, 2, 2, 16, 200)], ids=str
)
def test_what_is_written_is_read(tmp_path, dtype, shape):
    pixels = pixels_of(*shape, dtype=dtype)
    size = PixelSize(y=0.3, x=0.25, z=2.0)
    path = write(tmp_path / "a.ome.zarr", pixels, pixel_size=size, interval=7.5)
    (picture,) = open_ome_zarr(path)
    t, c, z = {3: (1, shape[0], 1), 4: (*shape[:2], 1), 5: shape[:3]}[len(shape)]
    assert picture.name == "a"
    assert picture.shape == (t, c, z, *shape[-2:])
    assert picture.dtype == dtype
    assert picture.channel_names == tuple(labels_of(pixels))
    assert picture.pixel_size == (size if z > 1 else SIZE)
    assert picture.interval == (7.5 if t > 1 else None)
    assert picture.stage is None
    stored = pixels.reshape(picture.shape)
    for index in np.ndindex(t, c, z):
        plane = picture.read(t=index[0], c=index[1], z=index[2])
        np.testing.assert_array_equal(plane, stored[index])
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["0"][...], pixels)


def test_what_the_metadata_say(tmp_path):
    pixels = pixels_of(2, 3, 520, 300)
    path = write(
        tmp_path / "a.zarr",
        pixels,
        chunk=256,
        shard=1024,
        pixel_size=SIZE,
        interval=1.5,
        name="field 7",
    )
    said = ome(path)
    assert said["version"] == "0.5"
    (multiscale,) = said["multiscales"]
    assert multiscale["name"] == "field 7"
    assert multiscale["axes"] == [
        {"name": "t", "type": "time", "unit": "minute"},
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    whole, half, quarter = multiscale["datasets"]
    assert whole == {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [1.5, 1.0, 0.3, 0.25]}],
    }
    # The middle of a pixel of half the resolution lies between those of the two it covers.
    assert half["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.5, 1.0, 0.6, 0.5]},
        {"type": "translation", "translation": [0.0, 0.0, 0.15, 0.125]},
    ]
    assert quarter["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.5, 1.0, 1.2, 1.0]},
        {"type": "translation", "translation": [0.0, 0.0, pytest.approx(0.45), 0.375]},
    ]
    group = zarr.open_group(path, mode="r")
    assert [group[level].shape[-2:] for level in "012"] == [(520, 300), (260, 150), (130, 75)]
    assert all(group[level].metadata.dimension_names == tuple("tcyx") for level in "012")
    assert names(path) == ["0", "1", "2", "zarr.json"]
    channels = said["omero"]["channels"]
    assert [channel["label"] for channel in channels] == labels_of(pixels)
    assert [channel["color"] for channel in channels] == ["4060FF", "40E040", "FFFFFF"]


def test_unknown_lengths_have_no_unit(tmp_path):
    path = write(tmp_path / "a.zarr", pixels_of(2, 1, 30, 40))
    assert all("unit" not in axis for axis in ome(path)["multiscales"][0]["axes"])
    (picture,) = open_ome_zarr(path)
    assert (picture.pixel_size, picture.interval) == (None, None)


def test_the_place_on_the_stage_is_that_of_every_resolution(tmp_path):
    path = write(
        tmp_path / "a.zarr", pixels_of(1, 640, 320), shard=640, pixel_size=SIZE, stage=(55.0, -9.0)
    )
    assert open_ome_zarr(path)[0].stage == pytest.approx((55.0, -9.0))
    levels = ome(path)["multiscales"][0]["datasets"]
    assert len(levels) == 3
    for level in levels:
        scale, translation = level["coordinateTransformations"]
        shape = zarr.open_array(path / level["path"], mode="r").shape
        ends = np.array(translation["translation"]) + np.array(scale["scale"]) * np.subtract(
            shape, 1
        )
        middle = (np.array(translation["translation"]) + ends) / 2
        assert middle[1:] == pytest.approx((55.0, -9.0))


def test_annotations(tmp_path):
    path = write(tmp_path / "a.zarr", pixels_of(1, 5, 5), annotations={"model": "abc"})
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    assert attributes["isl"] == {"model": "abc"}


def test_shown_ranges(tmp_path):
    ramp = np.linspace(0, 1, 10001, dtype=np.float32)[:10000].reshape(1, 100, 100)
    constant = np.full_like(ramp, 0.25)
    holes = np.where(ramp < 0.5, np.float32(np.nan), np.float32(2))
    path = write(tmp_path / "f.zarr", np.concatenate([ramp, constant, holes]))
    windows = [channel["window"] for channel in ome(path)["omero"]["channels"]]
    assert windows[0] == pytest.approx(
        {"min": 0, "max": 0.9999, "start": 0.001, "end": 0.9989}, abs=1e-6
    )
    assert windows[1] == {"min": 0.25, "max": 1.25, "start": 0.25, "end": 1.25}
    assert windows[2] == {"min": 2.0, "max": 3.0, "start": 2.0, "end": 3.0}
    nothing = np.full((1, 5, 5), np.nan, np.float32)
    path = write(tmp_path / "n.zarr", nothing)
    assert ome(path)["omero"]["channels"][0]["window"]["end"] == 1.0


def test_the_range_is_that_of_the_whole_movie(tmp_path):
    path = write(tmp_path / "a.zarr", np.stack([np.full((1, 9, 9), n, np.uint8) for n in (5, 90)]))
    window = ome(path)["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == (5, 90)


def slowly_halved(pixels):
    height, width = pixels.shape
    result = np.empty((-(-height // 2), -(-width // 2)))
    for y, x in np.ndindex(*result.shape):
        result[y, x] = pixels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float).mean()
    return np.floor(result + 0.5) if pixels.dtype.kind == "u" else result


@hypothesis.given(
    hypothesis.extra.numpy.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=9),
    )
)
def test_halves_are_means_rounded(pixels):
    result = halved(pixels)
    assert result.dtype == pixels.dtype
    np.testing.assert_array_equal(result, slowly_halved(pixels))


def test_halves_of_floats():
    pixels = pixels_of(7, 9, dtype=np.float32)
    np.testing.assert_allclose(halved(pixels), slowly_halved(pixels), rtol=1e-6)


@pytest.mark.parametrize(("chunk", "shard"), [(64, 192), (75, 75), (400, 800)])
def test_resolutions_streamed_equal_those_of_whole_planes(tmp_path, chunk, shard):
    pixels = pixels_of(1, 301, 523)
    group = zarr.open_group(write(tmp_path / "a.zarr", pixels, chunk=chunk, shard=shard), mode="r")
    expected = pixels
    for level in ("1", "2"):
        expected = np.stack([halved(plane) for plane in expected])
        np.testing.assert_array_equal(group[level][...], expected)
    assert "3" not in group


def test_equal_images_give_equal_bytes(tmp_path):
    """In whichever order, by however many threads, one block at a time or several."""
    pixels = pixels_of(2, 2, 300, 290)
    pixels[0, 1] = 0
    expected = files(write(tmp_path / "plain" / "a.zarr", pixels))
    options = {"labels": labels_of(pixels), "chunk": 64, "shard": 128}
    path = tmp_path / "threads" / "a.zarr"
    with zarr_image(path, shape=pixels.shape, dtype=pixels.dtype, **options) as image:
        shuffled = list(places(image))
        random.Random(1).shuffle(shuffled)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda place: fill(image, pixels, [place]), shuffled))
    assert files(path) == expected
    path = tmp_path / "large" / "a.zarr"
    with zarr_image(path, shape=pixels.shape, dtype=pixels.dtype, **options) as image:
        for t in (1, 0):
            for rows in (slice(128, None), slice(0, 128)):
                image.write(t, slice(None), rows, slice(None), pixels[t, :, rows])
    assert files(path) == expected


def test_blocks_are_replaced_even_if_damaged(tmp_path):
    pixels = pixels_of(1, 100, 90)
    with zarr_image(
        tmp_path / "a", shape=pixels.shape, dtype="uint16", labels=["X"], chunk=16, shard=64
    ) as image:
        fill(image, pixels[:, ::-1])
        shard = image.folder.joinpath("0", "c", "0", "1", "0")
        shard.write_bytes(shard.read_bytes()[:-9])
        fill(image, pixels)
    assert files(tmp_path / "a") == files(
        write(tmp_path / "b" / "a", pixels, chunk=16, shard=64, labels=["X"])
    )


def test_processes_may_write(tmp_path):
    pixels = pixels_of(1, 100, 90)
    with zarr_image(
        tmp_path / "a.zarr", shape=pixels.shape, dtype="uint16", labels=["X"], chunk=16, shard=64
    ) as image:
        fill(pickle.loads(pickle.dumps(image)), pixels)
    (picture,) = open_ome_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(picture.read(), pixels[0])


def test_shards_fit_the_image(tmp_path):
    def block(shape, chunk, shard):
        with zarr_image(
            tmp_path / "b", shape=shape, dtype="uint8", labels=["X"], chunk=chunk, shard=shard
        ) as image:
            fill(image, np.zeros(shape, np.uint8))
            sizes = image.chunk, image.block
        write(tmp_path / "b", np.zeros(shape, np.uint8), overwrite=True)
        return sizes

    assert block((1, 10, 40), 16, 64) == ((10, 16), (10, 48))
    with pytest.raises(InputError, match="exists already"):
        block((1, 200, 16), 16, 64)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rows": slice(1, 64)}, r"slice\(1, 64, None\) of 100 is not made of whole blocks of 64"),
        ({"rows": slice(0, 99)}, "whole blocks of 64"),
        ({"rows": slice(64, 128)}, "whole blocks of 64"),
        ({"rows": slice(0, 64, 2)}, "whole blocks of 64"),
        ({"columns": slice(-64, None)}, "whole blocks of 64"),
        ({"columns": slice(0, 0)}, "whole blocks of 64"),
        ({"channels": slice(2, 3)}, "of 2 is not made of whole blocks of 1"),
        ({"t": 1}, "t = 1 of 1"),
        ({"z": -1}, "z = -1 of 1"),
        ({"values": np.zeros((2, 64, 63), np.uint16)}, r"\(2, 64, 64\) belong there"),
        ({"values": np.zeros((2, 64, 64), np.uint8)}, r"values are uint8"),
    ],
)
def test_places_and_values_that_do_not_fit(tmp_path, change, match):
    place = {"t": 0, "channels": slice(0, 2), "rows": slice(0, 64), "columns": slice(0, 64)}
    place |= {"values": np.zeros((2, 64, 64), np.uint16)} | change
    with pytest.raises(ValueError, match=match):
        with zarr_image(
            tmp_path / "a", shape=(2, 100, 100), dtype="uint16", labels="ab", chunk=16, shard=64
        ) as image:
            image.write(**place)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dtype": "float64"}, "not float64"),
        ({"shape": (10, 10)}, r"not uint8 \(10, 10\)"),
        ({"shape": (1, 0, 10)}, r"not uint8 \(1, 0, 10\)"),
        ({"labels": ["A", "B"]}, "1 channels, labels"),
        ({"shard": 100, "chunk": 64}, "shards of 100 do not consist of chunks of 64"),
    ],
)
def test_images_that_cannot_be(tmp_path, change, match):
    told = {"shape": (1, 10, 10), "dtype": "uint8", "labels": ["A"]} | change
    with pytest.raises(ValueError, match=match), zarr_image(tmp_path / "a", **told):
        pytest.fail("the block ran")
    assert names(tmp_path) == []


def test_an_image_with_missing_blocks_does_not_appear(tmp_path):
    def write_some():
        with zarr_image(
            tmp_path / "a", shape=(1, 100, 100), dtype="uint8", labels="a", chunk=16, shard=64
        ) as image:
            # Zeros count as well.
            image.write(0, slice(1), slice(64), slice(64), np.zeros((1, 64, 64), np.uint8))
            assert image.missing() == 3

    with pytest.raises(ValueError, match="a: 3 blocks were not written"):
        write_some()
    assert names(tmp_path) == []


def test_only_images_are_replaced(tmp_path):
    old, new = pixels_of(1, 30, 30), pixels_of(1, 20, 20)
    path = write(tmp_path / "a.zarr", old)
    with pytest.raises(InputError, match=r"a.zarr: exists already; give `overwrite`"):
        write(path, new)
    write(path, new, overwrite=True)
    assert open_ome_zarr(path)[0].shape == (1, 1, 1, 20, 20)
    zarr.open_group(tmp_path / "g.zarr", mode="w").attrs["kept"] = 1
    (tmp_path / "plain").mkdir()
    for other in ("g.zarr", "plain"):
        assert not is_image(tmp_path / other)
        with pytest.raises(InputError, match=f"{other}: exists and is something else"):
            write(tmp_path / other, new, overwrite=True)
    assert names(tmp_path) == ["a.zarr", "g.zarr", "plain"]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import test_writer as tests
pixels = tests.pixels_of(2, 2, 300, 290)
with tests.zarr_image(
    sys.argv[1], shape=pixels.shape, dtype=pixels.dtype, labels=tests.labels_of(pixels), chunk=64,
    shard=128,
) as image:
    tests.fill(image, pixels, list(tests.places(image))[:31])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_gone_on_with(tmp_path):
    pixels = pixels_of(2, 2, 300, 290)
    expected = files(write(tmp_path / "whole" / "a.zarr", pixels))
    path = tmp_path / "killed" / "a.zarr"
    folder = os.path.dirname(__file__)
    killed = subprocess.run([sys.executable, "-c", KILLED, path, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(path.parent) == [".a.zarr.lock", ".a.zarr.partial"]
    with zarr_image(
        path, shape=pixels.shape, dtype=pixels.dtype, labels=labels_of(pixels), chunk=64, shard=128,
        resume=True,
    ) as image:  # fmt: skip
        # What a process leaves that is killed within a file.
        (image.folder / "0" / "c" / ".0123456789ab.partial").write_bytes(b"half")
        left = [one for one in places(image) if not image.is_written(*one[0], z=one[1])]
        assert left == list(places(image))[31:]
        assert image.missing() == len(left)
        fill(image, pixels, left)
    assert files(path) == expected
    assert names(path.parent) == ["a.zarr"]


@pytest.mark.parametrize(
    "change",
    [{}, {"annotations": {"model": "b"}}, {"labels": ["B"]}, {"shard": 32}, {"resume": False}],
    ids=str,
)
def test_only_the_same_image_is_gone_on_with(tmp_path, change):
    pixels = pixels_of(1, 100, 100)
    told = {"shape": pixels.shape, "dtype": "uint16", "labels": ["A"], "chunk": 16, "shard": 64}
    told |= {"annotations": {"model": "a"}, "resume": True, "stage": (1.0, 2.0), "pixel_size": SIZE}

    def write_half():
        with zarr_image(tmp_path / "a", **told) as image:
            fill(image, pixels, list(places(image))[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names(tmp_path) == [".a.partial"]
    with zarr_image(tmp_path / "a", **told | change) as image:
        found = sum(image.is_written(*place) for place, _, _ in places(image))
        assert found == (0 if change else 2)
        fill(image, pixels)
    np.testing.assert_array_equal(open_ome_zarr(tmp_path / "a")[0].read(), pixels[0])


def test_killed_while_resolutions_are_made(tmp_path, monkeypatch):
    pixels = pixels_of(1, 600, 300)
    expected = files(write(tmp_path / "whole" / "a", pixels))
    whole_plane = ome_zarr_writer._halve_plane

    def stop_at_the_second(source, target, plane):
        if target.shape[-2] < 300:
            raise KeyboardInterrupt
        whole_plane(source, target, plane)

    monkeypatch.setattr(ome_zarr_writer, "_halve_plane", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a", pixels, resume=True)
    monkeypatch.undo()
    with zarr_image(
        tmp_path / "a", shape=pixels.shape, dtype="uint16", labels=labels_of(pixels), chunk=64,
        shard=128, resume=True,
    ) as image:  # fmt: skip
        assert image.missing() == 0
    assert files(tmp_path / "a") == expected


def test_a_leftover_that_makes_no_sense_is_begun_anew(tmp_path):
    for number, text in enumerate(["{", "[]", '{"attributes": {"isl": 3}}', ""]):
        partial = tmp_path / f".{number}.partial"
        partial.mkdir()
        (partial / "zarr.json").write_text(text)
        write(tmp_path / str(number), pixels_of(1, 9, 9), resume=True)
        assert is_image(tmp_path / str(number))


@pytest.mark.parametrize("resume", [False, True])
def test_a_full_disk(tmp_path, monkeypatch, resume):
    """Is told in one line; nothing is left but, where asked for, whole blocks to go on with."""
    pixels = pixels_of(1, 300, 300)
    count = iter(range(1000))
    sync = os.fsync

    def full(descriptor):
        if next(count) > 25:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a.* cannot be written.*No space left"):
        write(tmp_path / "a", pixels, resume=resume)
    monkeypatch.undo()
    assert names(tmp_path) == ([".a.partial"] if resume else [])
    assert not [name for name in files(tmp_path) if name.endswith(".partial")]
    write(tmp_path / "a", pixels, resume=resume)
    assert files(tmp_path / "a") == files(write(tmp_path / "b" / "a", pixels))


def test_threads_that_come_late_do_not_bring_an_image_back(tmp_path):
    held = []

    def give_up():
        with zarr_image(tmp_path / "a", shape=(1, 9, 9), dtype="uint8", labels="a") as image:
            held.append(image)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    with pytest.raises(InputError, match="is gone"):
        fill(held[0], np.zeros((1, 9, 9), np.uint8))
    assert names(tmp_path) == []


def test_memory_is_bounded_by_a_few_shards(tmp_path):
    """8 MB in shards of 128 kB, whose values are made anew for every block."""
    side, shard = 2048, 256

    def write_streamed(path, side):
        with zarr_image(
            path, shape=(1, side, side), dtype="uint16", labels="a", chunk=128, shard=shard
        ) as image:
            for rows, columns in image.blocks():
                values = np.arange(shard * shard, dtype=np.uint32).reshape(1, shard, shard)
                image.write(0, slice(0, 1), rows, columns, values.astype(np.uint16))

    # What is imported and kept at first use.
    write_streamed(tmp_path / "small", shard)
    tracemalloc.start()
    try:
        write_streamed(tmp_path / "a", side)
        assert tracemalloc.get_traced_memory()[1] < 20 * shard * shard * 2
    finally:
        tracemalloc.stop()
