"""Datasets with masks, shares, grades and ranges; what contradicts itself is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from simulated import experiment

from isl.errors import InputError
from isl.fragmentation.dataset import UNKNOWN, load_dataset, load_ground
from isl.fragmentation.view import as_stored, seen, seen_labels, view_of
from isl_train.fragmentation.ground import load_training_ground


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        values = rng.integers(0, 255, (40, 60), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 10:50] = 1
    mask[10:20, 10:20] = 2
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    Image.fromarray(mask[:, :50]).save(tmp_path / "narrow_mask.png")
    Image.fromarray(mask * 120).save(tmp_path / "odd_mask.png")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "dataset.toml"
    path.write_text(text)
    return path


def test_all_kinds_of_labels_in_one_dataset(folder: Path) -> None:
    (folder / "more.csv").write_text(
        "image,group,split,share,low,high,site\nc.png,P9,test,0.2,,,Lyon\nd.png,P8,,,0.1,0.3,\n"
    )
    dataset = load_dataset(
        write(
            folder,
            'table = "more.csv"\n'
            '[[example]]\nimage = "a.png"\nmask = "a_mask.png"\n'
            '[[example]]\nimage = "b.png"\ngrade = "10-25 %"\n',
        )
    )
    ground = load_ground(dataset.examples, 64)
    assert ground.shares[0] == pytest.approx(100 / 800)
    assert ground.shares[2] == pytest.approx(0.2)
    assert np.isnan(ground.shares[[1, 3]]).all()
    np.testing.assert_allclose(ground.low[[1, 3]], [0.1, 0.1])
    np.testing.assert_allclose(ground.high[[1, 3]], [0.25, 0.3])
    assert ground.groups == ("a", "b", "P9", "P8")
    assert [e.image.name for e in dataset.of("test")] == ["c.png"]
    assert (ground.labels[1] == UNKNOWN).all()
    # 40 rows of 60 columns: the lower third of the view lies beyond the frame.
    assert (ground.labels[0][43:] == UNKNOWN).all()
    labels = ground.labels[0][:43]
    assert (labels == 2).sum() / (labels > 0).sum() == pytest.approx(0.125, abs=0.02)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('grade = "5-15 %"', "not of the scale"),
        ("share = 0.5\nrange = [0.1, 0.2]", "not within"),
        ('grade = "0-10 %"\nrange = [0.1, 0.2]', "give one"),
        ("range = [0.3, 0.2]", "is none of shares"),
        ("share = 1.5", "less than or equal to 1"),
        ('mask = "none.png"', "does not exist"),
        ('mask = "narrow_mask.png"', "50 x 40, but a.png is 60 x 40"),
        ('mask = "odd_mask.png"', "a mask is 0"),
    ],
)
def test_contradictions_are_refused(folder: Path, entry: str, message: str) -> None:
    path = write(folder, f'[[example]]\nimage = "a.png"\n{entry}\n')
    with pytest.raises(InputError, match=message):
        load_ground(load_dataset(path).examples, 32)


def test_one_embryo_on_two_sides_is_refused(folder: Path) -> None:
    path = write(
        folder,
        '[[example]]\nimage = "a.png"\ngroup = "P"\n'
        '[[example]]\nimage = "b.png"\ngroup = "P"\nsplit = "test"\n',
    )
    with pytest.raises(InputError, match="'P' stands in test and train"):
        load_dataset(path)


@pytest.mark.parametrize("shape", [(40, 60), (61, 33), (64, 64), (200, 150)])
def test_views_go_there_and_back(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = (np.hypot(y - shape[0] / 2, x - shape[1] / 2) < min(shape) / 3).astype(np.uint8)
    small = seen_labels(labels, 64, 0)
    back = as_stored(small.astype(np.float32), view_of(shape, 64)) > 0.5
    assert back.shape == shape
    assert 2 * (back & (labels > 0)).sum() / (back.sum() + labels.sum()) > 0.95
    assert seen(np.random.default_rng(0).random(shape).astype(np.float32), 64).shape == (64, 64)


def test_a_laboratorys_words_and_close_views(folder: Path) -> None:
    shape = {"label": "Zelle", "points": [[10, 5], [30, 5], [30, 25], [10, 25]]}
    tables = {"imagePath": "a.png", "imageHeight": 40, "imageWidth": 60, "shapes": [shape]}
    (folder / "a.json").write_text(json.dumps(tables))
    example = '[[example]]\nimage = "a.png"\nmask = "a.json"\n'
    with pytest.raises(InputError, match="'Zelle' is not known"):
        load_ground(load_dataset(write(folder, example)).examples, 16)
    named = load_dataset(write(folder, 'labels = { Zelle = "embryo" }\n' + example))
    ground = load_ground(named.examples, 16, closer=1.2)
    assert ground.names == ("a.png", "a.png")
    shares = [(labels[labels != UNKNOWN] > 0).mean() for labels in ground.labels]
    assert shares[0] == pytest.approx(1 / 1.44, abs=0.1)
    assert shares[1] == pytest.approx(400 / 2400, abs=0.05)
    assert len(load_ground(named.examples, 32, closer=1.2)) == 1


def test_outlines_drawn_on_another_picture_are_told(folder: Path, caplog) -> None:
    shape = {"label": "cell", "points": [[10, 5], [30, 5], [30, 25], [10, 25]]}
    tables = {"imagePath": "D:\\old\\b.png", "imageHeight": 40, "imageWidth": 60}
    (folder / "a.json").write_text(json.dumps({**tables, "shapes": [shape]}))
    path = write(folder, '[[example]]\nimage = "a.png"\nmask = "a.json"\n')
    load_ground(load_dataset(path).examples, 16)
    assert "a.json: was drawn on 'b.png', and is used for 'a.png'" in caplog.text


def test_one_picture_on_two_sides_is_refused_by_its_content(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        coarse = Image.fromarray(rng.integers(0, 255, (8, 12)).astype(np.uint8))
        coarse.resize((60, 40), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    with Image.open(folder / "a.png") as same:
        same.resize((90, 60), Image.Resampling.BICUBIC).save(folder / "c.png")
    text = (
        '[[example]]\nimage = "a.png"\nshare = 0.1\n[[example]]\nimage = "b.png"\nshare = 0.2\n'
        '[[example]]\nimage = "c.png"\nshare = 0.1\n'
    )
    ground = load_training_ground(experiment(write(folder, text), size=32), Path())
    assert len(ground.train) == 3
    with pytest.raises(InputError, match=r"'a.png' and 'c.png' are the same picture, in training"):
        load_training_ground(
            experiment(write(folder, text + 'split = "validation"\n'), size=32), Path()
        )
