import struct

import imagecodecs
import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats import microscope_file, zeiss
from isl.imaging.formats.zeiss import open_czi
from isl.imaging.image import PixelSize

NOTES = """<ImageDocument><Metadata><Information><Image><Dimensions>
<Channels>
<Channel Id="Channel:0" Name="Brigh"><ContrastMethod>Brightfield</ContrastMethod></Channel>
<Channel Id="Channel:1" Name="AF488"><ContrastMethod>Fluorescence</ContrastMethod></Channel>
</Channels>
<T><Positions><List><Offsets>0 60 122</Offsets></List></Positions></T>
<S><Scenes>
<Scene Index="0" Name="B 2"><CenterPosition>1500.5,-20</CenterPosition></Scene>
<Scene Index="1" Name="B 3"><CenterPosition>broken</CenterPosition></Scene>
</Scenes></S>
</Dimensions></Image></Information>
<Scaling><Items>
<Distance Id="X"><Value>2.5E-07</Value></Distance>
<Distance Id="Y"><Value>3E-07</Value></Distance>
<Distance Id="Z"><Value>1E-06</Value></Distance>
</Items></Scaling></Metadata></ImageDocument>"""
TYPES = {"uint8": 0, "uint16": 1, "float32": 2, "bgr": 3, "int32": 12}
COMPRESSIONS = {
    0: bytes,
    2: imagecodecs.lzw_encode,
    5: imagecodecs.zstd_encode,
    6: lambda plain: b"\x01" + imagecodecs.zstd_encode(plain),
}


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Every picture that a test opens is closed after it."""
    pictures = []

    def remember(path):
        found = zeiss.open_czi(path)
        pictures.extend(found)
        return found

    monkeypatch.setitem(globals(), "open_czi", remember)
    yield
    for picture in pictures:
        picture.close()


def segment(name, data):
    return struct.pack("<16sqq", name, len(data), len(data)) + data


def entry(block, position, kind, compression, pyramid):
    starts, pixels = block
    sizes = {"Y": pixels.shape[0], "X": pixels.shape[1]}
    head = struct.pack(
        "<2siqiiBB4si", b"DV", kind, position, 0, compression, pyramid, 0, b"", len(starts)
    )
    for axis, start in starts.items():
        size = sizes.get(axis, 1)
        head += struct.pack("<4siifi", axis.encode(), start, size, 0.0, size)
    return head


def write(path, blocks, *, kind="uint16", compression=0, notes=NOTES, encode=None, pyramids=()):
    """A czi of blocks, each ({"X": start, "Y": start, other axes}, pixels)."""
    encode = encode or COMPRESSIONS[compression]
    body, entries = b"", []
    position = 32 + 512
    for number, block in enumerate(blocks):
        head = entry(block, position, TYPES[kind], compression, int(number in pyramids))
        data = encode(np.ascontiguousarray(block[1]).tobytes())
        content = struct.pack("<iiq", 0, 0, len(data)) + head
        content = content.ljust(max(256, 16 + len(head)), b"\0") + data
        entries.append(head)
        body += segment(b"ZISRAWSUBBLOCK", content)
        position = 32 + 512 + len(body)
    directory = position
    body += segment(
        b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries)
    )
    metadata = 32 + 512 + len(body)
    xml = notes.encode()
    body += segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml), 0).ljust(256, b"\0") + xml)
    head = struct.pack(
        "<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, directory, metadata, 0, 0
    ).ljust(512, b"\0")
    path.write_bytes(segment(b"ZISRAWFILE", head) + body)
    return path


def plane(value, height=6, width=5, dtype=np.uint16):
    return (np.arange(height * width).reshape(height, width) + value).astype(dtype)


def stack(**more):
    """Three time points, two channels, two planes."""
    return [
        ({"T": t, "C": c, "Z": z, "Y": 0, "X": 0} | more, plane(100 * t + 10 * c + z))
        for t in range(3)
        for c in range(2)
        for z in range(2)
    ]


def test_planes_by_time_channel_and_height(tmp_path):
    (picture,) = open_czi(write(tmp_path / "a.czi", stack()))
    assert picture.name == "a"
    assert (picture.shape, picture.dtype) == ((3, 2, 2, 6, 5), np.uint16)
    for t, c, z in np.ndindex(3, 2, 2):
        np.testing.assert_array_equal(picture.read(t=t, c=c, z=z), plane(100 * t + 10 * c + z))
    window = picture.read(t=2, rows=slice(2, 4), columns=slice(1, 5))
    np.testing.assert_array_equal(window, plane(200)[2:4, 1:5])


def test_what_it_says_of_itself(tmp_path):
    (picture,) = open_czi(write(tmp_path / "a.czi", stack()))
    assert picture.channel_names == ("Brigh (Brightfield)", "AF488")
    assert picture.emitted == (False, True)
    assert picture.modality == "BRIGHTFIELD"
    assert picture.pixel_size == PixelSize(
        y=pytest.approx(0.3), x=pytest.approx(0.25), z=pytest.approx(1.0)
    )
    assert picture.interval == pytest.approx(61 / 60)
    assert picture.stage == (-20.0, 1500.5)


def test_scenes_are_images_of_their_own(tmp_path):
    blocks = stack(S=0) + [(place | {"X": 500}, -pixels) for place, pixels in stack(S=1)]
    first, second = open_czi(write(tmp_path / "a.czi", blocks))
    assert (first.name, second.name) == ("a_B-2", "a_B-3")
    assert (first.stage, second.stage) == ((-20.0, 1500.5), None)
    np.testing.assert_array_equal(second.read(t=1), -plane(100))
    first.close()
    np.testing.assert_array_equal(second.read(t=2), -plane(200))
    second.close()
    with pytest.raises(InputError):
        second.read()


def test_tiles_are_laid_out_later_ones_on_top(tmp_path):
    blocks = [
        ({"M": 1, "Y": -2, "X": 13}, plane(500)),
        ({"M": 0, "Y": 0, "X": 10}, plane(0)),
        ({"M": 2, "Y": 9, "X": 10}, plane(900)),
    ]
    (picture,) = open_czi(write(tmp_path / "a.czi", blocks))
    expected = np.zeros((17, 8), np.uint16)
    expected[2:8, 0:5] = plane(0)
    expected[0:6, 3:8] = plane(500)
    expected[11:17, 0:5] = plane(900)
    np.testing.assert_array_equal(picture.read(), expected)
    for rows, columns in ((slice(1, 12), slice(2, 4)), (slice(9, 10), slice(0, 8))):
        np.testing.assert_array_equal(
            picture.read(rows=rows, columns=columns), expected[rows, columns]
        )


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_compressions_and_pixel_types(tmp_path, compression, kind):
    pixels = plane(3, dtype=kind)
    path = write(
        tmp_path / "a.czi", [({"Y": 0, "X": 0}, pixels)], kind=kind, compression=compression
    )
    (picture,) = open_czi(path)
    assert picture.dtype == np.dtype(kind)
    np.testing.assert_array_equal(picture.read(), pixels)
    np.testing.assert_array_equal(picture.read(rows=slice(4, 6)), pixels[4:6])


def test_zstandard_with_low_and_high_bytes_apart(tmp_path):
    def encode(plain):
        apart = np.frombuffer(plain, np.uint8).reshape(-1, 2).T.tobytes()
        return b"\x03\x01\x01" + imagecodecs.zstd_encode(apart)

    blocks = [({"Y": 0, "X": 0}, plane(300))]
    (picture,) = open_czi(write(tmp_path / "a.czi", blocks, compression=6, encode=encode))
    np.testing.assert_array_equal(picture.read(), plane(300))


def test_jpeg_xr(tmp_path):
    pixels = plane(0, 64, 64)
    path = write(
        tmp_path / "a.czi",
        [({"Y": 0, "X": 0}, pixels)],
        compression=4,
        encode=lambda plain: imagecodecs.jpegxr_encode(pixels, level=1.0),
    )
    (picture,) = open_czi(path)
    np.testing.assert_array_equal(picture.read(), pixels)


def test_pyramids_are_left_out(tmp_path):
    blocks = [({"Y": 0, "X": 0}, plane(7)), ({"Y": 0, "X": 0}, plane(0, 3, 2))]
    (picture,) = open_czi(write(tmp_path / "a.czi", blocks, pyramids=(1,)))
    np.testing.assert_array_equal(picture.read(), plane(7))


def test_a_channel_with_fewer_planes_does_not_hide_the_others(tmp_path):
    blocks = [block for block in stack() if block[0]["C"] == 0 or block[0]["Z"] == 0]
    (picture,) = open_czi(write(tmp_path / "a.czi", blocks))
    np.testing.assert_array_equal(picture.read(c=0, z=1), plane(1))
    with pytest.raises(InputError, match=r"a\.czi: has no plane z 1 of channel 1 at time 0"):
        picture.read(c=1, z=1)


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        open_czi(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.czi"
    one = [({"Y": 0, "X": 0}, plane(0))]
    refused(write(path, one, kind="bgr"), "is a color image")
    refused(write(path, one, kind="int32"), "pixels of type int32")
    refused(write(path, []), "holds no image")
    two = [({"H": h, "Y": 0, "X": 0}, plane(0)) for h in (0, 1)]
    refused(write(path, two), "has 2 images along axis H")
    far = [({"T": t, "Y": 0, "X": 0}, plane(0)) for t in (0, 10**6)]
    refused(write(path, far), "claims 1000001 x 1 x 1 planes")
    path.write_bytes(b"ZISRAW")
    refused(path, "cannot be read as Zeiss czi")
    path.write_bytes(b"")
    refused(path, "is empty")
    refused(tmp_path / "absent.czi", "there is no such file")


def test_damage_that_shows_when_pixels_are_read(tmp_path):
    wide = {"Y": 0, "X": 0}
    path = write(tmp_path / "a.czi", [(wide, plane(0))], compression=5, encode=lambda plain: b"no")
    (picture,) = open_czi(path)
    with pytest.raises(InputError, match=r"a\.czi: cannot be read as Zeiss czi"):
        picture.read()
    (picture,) = open_czi(
        write(tmp_path / "b.czi", [(wide, plane(0))], encode=lambda plain: plain[:-3])
    )
    with pytest.raises(InputError, match=r"b\.czi: is truncated or damaged"):
        picture.read()
    path = write(tmp_path / "c.czi", [(wide, plane(0))], compression=99, encode=bytes)
    (picture,) = open_czi(path)
    with pytest.raises(InputError, match="number 99"):
        picture.read()


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    path = write(tmp_path / "a.czi", [({"Y": 0, "X": 0}, plane(0, 64, 64))])
    (picture,) = open_czi(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:700])
    with pytest.raises(InputError, match=r"a\.czi: cannot be read"):
        picture.read()


def test_notes_that_are_broken_say_nothing(tmp_path):
    (picture,) = open_czi(write(tmp_path / "a.czi", stack(), notes="<ImageDocument><Meta"))
    assert picture.channel_names is None
    assert (picture.pixel_size, picture.interval, picture.modality) == (None, None, None)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (picture,) = open_czi(write(tmp_path / "a.czi", stack(), compression=5))

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(microscope_file.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"package \(imagecodecs\): pip install isl\[formats\]"):
        picture.read()
