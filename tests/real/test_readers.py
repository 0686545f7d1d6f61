"""Lazy readers on real files of microscopes; see the data's own README for where they come from."""

import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.imaging.inputs.open_image import open_images
from isl.imaging.inputs.read import find_inputs, read_transmitted

OBJECTIVE_20X = 0.32339
# name, T C Z Y X, type, (smallest, largest pixel) of the last plane, micrometres along y, x, z
FILES = {
    "nd2/example-cerevisiae.nd2": [
        (
            "example-cerevisiae",
            (1, 2, 1, 256, 256),
            "uint16",
            (76, 8053),
            (0.108333, 0.108333, None),
        ),
    ],
    "nd2/example-multichannel.nd2": [
        (
            "example-multichannel",
            (1, 4, 1, 256, 256),
            "uint16",
            (98, 777),
            (OBJECTIVE_20X, OBJECTIVE_20X, None),
        ),
    ],
    "nd2/example-pbmc.nd2": [
        ("example-pbmc", (1, 4, 1, 256, 256), "uint16", (639, 11914), (0.646781, 0.646781, None)),
    ],
    "nd2/example-timelapse.nd2": [
        ("example-timelapse", (53, 1, 1, 64, 64), "uint16", (469, 65535), (0.325, 0.325, None)),
    ],
    "nd2/example-zstack.nd2": [
        (
            "example-zstack",
            (1, 1, 11, 128, 128),
            "uint16",
            (0, 484),
            (OBJECTIVE_20X, OBJECTIVE_20X, 6.0),
        ),
    ],
    "czi/100x100.czi": [("100x100", (1, 1, 1, 10, 10), "uint8", (0, 99), (0.1, 0.1, None))],
    "czi/CellDivision_T3_Z5_CH2_X240_Y170.czi": [
        (
            "CellDivision_T3_Z5_CH2_X240_Y170",
            (3, 2, 5, 170, 240),
            "uint16",
            (0, 17273),
            (0.0905767, 0.0905767, 0.32),
        ),
    ],
    "czi/DAPI_GFP.czi": [("DAPI_GFP", (1, 2, 1, 640, 640), "uint8", (0, 255), None)],
    "czi/LLS7_small.czi": [
        ("LLS7_small", (2, 2, 3, 64, 64), "uint16", (0, 9601), (0.144992, 0.144992, 0.144992)),
    ],
    "lif/LeicaLASX_wavelength-sweep_example.lif": [
        (
            f"LeicaLASX_wavelength-sweep_example_{series}",
            shape,
            "uint8",
            extremes,
            (0.104814, 0.104814, step),
        )
        for series, shape, extremes, step in (
            ("x_y_lambdaEmi", (1, 20, 1, 64, 64), (0, 0), None),
            ("x_y_lambdaExc", (1, 15, 1, 64, 64), (0, 124), None),
            ("x_y_z_t_lambdaEmi", (2, 10, 11, 64, 64), (0, 10), 0.500203),
        )
    ],
    "lif/testdata_2channel_xz.lif": [
        (f"testdata_2channel_xz_{series}", shape, "uint8", extremes, size)
        for series, shape, extremes, size in (
            ("xzt", (20, 2, 128, 1, 128), (0, 24), (0.14028, 0.14028, 0.140279)),
            ("xzy", (1, 2, 128, 23, 128), (0, 191), (0.229062, 0.14028, 0.140279)),
            ("xz", (1, 2, 512, 1, 512), (0, 190), (0.102697, 0.102697, 0.102697)),
        )
    ],
}
MUTATIONS = 40


@pytest.fixture(scope="module")
def readers():
    folder = os.environ.get("ISL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail("set ISL_DATA to the folder of real images")
    return Path(folder) / "readers"


@pytest.fixture
def opened(readers):
    pictures = []

    def open_file(name):
        found = open_images(readers / name)
        pictures.extend(found)
        return found

    yield open_file
    for picture in pictures:
        picture.close()


@pytest.mark.parametrize("file", FILES)
def test_what_each_file_holds(opened, file):
    for picture, expected in zip(opened(file), FILES[file], strict=True):
        name, shape, dtype, extremes, size = expected
        assert (picture.name, picture.shape, picture.dtype) == (name, shape, np.dtype(dtype))
        t, c, z = (length - 1 for length in shape[:3])
        plane = picture.read(t=t, c=c, z=z)
        assert (plane.shape, plane.dtype) == (shape[3:], np.dtype(dtype))
        assert (plane.min(), plane.max()) == extremes
        rows, columns = slice(0, shape[3] - 1), slice(3, shape[4] // 2)
        window = picture.read(t=t, c=c, z=z, rows=rows, columns=columns)
        np.testing.assert_array_equal(window, plane[rows, columns])
        if size is None:
            assert picture.pixel_size is None
        else:
            y, x, step = size
            assert picture.pixel_size == PixelSize(
                y=pytest.approx(y, rel=1e-5),
                x=pytest.approx(x, rel=1e-5),
                z=None if step is None else pytest.approx(step, rel=1e-5),
            )


def test_channels_modality_interval_and_stage(opened):
    (yeast,) = opened("nd2/example-cerevisiae.nd2")
    assert yeast.channel_names == ("DIC", "FITC BP")
    assert yeast.modality == "DIC"
    assert yeast.stage == pytest.approx((-4429.86, 48861.04), abs=0.01)
    for name in ("multichannel", "pbmc"):
        (cells,) = opened(f"nd2/example-{name}.nd2")
        assert cells.channel_names == ("Mono (Transmitted)", "DAPI", "FITC BP", "TRITC BP")
    (lapse,) = opened("nd2/example-timelapse.nd2")
    assert lapse.interval == pytest.approx(0.50016 / 60, rel=1e-4)
    (division,) = opened("czi/CellDivision_T3_Z5_CH2_X240_Y170.czi")
    assert division.channel_names == ("LED555", "LED470")
    assert division.interval == pytest.approx(60.075 / 60)
    assert opened("czi/DAPI_GFP.czi")[0].channel_names == ("DAPI", "GFP")
    emission, _, film = opened("lif/LeicaLASX_wavelength-sweep_example.lif")
    assert emission.channel_names == tuple(f"{nm} nm" for nm in range(550, 750, 10))
    assert film.interval == pytest.approx(1.3485)


def as_library_reads(path):
    """Every image of a file by its library's own whole read, in the reader's order of axes."""
    if path.suffix == ".nd2":
        import nd2

        with nd2.ND2File(path) as file:
            yield np.array(file.asarray()), "".join(file.sizes)
    elif path.suffix == ".czi":
        import czifile

        with czifile.CziFile(str(path)) as file:
            # Of 2026, which Python 3.11 cannot have, images are scenes.
            for image in file.scenes.values() if hasattr(file, "scenes") else (file,):
                yield image.asarray(), image.axes
    else:
        import liffile

        with liffile.LifFile(path) as file:
            for image in file.images:
                axes = "".join(image.dims).replace("λ", "C").replace("Λ", "C")
                yield image.asarray(), axes


@pytest.mark.parametrize("file", FILES)
def test_every_pixel_is_the_librarys(readers, opened, file):
    for picture, (whole, axes) in zip(opened(file), as_library_reads(readers / file), strict=True):
        order = [
            axes.index(axis) for axis in (*(set(axes) - set("TCZYX")), *"TCZYX") if axis in axes
        ]
        expected = whole.transpose(order).reshape(picture.shape)
        for t, c, z in np.ndindex(picture.shape[:3]):
            np.testing.assert_array_equal(picture.read(t=t, c=c, z=z), expected[t, c, z])


@pytest.mark.parametrize(
    "file",
    [
        "nd2/example-timelapse.nd2",
        "czi/CellDivision_T3_Z5_CH2_X240_Y170.czi",
        "lif/LeicaLASX_wavelength-sweep_example.lif",
    ],
)
def test_several_threads_read_one_file(opened, file):
    picture = opened(file)[-1]
    places = list(np.ndindex(picture.shape[:3])) * 3
    expected = [picture.read(t=t, c=c, z=z) for t, c, z in places]

    def read(place):
        t, c, z = place
        return picture.read(t=t, c=c, z=z)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read, places))
    for alone, together in zip(expected, found, strict=True):
        np.testing.assert_array_equal(together, alone)


def test_images_are_read_as_stacks(readers):
    yeast = read_transmitted(readers / "nd2" / "example-cerevisiae.nd2")
    assert (yeast.planes.shape, yeast.modality) == ((1, 256, 256), "DIC")
    for channel in (None, "Mono"):
        cells = read_transmitted(readers / "nd2" / "example-pbmc.nd2", channel=channel)
        assert cells.planes.shape == (1, 256, 256)
    fields = find_inputs([readers / "lif"])
    assert len(fields) == 6
    scan = read_transmitted(dict(fields)["testdata_2channel_xz_xzy"], channel="Green")
    assert scan.planes.shape == (128, 23, 128)
    with pytest.raises(InputError, match='DAPI, GFP; name it, `channel="DAPI"`'):
        read_transmitted(readers / "czi" / "DAPI_GFP.czi")


def damaged(content, seed):
    """A copy with one kind of damage: cut off, wrong bytes anywhere or in the head, numbers."""
    random = np.random.default_rng(seed)
    data = bytearray(content)
    kind = seed % 5
    if kind == 0:
        return bytes(data[: random.integers(1, len(data))])
    for _ in range(random.integers(1, 20)):
        if kind == 1:
            data[random.integers(len(data))] = random.integers(256)
        elif kind == 2:
            data[random.integers(min(len(data), 4096))] = random.integers(256)
        elif kind == 3:
            start = random.integers(len(data) - 8)
            number = int(random.choice([2**63 - 1, 2**40, 2**32, 2**31 - 1, 1, 0]))
            data[start : start + 8] = number.to_bytes(8, "little")
        else:
            places = random.integers(0, len(data), 400)
            for place in (p for p in places if chr(data[p]).isdecimal()):
                data[place] = ord("0") + random.integers(10)
    return bytes(data)


@pytest.mark.parametrize("file", FILES)
def test_damage_is_refused_in_one_line(readers, tmp_path, capfd, file):
    """Nothing but an InputError comes out, with nothing on stderr and no file left."""
    content = (readers / file).read_bytes()
    path = tmp_path / Path(file).name
    messages = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(MUTATIONS):
        path.write_bytes(damaged(content, seed))
        try:
            for picture in open_images(path):
                with picture:
                    t, c, z = (length - 1 for length in picture.shape[:3])
                    picture.read(rows=slice(0, 9), columns=slice(0, 9))
                    picture.read(t=t, c=c, z=z)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > MUTATIONS // 10
    assert all(str(path) in message and "\n" not in message for message in messages)
    assert capfd.readouterr() == ("", "")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    # KiB: headers may claim terabytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
