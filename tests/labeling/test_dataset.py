import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from isl.errors import InputError
from isl.labeling.dataset import (
    Field,
    LabelFile,
    Manifest,
    labels_of,
    load_manifest,
    write_manifest,
)
from isl.labeling.fields import load_field

SIZE = (12, 16)


def draw(seed: int, *shape: int, dtype=np.uint16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(path: Path, image: np.ndarray, **options) -> None:
    tifffile.imwrite(path, image, photometric="minisblack", **options)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three fields' worth of files: a stack, single planes, a published folder; labels, masks."""
    save(tmp_path / "stack.tif", draw(1, 3, *SIZE))
    for plane in range(2):
        Image.fromarray(draw(10 + plane, *SIZE)).save(tmp_path / f"plane{plane}.png")
    save(tmp_path / "dapi.tif", draw(2, *SIZE))
    save(tmp_path / "map2.tif", draw(3, *SIZE, dtype=np.uint8))
    both = draw(4, 2, *SIZE)
    save(
        tmp_path / "both.ome.tif",
        both,
        metadata={"axes": "CYX", "Channel": {"Name": ["NFH", "AF"]}},
    )
    mask = np.zeros(SIZE, np.uint8)
    mask[:6] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    published = tmp_path / "A4"
    published.mkdir()
    well = "lab-X,condition-Y,acquisition_date,year-2015,month-9,day-28,well-A4"
    for plane in range(3):
        name = f"{well},z_depth-{plane},channel-PHASE_CONTRAST,is_mask-false.png"
        Image.fromarray(draw(20 + plane, *SIZE)).save(published / name)
    for label in ("DAPI_CONFOCAL", "NFH_CONFOCAL"):
        name = f"{well},depth_computation-MAXPROJECT,channel-{label},is_mask-"
        Image.fromarray(draw(30, *SIZE)).save(published / f"{name}false.png")
        Image.fromarray(mask).save(published / f"{name}true.png")
    return tmp_path


def manifest(folder: Path, text: str) -> Path:
    path = folder / "data.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, *, reading: bool = False) -> str:
    path = manifest(folder, text)
    if reading:
        (field,) = load_manifest(path).fields
        with pytest.raises(InputError) as caught:
            load_field(field)
    else:
        with pytest.raises(InputError) as caught:
            load_manifest(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


STACK = """
[[field]]
name = "one"
transmitted = "stack.tif"
labels = { DAPI = "dapi.tif" }
"""


def test_a_stack_with_labels_and_masks(folder):
    path = manifest(
        folder,
        STACK
        + 'pixel_size = 0.3\nz_step = 1.5\nmodality = "DIC"\ngroup = "B2"\n'
        + 'masks = { DAPI = "mask.png" }',
    )
    (field,) = load_manifest(path).fields
    loaded = load_field(field)
    np.testing.assert_array_equal(loaded.transmitted.planes, draw(1, 3, *SIZE))
    assert loaded.transmitted.pixel_size is not None
    assert dataclasses.astuple(loaded.transmitted.pixel_size) == (0.3, 0.3, 1.5)
    assert loaded.transmitted.modality == "DIC"
    assert (loaded.name, loaded.group, loaded.split) == ("one", "B2", "train")
    assert loaded.labels.labels == ("DAPI",)
    np.testing.assert_array_equal(loaded.labels.channels, draw(2, *SIZE)[None])
    assert loaded.labels.measured is not None
    assert loaded.labels.measured[0, :6].all()
    assert not loaded.labels.measured[0, 6:].any()


@pytest.mark.parametrize("types", ["floats", "floats beside integers"])
def test_what_a_mask_leaves_out_may_hold_anything(folder, types):
    truth = np.random.default_rng(0).random(SIZE, np.float32)
    kept = np.where(np.arange(SIZE[0])[:, None] < 6, truth, 0)
    truth[6:] = np.nan
    truth[7] = -1
    save(folder / "float.tif", truth)
    beside = ', NFH = "dapi.tif"' if "integers" in types else ""
    text = STACK.replace('"dapi.tif"', '"float.tif"' + beside) + 'masks = { DAPI = "mask.png" }'
    (field,) = load_manifest(manifest(folder, text)).fields
    np.testing.assert_array_equal(load_field(field).labels.channels[0], kept)
    truth[5, :2] = np.nan
    save(folder / "float.tif", truth)
    message = refusal(folder, text, reading=True)
    assert "float.tif: 2 measured pixels of label 'DAPI' are NaN or infinite; give a" in message


def test_single_planes_and_a_channel_by_name(folder):
    save(folder / "pages.tif", draw(4, 2, *SIZE))
    path = manifest(
        folder,
        """
        [[field]]
        name = "two"
        transmitted = ["plane1.png", "plane0.png"]
        [field.labels]
        NFH = "both.ome.tif"
        OTHER = { file = "both.ome.tif", channel = "AF" }
        SECOND = { file = "pages.tif", channel = "channel_2", axes = "CYX" }
        """,
    )
    loaded = load_field(load_manifest(path).fields[0])
    np.testing.assert_array_equal(loaded.transmitted.planes, [draw(11, *SIZE), draw(10, *SIZE)])
    both = draw(4, 2, *SIZE)
    assert loaded.labels.labels == ("NFH", "OTHER", "SECOND")
    np.testing.assert_array_equal(loaded.labels.channels, both[[0, 1, 1]])
    assert loaded.labels.measured is not None
    assert loaded.labels.measured.all()


def test_a_published_folder(folder):
    path = manifest(
        folder,
        '[[field]]\nname = "A4"\nfolder = "A4"\nplanes = [2, 0]\nuse_labels = ["NFH_CONFOCAL"]',
    )
    (field,) = load_manifest(path).fields
    assert labels_of(field) == ("NFH_CONFOCAL",)
    loaded = load_field(field)
    np.testing.assert_array_equal(loaded.transmitted.planes, [draw(22, *SIZE), draw(20, *SIZE)])
    assert loaded.transmitted.modality == "PHASE_CONTRAST"
    np.testing.assert_array_equal(loaded.labels.channels, draw(30, *SIZE)[None])
    assert loaded.labels.measured is not None
    assert loaded.labels.measured.mean() == 0.5


def test_labels_that_a_field_lacks_are_measured_nowhere(folder):
    (field,) = load_manifest(manifest(folder, STACK)).fields
    loaded = load_field(field, ["MAP2", "DAPI"])
    assert loaded.labels.labels == ("MAP2", "DAPI")
    np.testing.assert_array_equal(loaded.labels.channels[0], 0)
    np.testing.assert_array_equal(loaded.labels.channels[1], draw(2, *SIZE))
    assert loaded.labels.measured is not None
    assert loaded.labels.measured.any(axis=(1, 2)).tolist() == [False, True]


def test_labels_of_different_types_meet_in_unit_intensities(folder):
    text = STACK.replace('"dapi.tif" }', '"dapi.tif", MAP2 = "map2.tif" }')
    loaded = load_field(load_manifest(manifest(folder, text)).fields[0])
    assert loaded.labels.channels.dtype == np.float32
    np.testing.assert_allclose(loaded.labels.channels[0], draw(2, *SIZE) / 65535, rtol=1e-6)
    np.testing.assert_allclose(
        loaded.labels.channels[1], draw(3, *SIZE, dtype=np.uint8) / 255, rtol=1e-6
    )


def test_validation_region_parts_the_measured_ground(folder):
    path = manifest(folder, STACK + "validation_region = [4, 12, 0, 8]\n")
    dataset = load_manifest(path)
    assert dataset.fields_for("train") == dataset.fields_for("validation") == dataset.fields
    assert dataset.fields_for("test") == ()
    loaded = load_field(dataset.fields[0])
    train, validation = loaded.measured_for("train"), loaded.measured_for("validation")
    assert (train ^ validation).all()
    assert validation[0, 4:12, 0:8].all()
    assert validation.sum() == 8 * 8
    assert not loaded.measured_for("test").any()


def test_splits_give_whole_fields(folder):
    path = manifest(
        folder,
        STACK
        + STACK.replace("one", "two")
        + 'split = "validation"\n'
        + STACK.replace("one", "three")
        + 'split = "test"\n',
    )
    dataset = load_manifest(path)
    for split, name in (("train", "one"), ("validation", "two"), ("test", "three")):
        (field,) = dataset.fields_for(split)
        assert field.name == name
        loaded = load_field(field)
        assert loaded.measured_for(split).all()
        others = {"train", "validation", "test"} - {split}
        assert not any(loaded.measured_for(other).any() for other in others)


def test_labels_of_the_whole_set(folder):
    more = '[[field]]\nname = "A4"\nfolder = "A4"\n'
    dataset = load_manifest(manifest(folder, STACK + more))
    assert dataset.labels() == ("DAPI", "DAPI_CONFOCAL", "NFH_CONFOCAL")
    dataset.require_labels(["DAPI"])
    with pytest.raises(InputError, match="unknown label 'NFH'; did you mean 'NFH_CONFOCAL'"):
        dataset.require_labels(["DAPI", "NFH"])


def test_root_from_the_environment(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = manifest(elsewhere, 'root = "${IMAGES}/."\n' + STACK)
    monkeypatch.setenv("IMAGES", str(folder))
    assert load_field(load_manifest(path).fields[0]).transmitted.planes.shape == (3, *SIZE)
    monkeypatch.delenv("IMAGES")
    with pytest.raises(InputError, match="environment variable IMAGES, which is not set"):
        load_manifest(path)


def test_a_relative_root_starts_at_the_manifest(folder, monkeypatch):
    (folder / "sets").mkdir()
    path = manifest(folder / "sets", 'root = ".."\n' + STACK)
    monkeypatch.chdir("/")
    assert load_field(load_manifest(path).fields[0]).transmitted.planes.shape == (3, *SIZE)


TWO_GROUPS = STACK + 'group = "g"\n' + STACK.replace("one", "two") + 'group = "g"\nsplit = "test"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no field"),
        ("field = []", "has no field"),
        (STACK + "grup = 1", "unknown key 'field.0.grup'; did you mean 'field.0.group'?"),
        (STACK + 'split = "tests"', "Input should be 'train', 'validation' or 'test' (got 'te"),
        (STACK + STACK, "two fields are named 'one'"),
        (TWO_GROUPS, "group 'g' is on two sides: field 'one' in 'train', field 'two' in 'test'"),
        ('[[field]]\nname = "a"', "field 'a' needs either 'folder' or 'transmitted'"),
        (STACK + 'folder = "A4"', "field 'one' needs either 'folder' or 'transmitted'"),
        (STACK + 'masks = { DPI = "mask.png" }', "mask of unknown label 'DPI'; did you mean 'DAP"),
        (STACK + 'masks = { DAPI = "msk.png" }', "there is no file"),
        (STACK.replace("stack.tif", "stak.tif"), "there is no file"),
        (STACK.replace('"dapi.tif"', '"A4"'), "there is no file"),
        (STACK + 'use_labels = ["DPI"]', "use_labels: unknown label 'DPI'; did you mean 'DAPI'?"),
        (STACK + "planes = []", "'planes' is empty"),
        (STACK + "planes = [-1]", "field.0.planes.0"),
        (STACK + "pixel_size = 0.0", "field.0.pixel_size"),
        (STACK + "validation_region = [3, 3, 0, 4]", "is empty; give [y0, y1, x0, x1]"),
        (STACK + 'validation_region = [0, 1, 0, 1]\nsplit = "test"', "this one is in 'test'"),
        (
            STACK + "validation_region = [0, 1, 0, 1]\n"
            + STACK.replace("one", "two") + 'split = "validation"\n',
            "keep one of the two",
        ),
        ('[[field]]\nname = "a"\nfolder = "A5"', "there is no folder"),
        ('[[field]]\nname = "a"\nfolder = "."', "holds no published single-plane PNGs"),
        ('[[field]]\nname = "a"\nfolder = "A4"\naxes = "ZYX"', "'axes' does not go with 'folder'"),
        (
            '[[field]]\nname = "a"\nfolder = "A4"\nuse_labels = ["NFH"]',
            "use_labels: unknown label 'NFH'; did you mean 'NFH_CONFOCAL'?",
        ),
    ],
)  # fmt: skip
def test_manifests_that_are_refused_unread(folder, text, complaint):
    message = refusal(folder, text)
    assert message.startswith(f"{folder / 'data.toml'}: ")
    assert complaint in message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            STACK.replace("dapi", "small"),
            "label 'DAPI' is 5 x 6, but the transmitted planes are 12 x",
        ),
        (STACK + 'masks = { DAPI = "small.tif" }', "mask of label 'DAPI' is 5 x 6"),
        (STACK + 'masks = { DAPI = "dapi.tif" }', "a mask is 1 or 65535 where the label was"),
        (STACK + 'masks = { DAPI = "mask.bmp" }', "JPEG and BMP do not keep an object's number"),
        (STACK + "planes = [0, 3]", "planes names plane 3, but"),
        (STACK + "validation_region = [0, 13, 0, 4]", "leaves the planes, which are 12 x 16"),
        (STACK + "z_step = 1.0", "z_step needs pixel_size too"),
        (STACK.replace('"stack.tif"', '["stack.tif", "plane0.png"]'), "has 3 planes; of several"),
        (
            STACK.replace('"stack.tif"', '["plane0.png", "small.tif"]'),
            "is 5 x 6 uint8, but plane0.png is 12 x 16 uint16",
        ),
        (STACK.replace("dapi.tif", "both.ome.tif"), "holds NFH, AF; say which is DAPI: {"),
        (
            STACK.replace('"dapi.tif"', '{ file = "both.ome.tif", channel = "NF" }'),
            "unknown channel 'NF'; did you mean 'NFH'?",
        ),
        (STACK.replace("stack.tif", "movie.tif"), "is a movie of 4 time points"),
        (STACK.replace("dapi.tif", "movie.tif"), "is a movie"),
    ],
)
def test_fields_that_are_refused_when_read(folder, text, complaint):
    save(folder / "small.tif", np.ones((5, 6), np.uint8))
    Image.fromarray(np.ones(SIZE, np.uint8)).save(folder / "mask.bmp")
    save(folder / "movie.tif", draw(5, 4, *SIZE), metadata={"axes": "TYX"}, ome=True)
    assert complaint in refusal(folder, text, reading=True)


def test_written_manifests_read_back(folder, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("IMAGES", str(folder))
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "away.tif"
    save(elsewhere, draw(1, 3, *SIZE))
    stated = Manifest(
        root="${IMAGES}",
        fields=(
            Field(
                name='a "quoted" név',
                transmitted=(Path("stack.tif"),),
                labels={
                    "DAPI": LabelFile(file=folder / "dapi.tif"),
                    "odd label.1": LabelFile(file=Path("both.ome.tif"), channel="AF", axes="CYX"),
                },
                masks={"DAPI": Path("mask.png")},
                use_labels=("odd label.1", "DAPI"),
                group="well",
                validation_region=(0, 4, 0, 4),
                pixel_size=0.25,
                z_step=1e-05,
                modality="DIC",
            ),
            Field(name="planes", transmitted=(Path("plane0.png"), Path("plane1.png"))),
            Field(
                name="away", transmitted=(elsewhere,), axes="ZYX", channel="channel_1", split="test"
            ),
            Field(name="A4", folder=folder / "A4", planes=(1, 0)),
        ),
    )
    path = folder / "written" / "data.toml"
    write_manifest(path, stated)
    text = path.read_text()
    assert str(folder) not in text
    read = load_manifest(path)
    assert read.root == "${IMAGES}"
    assert read.path == path
    assert [field.name for field in read.fields] == [field.name for field in stated.fields]
    first, planes, away, published = read.fields
    assert first.labels["odd label.1"] == LabelFile(
        file=folder / "both.ome.tif", channel="AF", axes="CYX"
    )
    assert first.masks == {"DAPI": folder / "mask.png"}
    assert first.transmitted == (folder / "stack.tif",)
    assert (first.group, first.use_labels) == ("well", ("odd label.1", "DAPI"))
    assert (first.pixel_size, first.z_step, first.modality) == (0.25, 1e-05, "DIC")
    assert first.validation_region == (0, 4, 0, 4)
    assert planes.transmitted == (folder / "plane0.png", folder / "plane1.png")
    assert (away.transmitted, away.axes, away.channel) == ((elsewhere,), "ZYX", "channel_1")
    assert away.split == "test"
    assert (published.folder, published.planes) == (folder / "A4", (1, 0))
    write_manifest(path, read, overwrite=True)
    assert path.read_text() == text
    with pytest.raises(InputError, match="exists"):
        write_manifest(path, read)


def test_paths_above_the_manifest_are_written_relative(folder):
    path = folder / "sets" / "data.toml"
    one = Field(name="one", transmitted=(folder / "stack.tif",))
    write_manifest(path, Manifest(root="..", fields=(one,)))
    assert str(folder) not in path.read_text()
    assert load_manifest(path).fields[0].transmitted == one.transmitted


def test_a_manifest_that_could_not_be_read_back_is_not_written(folder):
    one = Field(name="one", transmitted=(Path("stack.tif"),))
    path = folder / "data.toml"
    with pytest.raises(InputError, match="two fields are named 'one'"):
        write_manifest(path, Manifest(fields=(one, one)))
    assert not path.exists()


def time_lapses(folder: Path, second: str = "") -> str:
    """Two recordings of two frames each with their labels, and the manifest's text of them."""
    for name in ("E1", "E2"):
        for kind in ("dic", "ezrin"):
            (folder / kind / name).mkdir(parents=True)
            for t in range(2):
                image = draw(ord(name[1]) + t, *SIZE, dtype=np.uint8)
                Image.fromarray(image).save(folder / kind / name / f"t{t}.png")
    return "\n".join(
        f'[[time_lapse]]\nname = "{name}"\nframes = "dic/{name}"\n'
        f'labels = {{ EZRIN = "ezrin/{name}" }}\nmodality = "DIC"\n{more}\n'
        for name, more in (("E1", ""), ("E2", second))
    )


def test_frames_of_time_lapses_are_fields_after_the_others(folder):
    dataset = load_manifest(manifest(folder, STACK + time_lapses(folder, 'split = "test"')))
    names = ["one", "E1/t0", "E1/t1", "E2/t0", "E2/t1"]
    assert [field.name for field in dataset.fields] == names
    assert [field.group for field in dataset.fields] == ["one", "E1", "E1", "E2", "E2"]
    assert [field.name for field in dataset.fields_for("test")] == names[3:]
    assert [each.name for each in dataset.time_lapses] == ["E1", "E2"]
    assert dataset.labels() == ("DAPI", "EZRIN")
    loaded = load_field(dataset.fields[2])
    np.testing.assert_array_equal(
        loaded.transmitted.planes, draw(ord("1") + 1, *SIZE, dtype=np.uint8)[None]
    )
    assert loaded.transmitted.modality == "DIC"
    assert loaded.labels.labels == ("EZRIN",)


def test_a_dataset_without_some_groups_holds_neither_their_frames_nor_their_time_lapses(folder):
    dataset = load_manifest(manifest(folder, STACK + time_lapses(folder, 'group = "g"')))
    rest = dataset.without(["g", "one"])
    assert [field.name for field in rest.fields] == ["E1/t0", "E1/t1"]
    assert [each.name for each in rest.time_lapses] == ["E1"]
    assert (rest.path, rest.root) == (dataset.path, dataset.root)
    assert dataset.without([]) == dataset
    with pytest.raises(InputError, match=r"data\.toml: unknown group 'E2'; did you mean 'E1'"):
        dataset.without(["E2"])


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (
            'group = "E1"\nsplit = "test"',
            "group 'E1' is on two sides: field 'E1/t0' in 'train', field 'E2/t0' in 'test'",
        ),
        ('frame = "dic"', "unknown key 'time_lapse.1.frame'; did you mean 'time_lapse.1.frames'?"),
        ("interval = 0", "time_lapse.1.interval"),
        ('annotation = { embryo = "2" }', "annotation.table"),
    ],
)
def test_time_lapses_that_are_refused(folder, second, complaint):
    assert complaint in refusal(folder, time_lapses(folder, second))


def test_a_time_lapse_named_twice_or_without_files_is_refused(folder):
    text = time_lapses(folder)
    assert "two fields are named 'E1/t0'" in refusal(folder, text.replace('"E2"', '"E1"'))
    (folder / "ezrin" / "E2" / "t1.png").unlink()
    assert "label 'EZRIN' has no image" in refusal(folder, text)


def test_a_manifest_of_time_lapses_is_written_and_read_back(folder):
    path = manifest(folder, time_lapses(folder))
    read = load_manifest(path)
    with pytest.raises(ValueError, match="as no fields of their own"):
        write_manifest(path, read, overwrite=True)
    alone = dataclasses.replace(read, fields=())
    write_manifest(path, alone, overwrite=True)
    again = load_manifest(path)
    assert again.time_lapses == read.time_lapses
    assert again.fields == read.fields
    assert str(folder) not in path.read_text()


def test_exposures_come_with_labels_and_planes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 9)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "both.ome.tif",
        pixels,
        ome=True,
        photometric="minisblack",
        metadata={
            "axes": "CYX",
            "Channel": {"Name": ["DAPI", "NFH"]},
            "Plane": {"ExposureTime": [0.1, 0.25], "ExposureTimeUnit": ["s", "s"]},
        },
    )
    tifffile.imwrite(
        tmp_path / "light.ome.tif",
        pixels[:1],
        ome=True,
        photometric="minisblack",
        metadata={"axes": "ZYX", "Plane": {"ExposureTime": [20], "ExposureTimeUnit": ["ms"]}},
    )
    (tmp_path / "set.toml").write_text(
        '[[field]]\nname = "a"\ntransmitted = "light.ome.tif"\n'
        '[field.labels]\nNFH = "both.ome.tif"\nDAPI = "both.ome.tif"\n'
    )
    loaded = load_field(load_manifest(tmp_path / "set.toml").fields[0])
    assert loaded.transmitted.exposure == pytest.approx(20)
    assert loaded.labels.exposures == pytest.approx((250, 100))


@pytest.fixture
def plates(tmp_path) -> Path:
    """Two experiments with fields of one name, and a manifest that includes both."""
    for number, name in enumerate(("plate1", "plate2")):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "stack.tif", draw(number, 3 + 2 * number, *SIZE))
        save(tmp_path / name / "dapi.tif", draw(5 + number, *SIZE))
        (tmp_path / name / "dataset.toml").write_text(
            '[[field]]\nname = "A1"\ntransmitted = "stack.tif"\nlabels = { DAPI = "dapi.tif" }\n'
            f"weight = {1.5 + number}\n"
        )
    return tmp_path


def including(folder: Path, *includes: str, more: str = "") -> Path:
    path = folder / "both.toml"
    path.write_text(f"include = [{', '.join(includes)}]\n{more}")
    return path


def test_experiments_are_joined_with_names_and_groups_of_their_own(plates):
    second = '{ manifest = "plate2/dataset.toml", name = "new", weight = 4, planes = [1, 2, 3] }'
    manifest = load_manifest(including(plates, '"plate1/dataset.toml"', second))
    one, other = manifest.fields
    assert (one.name, one.group, one.experiment) == ("plate1/A1", "plate1/A1", "plate1")
    assert (other.name, other.group, other.weight) == ("new/A1", "new/A1", 10.0)
    assert other.transmitted == (plates / "plate2" / "stack.tif",)
    loaded = [load_field(field) for field in manifest.fields]
    assert [len(field.transmitted.planes) for field in loaded] == [3, 3]
    assert [field.weight for field in loaded] == [1.5, 10.0]


def test_an_included_set_may_be_held_out_whole(plates):
    held = '{ manifest = "plate2/dataset.toml", split = "validation" }'
    manifest = load_manifest(including(plates, '"plate1/dataset.toml"', held))
    assert [field.split for field in manifest.fields] == ["train", "validation"]


def test_conditions_weigh_what_they_are_said_to(plates):
    with (plates / "plate1" / "dataset.toml").open("a") as file:
        file.write('condition = "drug"\n')
    second = '{ manifest = "plate2/dataset.toml", condition = "control" }'
    more = "condition_weights = { drug = 3.0 }\n"
    manifest = load_manifest(including(plates, '"plate1/dataset.toml"', second, more=more))
    assert [field.condition for field in manifest.fields] == ["drug", "control"]
    assert [field.weight for field in manifest.fields] == [4.5, 2.5]
    write_manifest(plates / "again.toml", manifest)
    again = load_manifest(plates / "again.toml").fields
    assert [(f.condition, f.weight) for f in again] == [("drug", 4.5), ("control", 2.5)]
    wrong = including(plates, '"plate1/dataset.toml"', more="condition_weights = { drugs = 2.0 }")
    with pytest.raises(InputError, match=r"condition_weights: unknown condition 'drugs'.*'drug'"):
        load_manifest(wrong)


@pytest.mark.parametrize(
    ("includes", "message"),
    [
        (('"plate1/dataset.toml"', '"plate1/dataset.toml"'), "two experiments called 'plate1'"),
        (('"nowhere.toml"',), "nowhere.toml"),
        (('"both.toml"',), "includes itself"),
        (('{ manifest = "plate1/dataset.toml", weight = 0 }',), "weight"),
        (('{ manifest = "plate1/dataset.toml", weight = inf }',), "weight"),
        (('{ manifest = "plate1/dataset.toml", name = "a/b" }',), "name"),
    ],
)
def test_what_cannot_be_included(plates, includes, message):
    with pytest.raises(InputError, match=message):
        load_manifest(including(plates, *includes))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_binary_mask_is_its_numbers_however_it_is_shown(folder, photometric):
    mask = np.zeros(SIZE, np.uint8)
    mask[:6] = 255
    tifffile.imwrite(folder / "mask.tif", mask, photometric=photometric, metadata=None)
    text = STACK + 'masks = { DAPI = "mask.tif" }'
    (path := folder / "dataset.toml").write_text(text)
    loaded = load_field(load_manifest(path).fields[0])
    assert loaded.labels.measured is not None
    np.testing.assert_array_equal(loaded.labels.measured[0], mask > 0)


def test_a_label_of_another_pixel_size_is_told(folder, caplog):
    for name, axes, size in (("stack", "ZYX", 0.3), ("dapi", "YX", 0.6)):
        metadata = {"axes": axes, "PhysicalSizeX": size, "PhysicalSizeY": size}
        stored = tifffile.imread(folder / f"{name}.tif")
        save(folder / f"{name}.tif", stored, metadata=metadata, ome=True)
    (path := folder / "dataset.toml").write_text(STACK)
    load_field(load_manifest(path).fields[0])
    assert "dapi.tif: says that a pixel is 0.6 um, and field " in caplog.text
    assert "has transmitted light of 0.3 um; do both show the same places?" in caplog.text
