import numpy as np
import pytest
from PIL import Image

from isl.errors import InputError
from isl.imaging.formats.published import is_published_folder, parse_name, read_published

OLD = (
    "lab-FINKBEINER,condition-KEVAN_0_8,acquisition_date,year-2015,month-10,day-5,minute-0,"
    "well-A4,tile_computation-STITCHED,{depth},channel-{channel},is_mask-{mask}.png"
)
NEW = (
    "lab-Finkbeiner,condition-kevan_0_8,acquisition_date,year-2015,month-9,day-28,well-A4,"
    "{depth},channel,value-{channel},is_mask-{mask},kind,value-ORIGINAL.png"
)
PROJECTION = "depth_computation-MAXPROJECT"


class Folder:
    """A folder that images are written to under published names."""

    def __init__(self, path, pattern):
        path.mkdir(exist_ok=True)
        self.path, self.pattern = path, pattern

    def add(self, channel, depth, pixels, *, mask=False, pattern=None):
        name = (pattern or self.pattern).format(
            depth=f"z_depth-{depth}" if isinstance(depth, int) else depth,
            channel=channel,
            mask=str(mask).lower(),
        )
        Image.fromarray(pixels).save(self.path / name)

    def add_planes(self, depths, channel="PHASE_CONTRAST", dtype=np.uint16):
        for depth in depths:
            self.add(channel, depth, np.full((6, 5), depth, dtype))


@pytest.fixture(params=[OLD, NEW], ids=["old", "new"])
def folder(tmp_path, request):
    return Folder(tmp_path / "A4", request.param)


def test_planes_are_sorted_by_number_and_labels_by_name(folder):
    folder.add_planes(range(13))
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 65535, (6, 5)).astype(np.uint16) for name in ("NFH", "DAPI")}
    for name, image in images.items():
        folder.add(name, PROJECTION, image)
    (folder.path / "LICENSE-code").write_text("text")
    (folder.path / "preview.png").write_bytes(b"another PNG, not named as published ones")
    stack, labels = read_published(folder.path)
    assert stack.name == labels.name == "A4"
    assert stack.modality == "PHASE_CONTRAST"
    assert stack.planes.dtype == np.uint16
    np.testing.assert_array_equal(stack.planes[:, 0, 0], np.arange(13))
    assert labels.labels == ("DAPI", "NFH")
    np.testing.assert_array_equal(labels.channels, np.stack([images["DAPI"], images["NFH"]]))
    assert labels.measured is None


@pytest.mark.parametrize("channel", ["BRIGHTFIELD", "DIC"])
def test_eight_bits_one_plane_and_other_modalities(folder, channel):
    folder.add_planes([0], channel, np.uint8)
    stack, labels = read_published(folder.path)
    assert (stack.modality, stack.planes.dtype, stack.planes.shape) == (
        channel,
        np.uint8,
        (1, 6, 5),
    )
    assert labels is None


def test_masks_say_where_a_label_was_measured(folder):
    folder.add_planes([0])
    image = np.ones((6, 5), np.uint16)
    mask = np.zeros((6, 5), np.uint8)
    mask[:4] = 255
    folder.add("DAPI", PROJECTION, image)
    folder.add("NFH", PROJECTION, image)
    folder.add("NFH", PROJECTION, mask, mask=True)
    labels = read_published(folder.path)[1]
    assert labels.measured.dtype == bool
    np.testing.assert_array_equal(labels.measured[0], np.ones((6, 5)))
    np.testing.assert_array_equal(labels.measured[1], mask > 0)


def test_predicted_images_are_skipped(folder):
    folder.add_planes([0])
    folder.add("DAPI", PROJECTION, np.ones((6, 5), np.uint16))
    predicted = NEW.replace("kind,value-ORIGINAL", "statistic,value-MEDIAN,kind,value-PREDICTED")
    folder.add("NFH", PROJECTION, np.ones((6, 5), np.uint16), pattern=predicted)
    folder.add("DAPI", PROJECTION, np.full((6, 5), 9, np.uint16), pattern=predicted)
    labels = read_published(folder.path)[1]
    assert labels.labels == ("DAPI",)
    assert labels.channels.max() == 1


def test_a_label_without_projection_is_the_maximum_of_its_planes(folder):
    folder.add_planes([0])
    folder.add_planes([3, 4, 5], "DAPI")
    assert read_published(folder.path)[1].channels.tolist() == np.full((1, 6, 5), 5).tolist()
    folder.add("DAPI", PROJECTION, np.full((6, 5), 7, np.uint16))
    assert read_published(folder.path)[1].channels.max() == 7


def test_gaps_are_refused(folder):
    folder.add_planes([2, 3, 5])
    with pytest.raises(InputError, match="A4: PHASE_CONTRAST lacks z_depth 4"):
        read_published(folder.path)


def test_two_transmitted_channels_are_refused(folder):
    folder.add_planes([0])
    folder.add_planes([0], "DIC")
    with pytest.raises(InputError, match=r"2 transmitted channels \(DIC, PHASE_CONTRAST\)"):
        read_published(folder.path)


def test_no_transmitted_channel_is_refused(folder):
    folder.add("DAPI", PROJECTION, np.ones((6, 5), np.uint16))
    with pytest.raises(InputError, match="holds no transmitted-light image"):
        read_published(folder.path)


def test_two_fields_in_a_folder_are_refused(folder):
    folder.add_planes([0])
    folder.add(
        "DAPI", PROJECTION, np.ones((6, 5), np.uint16), pattern=folder.pattern.replace("A4", "B2")
    )
    with pytest.raises(InputError, match=r"more than one field \(well is A4 and B2\)"):
        read_published(folder.path)


def test_two_times_in_a_folder_are_refused(folder):
    folder.add_planes([0, 1])
    later = folder.pattern.replace("year-2015", "year-2016")
    folder.add("PHASE_CONTRAST", 1, np.ones((6, 5), np.uint16), pattern=later)
    with pytest.raises(InputError, match="two images of z_depth 1"):
        read_published(folder.path)


def test_labels_may_be_imaged_on_another_day(folder):
    folder.add_planes([0])
    later = folder.pattern.replace("year-2015", "year-2016")
    folder.add("DAPI", PROJECTION, np.ones((6, 5), np.uint16), pattern=later)
    assert read_published(folder.path)[1].labels == ("DAPI",)


@pytest.mark.parametrize(
    "pixels", [np.zeros((6, 6), np.uint16), np.zeros((6, 5), np.uint8)], ids=["size", "type"]
)
def test_planes_that_differ_are_refused(folder, pixels):
    folder.add_planes([0, 1])
    folder.add("PHASE_CONTRAST", 2, pixels)
    with pytest.raises(InputError, match="a field has one size and type"):
        read_published(folder.path)


def test_a_mask_of_another_size_is_refused(folder):
    folder.add_planes([0])
    folder.add("DAPI", PROJECTION, np.ones((6, 5), np.uint16))
    folder.add("DAPI", PROJECTION, np.ones((5, 5), np.uint8), mask=True)
    with pytest.raises(InputError, match="the mask of DAPI has 5 x 5 pixels, the image 6 x 5"):
        read_published(folder.path)


def test_a_depth_that_is_no_number_is_refused(folder):
    folder.add("PHASE_CONTRAST", "z_depth-top", np.zeros((6, 5), np.uint16))
    with pytest.raises(InputError, match="z_depth is 'top'"):
        read_published(folder.path)


def test_unreadable_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_published(tmp_path / "absent")


def test_which_folders_are_published(folder, tmp_path):
    assert not is_published_folder(folder.path)
    assert not is_published_folder(tmp_path / "absent")
    folder.add_planes([0])
    assert is_published_folder(folder.path)
    assert parse_name(tmp_path / "a-b,c-d.png") is None
    assert parse_name(tmp_path / "notes.txt") is None
