"""ImageJ 1.x opens what isl writes (make test-imagej; Debian: apt install imagej xvfb xauth)."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from isl.imaging.colors import label_color
from isl.imaging.display import shown_range
from isl.imaging.formats.imagej_tiff import write_imagej
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.imaging.lazy import LazyPicture

MACRO = Path(__file__).with_name("read_back.ijm")
LABELS = ("DAPI", "MAP2", "NFH")


def images():
    random = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16, np.float32):
        for shape in ((3, 300, 410), (4, 2, 70, 130)):
            full = 1 if dtype == np.float32 else np.iinfo(dtype).max
            values = random.random(shape) ** 4 * full
            yield FluorescenceImage(
                name=f"{np.dtype(dtype).name}_{len(shape)}",
                channels=values.astype(dtype),
                labels=LABELS[: shape[-3]],
                pixel_size=PixelSize(y=0.5, x=0.5),
                interval=5.0,
            )


def picture_of(image):
    frames = image.channels.reshape(-1, *image.channels.shape[-3:])
    return LazyPicture(
        name=image.name,
        shape=(*frames.shape[:2], 1, *frames.shape[2:]),
        dtype=frames.dtype,
        read_plane=lambda t, c, z, rows, columns: frames[t, c, rows, columns],
        source=Path(image.name),
        channel_names=image.labels,
        pixel_size=image.pixel_size,
        interval=image.interval,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """By file name what ImageJ says: the words of the image's line, and of each slice's."""
    folder = tmp_path_factory.mktemp("imagej")
    for image in images():
        write_ome_tiff(folder / f"{image.name}.ome.tif", image)
        write_imagej(folder / f"{image.name}.tif", picture_of(image))
    files = ",".join(map(str, sorted(folder.iterdir())))
    imagej = [
        "java",
        "-Dfile.encoding=UTF-8",
        "-jar",
        "/usr/share/java/ij.jar",
        "-batch",
        str(MACRO),
        files,
    ]
    done = subprocess.run(
        ["xvfb-run", "-a", *imagej], capture_output=True, encoding="utf-8", timeout=120, check=True
    )
    found = {}
    for line in done.stdout.splitlines():
        kind, *words = line.split("\t")
        if kind == "image":
            slices = []
            found[Path(words[0]).name] = words[1:], slices
        elif kind == "slice":
            slices.append(words)
    return found


@pytest.mark.parametrize("ending", [".ome.tif", ".tif"])
@pytest.mark.parametrize("image", list(images()), ids=lambda image: image.name)
def test_imagej_sees_what_was_written(seen, image, ending):
    (width, height, channels, slices, frames, x, y, unit, bits, composite, interval), planes = seen[
        f"{image.name}{ending}"
    ]
    movie = image.channels.ndim == 4
    stored = image.channels.reshape(-1, *image.channels.shape[-2:])
    assert (int(height), int(width)) == stored.shape[1:]
    assert int(channels) == len(image.labels)
    assert (int(slices), int(frames)) == (1, len(image.channels) if movie else 1)
    assert (float(x), float(y), unit) == (0.5, 0.5, "µm")
    assert int(bits) == 8 * image.channels.dtype.itemsize
    assert composite == "1"
    if movie:
        assert float(interval) == 300
    assert len(planes) == len(stored)
    for number, (label, total, low, high, *color) in enumerate(planes):
        channel = number % len(image.labels)
        if ending == ".tif":
            # ImageJ drops the labels of compressed slices; colors tell channels apart there.
            assert label == image.labels[channel]
        assert float(total) == pytest.approx(stored[number].sum(dtype=np.float64), rel=1e-9)
        assert (float(low), float(high)) == pytest.approx(shown_range(stored[channel]), abs=1e-6)
        assert tuple(map(int, color)) == label_color(image.labels[channel])
