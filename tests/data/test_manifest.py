"""Datasets of any task: what manifests, tables and folders say, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from isl.data.manifest import load_dataset
from isl.errors import InputError

TARGETS = """
[targets]
stage = { kind = "class", classes = ["two", "four", "eight"] }
heartbeat = { kind = "binary" }
euploid = { kind = "binary" }
share = { kind = "number", low = 0, high = 1 }
grade = { kind = "range", low = 0, high = 1 }
mask = { kind = "image" }
"""
EXAMPLES = """
[[example]]
name = "a"
group = "patient 1"
inputs = { image = "a.tif" }
targets = { stage = "four", share = 0.25, grade = [0.1, 0.25], mask = "a-mask.tif" }

[[example]]
name = "b"
group = "patient 2"
split = "validation"
inputs = { image = "b.tif" }
targets = { heartbeat = 1, grade = 0.5 }
"""
TABLE = """
[[table]]
file = "outcomes.csv"
name = "embryo"
group = "patient"
split = "side"
inputs = { recording = "movie" }
targets = { heartbeat = "fhb", euploid = "ploidy", grade = ["from", "to"] }
"""
ROWS = """embryo,patient,side,movie,fhb,ploidy,from,to
e1,p1,train,a.tif,0,,0.1,0.2
e2,p1,train,a.tif, 1 ,1,,
e3,p2,test,b.tif,,0,0,0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.tif", "b.tif", "a-mask.tif"):
        (tmp_path / name).touch()
    (tmp_path / "outcomes.csv").write_text(ROWS)
    return tmp_path


def load(folder: Path, text: str):
    (folder / "set.toml").write_text(text)
    return load_dataset(folder / "set.toml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as error:
        load(folder, text)
    return str(error.value)


def test_examples_with_images_numbers_and_ranges(folder):
    found = load(folder, TARGETS + EXAMPLES)
    a, b = found.examples
    assert (a.name, a.group, a.split) == ("a", "patient 1", "train")
    assert a.inputs == {"image": folder / "a.tif"}
    mask = folder / "a-mask.tif"
    assert a.targets == {"stage": 1, "share": 0.25, "grade": (0.1, 0.25), "mask": mask}
    assert b.targets == {"heartbeat": 1, "grade": (0.5, 0.5)}
    assert found.examples_for("validation") == (b,)
    assert found.without(["patient 1"]).examples == (b,)
    with pytest.raises(InputError, match="unknown group 'patient 3'"):
        found.without(["patient 3"])


def test_what_is_not_known_is_masked(folder):
    found = load(folder, TARGETS + EXAMPLES)
    for name, values, known in (
        ("stage", np.int32([1, 0]), [True, False]),
        ("heartbeat", np.int32([0, 1]), [False, True]),
        ("euploid", np.int32([0, 0]), [False, False]),
        ("share", np.float32([0.25, 0]), [True, False]),
        ("grade", np.float32([[0.1, 0.25], [0.5, 0.5]]), [True, True]),
    ):
        held, mask = found.array(name, found.examples)
        np.testing.assert_array_equal(held, values)
        assert held.dtype == values.dtype
        np.testing.assert_array_equal(mask, known)
        assert found.array(name, ())[0].shape == (0, *values.shape[1:])
    with pytest.raises(InputError, match="unknown target 'heart'; did you mean 'heartbeat'"):
        found.array("heart", found.examples)


def test_rows_of_a_table_are_examples_of_several_heads(folder):
    found = load(folder, TARGETS + TABLE)
    assert [(each.name, each.group, each.split) for each in found.examples] == [
        ("e1", "p1", "train"),
        ("e2", "p1", "train"),
        ("e3", "p2", "test"),
    ]
    assert found.examples[0].inputs == {"recording": folder / "a.tif"}
    assert [dict(each.targets) for each in found.examples] == [
        {"heartbeat": 0, "grade": (0.1, 0.2)},
        {"heartbeat": 1, "euploid": 1},
        {"euploid": 0, "grade": (0.0, 0.0)},
    ]
    whole = load(folder, TARGETS + TABLE.replace('"side"', '"train"'))
    assert {each.split for each in whole.examples} == {"train"}


CLASS_FOLDERS = """
[[class_folders]]
folder = "photos"
target = "stage"
"""


def photos(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / "photos" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_of_classes_in_the_order_that_is_stated(folder):
    photos(folder, "eight/P1_t10.png", "eight/P1_t2.png", "four/P2.tif", "two/P3.png")
    # What systems and notebooks leave is no class and no image.
    photos(folder, ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "Thumbs.db", "four/.DS_Store")
    photos(folder, "four/notes.txt", "four/._P2.tif")
    found = load(folder, TARGETS + CLASS_FOLDERS)
    names = [each.name for each in found.examples]
    assert names == ["two/P3.png", "four/P2.tif", "eight/P1_t2.png", "eight/P1_t10.png"]
    assert [each.targets["stage"] for each in found.examples] == [0, 1, 2, 2]
    assert [each.group for each in found.examples] == names
    found = load(folder, TARGETS + CLASS_FOLDERS + 'group = "(P[0-9]+)"')
    assert [each.group for each in found.examples] == ["P3", "P2", "P1", "P1"]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("egiht/a.png", "photos: unknown class 'egiht'; did you mean 'eight'?"),
        (None, "photos/eight: holds no image; add some, or leave class 'eight' out"),
    ],
)
def test_folders_that_are_no_class_and_classes_without_images(folder, extra, line):
    photos(folder, "two/a.png", "four/a.png", *([extra] if extra else []))
    assert line in refusal(folder, TARGETS + CLASS_FOLDERS)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'group = "patient 2"',
            'group = "patient 1"',
            "group 'patient 1' is on two sides:",
        ),
        ('name = "b"', 'name = "a"', "two examples are named 'a'; names must differ"),
        ('"b.tif"', '"c.tif"', "example 'b': its image is missing: there is no "),
        ('"four", share', '"fuor", share', "target 'stage': 'fuor' is none of the classes two, "),
        ("heartbeat = 1", "heartbeat = 2", "target 'heartbeat': 2 is neither 0 nor 1"),
        ("heartbeat = 1", "hartbeat = 1", "unknown target 'hartbeat'; did you mean 'heartbeat'?"),
        ("share = 0.25", "share = 25", "target 'share': 25 is more than 1"),
        ("share = 0.25", "share = nan", "target 'share': nan is no finite number"),
        ("share = 0.25", 'share = "much"', "target 'share': 'much' is no number"),
        ("[0.1, 0.25]", "[0.25, 0.1]", "target 'grade': 0.25 to 0.1 is no range"),
        ("[0.1, 0.25]", "[0.1]", "target 'grade': [0.1] is no range"),
        ('"a-mask.tif"', '"mask.tif"', "target 'mask': there is no file "),
        ('["two", "four", "eight"]', '["two", "four", "two"]', "two classes have the same name"),
    ],
)
def test_what_is_wrong_is_named(folder, old, new, line):
    text = TARGETS + EXAMPLES
    assert old in text
    assert line in refusal(folder, text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("e3,p2", "e3,p1", "group 'p1' is on two sides: example 'e1' in 'train', example 'e3' in"),
        ("e3,p2", "e3,", "example 'e3': its 'patient', the group, is empty"),
        ("e3,p2", ",p2", "a row has no 'embryo', the examples' name"),
        ("test", "tset", "example 'e3': unknown split 'tset'; did you mean 'test'?"),
        ("fhb", "heart", "outcomes.csv: unknown column 'fhb'"),
        ("p1,train,a.tif, 1 ", "p1,train,a.tif, yes ", "target 'heartbeat': 'yes' is neither 0"),
        ("0.1,0.2", "0.1,", "target 'grade': '' is no number"),
        (",b.tif,", ",,", "example 'e3': its recording is missing"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(folder, old, new, line):
    assert old in ROWS
    (folder / "outcomes.csv").write_text(ROWS.replace(old, new, 1))
    assert line in refusal(folder, TARGETS + TABLE)


def test_a_dataset_without_examples_is_refused(folder):
    assert "has no example; give [[example]], [[table]] or" in refusal(folder, TARGETS)
    wrong = CLASS_FOLDERS.replace('"stage"', '"share"')
    said = refusal(folder, TARGETS + wrong)
    assert "unknown target of classes 'share'; did you mean 'stage'?" in said
