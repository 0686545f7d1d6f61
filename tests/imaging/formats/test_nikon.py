"""Of nd2 files what the library makes of them: nothing writes such files."""

import types

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.formats import microscope_file
from isl.imaging.formats.nikon import open_nd2
from isl.imaging.image import PixelSize

Space = types.SimpleNamespace


def loop(kind, count, **parameters):
    return Space(type=kind, count=count, parameters=Space(**parameters))


TIMES = loop("TimeLoop", 2, periodMs=0.0, periodDiff=Space(avg=90000.0))
HEIGHTS = loop("ZStackLoop", 3, stepUm=-1.5)
PLACES = loop(
    "XYPosLoop",
    2,
    points=[
        Space(name="B02 left", stagePositionUm=Space(y=-7.0, x=100.0)),
        Space(name=None, stagePositionUm=Space(y=-7.0, x=float("nan"))),
    ],
)


def channel(name, flags=("fluorescence",), emission=450.0):
    return Space(
        channel=Space(name=name, emissionLambdaNm=emission),
        microscope=Space(modalityFlags=list(flags)),
        volume=Space(axesCalibration=(0.25, 0.3, 1.0), axesCalibrated=(True, True, False)),
        position=Space(stagePositionUm=Space(y=3.0, x=4.0)),
    )


class Library:
    """Stands for the package nd2: frames whose pixels tell their number and channel."""

    def __init__(self, experiment=(), names=("DAPI", "Dia"), missing=(), **attributes):
        self.experiment = list(experiment)
        self.missing = missing
        self.metadata = Space(
            channels=[channel(names[0])] + [channel(n, ("brightfield",)) for n in names[1:]]
        )
        self.attributes = Space(
            **{
                "componentCount": len(names),
                "channelCount": len(names),
                "heightPx": 5,
                "widthPx": 4,
            }
            | attributes
        )
        self.text_info = {}
        self.taken = {}
        self.is_legacy = self.is_rgb = self.closed = False
        self.dtype = np.dtype(np.uint16)

    def ND2File(self, source):
        self.source = source
        return self

    def events(self, orient):
        return {"Index": [*self.taken], "Time [s]": [*self.taken.values()]}

    def frame_metadata(self, index):
        return self.metadata

    def read_frame(self, index):
        if index in self.missing:
            return np.zeros((2, 5, 4), np.uint16)
        self.source.seek(0)
        self.source.read(1)
        channels = self.attributes.componentCount
        return (np.arange(5 * 4) + 100 * index + 50 * np.arange(channels)[:, None]).astype(
            np.uint16
        )

    def close(self):
        self.closed = True


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens a file that the given library reads; what was opened is closed after the test."""
    pictures = []

    def open_as(stands_for):
        path = tmp_path / "a.nd2"
        path.write_bytes(b"\0" * 1000)
        monkeypatch.setattr(microscope_file, "library", lambda name, path: stands_for)
        pictures.extend(found := open_nd2(path))
        return found

    yield open_as
    for picture in pictures:
        picture.close()


def expected(index, channel):
    return (np.arange(20) + 100 * index + 50 * channel).reshape(5, 4)


def test_frames_are_found_by_time_position_and_plane(opened):
    first, second = opened(Library([TIMES, PLACES, HEIGHTS]))
    assert (first.name, second.name) == ("a_B02-left", "a_2")
    assert first.shape == second.shape == (2, 2, 3, 5, 4)
    for t, c, z in np.ndindex(2, 2, 3):
        for position, picture in enumerate((first, second)):
            index = (t * 2 + position) * 3 + z
            np.testing.assert_array_equal(picture.read(t=t, c=c, z=z), expected(index, c))
    window = second.read(t=1, c=1, z=2, rows=slice(1, 3), columns=slice(2, 4))
    np.testing.assert_array_equal(window, expected(11, 1)[1:3, 2:4])


def test_what_it_says_of_itself(opened):
    first, second = opened(Library([TIMES, PLACES, HEIGHTS]))
    assert first.channel_names == ("DAPI", "Dia (Brightfield)")
    assert first.modality == "BRIGHTFIELD"
    assert first.pixel_size == PixelSize(y=0.3, x=0.25, z=1.5)
    assert first.interval == pytest.approx(1.5)
    assert (first.stage, second.stage) == ((-7.0, 100.0), None)
    (alone,) = opened(Library())
    assert (alone.name, alone.stage, alone.interval) == ("a", (3.0, 4.0), None)
    assert alone.pixel_size == PixelSize(y=0.3, x=0.25)


def test_frames_have_the_times_when_they_were_taken(opened, caplog):
    stands_for = Library([TIMES, PLACES, HEIGHTS])
    # Time point, position, plane: a second position is reached a minute later.
    stands_for.taken = {n: 100.0 + 30 * n + (6000 if n >= 6 else 0) for n in range(12)}
    first, second = opened(stands_for)
    assert first.times == second.times == pytest.approx((0.0, (180 + 6000) / 60))
    assert first.interval == pytest.approx(103)
    assert "says that frames are 1.5 min apart, and they were taken 103 min apart" in caplog.text


def test_exposures_are_those_of_the_notes(opened):
    stands_for = Library()
    stands_for.text_info["description"] = (
        "Metadata:\r\nPlane #1:\r\n Name: DAPI\r\n Camera Settings:   Exposure: 20 ms\r\n"
        "Plane #2:\r\n Name: Dia\r\n Camera Settings:   Exposure: 1.5 s\r\n"
    )
    (picture,) = opened(stands_for)
    assert picture.exposures == (20.0, 1500.0)


@pytest.mark.parametrize(
    ("emissions", "names"),
    [
        ((None, 450.0, 512.0), ("Mono (Transmitted)", "DAPI", "FITC")),
        ((None, None, 512.0), ("Mono", "DAPI", "FITC")),
        ((None, None, None), ("Mono", "DAPI", "FITC")),
    ],
)
def test_the_only_channel_without_emission_is_transmitted(opened, emissions, names):
    stands_for = Library(names=("Mono", "DAPI", "FITC"))
    stands_for.metadata.channels = [
        channel(name, emission=emission)
        for name, emission in zip(("Mono", "DAPI", "FITC"), emissions, strict=True)
    ]
    (found,) = opened(stands_for)
    assert found.channel_names == names
    assert found.emitted == tuple(emission is not None for emission in emissions)
    assert found.modality is None


def test_the_file_is_closed_with_its_last_image(opened):
    stands_for = Library([PLACES])
    first, second = opened(stands_for)
    first.close()
    first.close()
    assert not stands_for.closed
    second.close()
    assert stands_for.closed


def test_a_frame_that_was_not_taken_is_not_zeros(opened):
    (picture,) = opened(Library([TIMES], missing=(1,)))
    np.testing.assert_array_equal(picture.read(), expected(0, 0))
    with pytest.raises(InputError, match=r"a\.nd2: lacks frame 2; the recording was cut short"):
        picture.read(t=1)


@pytest.mark.parametrize(
    ("stands_for", "match"),
    [
        (Library(channelCount=1), "is a color image"),
        (Library([TIMES, TIMES]), "steps through T, T"),
        (Library([loop("CustomLoop", 3)]), "steps through CustomLoop"),
        (Library([loop("TimeLoop", 10**9)]), "claims more frames"),
        (Library(heightPx=0), "holds no pixels"),
        (Library(heightPx=2**31, widthPx=2**31), "GiB"),
    ],
)
def test_what_cannot_be_read(opened, stands_for, match):
    with pytest.raises(InputError, match=match):
        opened(stands_for)
    assert stands_for.closed
    assert stands_for.source.closed


def test_what_is_no_nd2(tmp_path):
    path = tmp_path / "a.nd2"
    for content, match in (
        (b"something else entirely" * 10, "cannot be read as Nikon nd2"),
        (bytes.fromhex("dacebe0a") + b"\0" * 500, "lacks its end; it is truncated"),
        (bytes.fromhex("dacebe0a"), "cannot be read as Nikon nd2"),
        (b"", "is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=match):
            open_nd2(path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(microscope_file.importlib, "import_module", absent)
    (tmp_path / "a.nd2").write_bytes(b"nd2")
    with pytest.raises(InputError, match=r"one more package \(nd2\): pip install isl\[formats\]"):
        open_nd2(tmp_path / "a.nd2")
