"""The paper's configuration as it comes, in miniature: from a folder of class folders and a table.

Sizes and numbers of updates are smaller, and more of the few labels count; method, balance and
all else are as the file says.
"""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl.cli import main
from isl.colony.model import load_colony_model
from isl.config import load_toml
from isl_train.colony.config import ColonyExperiment

PAPER = Path(__file__).parents[3] / "configs" / "colony_paper.toml"
KINDS = ("dense", "spread")
SMALLER = (
    "patch=16",
    "network.backbone={kind='hrnet', stem=2, first_blocks=1, width=2, branches=[1], modules=[1], "
    "blocks=1, head=[2], final=[4]}",
    "pretraining.steps=2",
    "training.steps=3",
    "training.batch_size=4",
    "training.log_every=1",
    "training.evaluate_every=3",
    "training.checkpoint_every=3",
    "meta.uda_steps=2",
    "meta.warmup_epochs=1",
    # A tenth of so few labels is one a class, and leaves none to choose the student by.
    "split.labelled=0.5",
    "split.validation=0.3",
)


def write_pictures(folder: Path) -> list[tuple[str, str]]:
    """Twelve pictures of each kind and four of both; their paths and kinds, "" for both."""
    rng = np.random.default_rng(0)
    rows = []
    for kind, count in ((KINDS[0], 12), (KINDS[1], 12), ("multi-label", 4)):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            coarse = rng.integers(60, 200, (6, 6) if kind == "spread" else (24, 24))
            picture = np.kron(coarse, np.ones((24 // len(coarse),) * 2)).astype(np.uint8)
            tifffile.imwrite(folder / kind / f"{i}.tif", picture)
            rows.append((f"{kind}/{i}.tif", kind if kind in KINDS else ""))
    return rows


def as_folder(folder: Path) -> str:
    write_pictures(folder)
    return f"data.path={folder}"


def as_table(folder: Path) -> str:
    rows = write_pictures(folder)
    with (folder / "labels.csv").open("w", newline="") as file:
        # Two annotators agree on the class, and a third saw half of the pictures.
        votes = ((name, kind, kind, kind * (i % 2)) for i, (name, kind) in enumerate(rows))
        csv.writer(file).writerows([("image", "anna", "ben", "cem"), *votes])
    return f"data={{kind='table', path='{folder / 'labels.csv'}', labels=['anna', 'ben', 'cem']}}"


# The paper's two scales are trained once; they take most of the time.
@pytest.mark.parametrize(("write", "scales"), [(as_folder, 2), (as_table, 1)])
def test_it_trains_on_pictures_of_ones_own(write, scales: int, tmp_path: Path, capsys) -> None:
    changes = [write(tmp_path / "pictures"), *SMALLER]
    if scales == 1:
        changes.append("network.scales=1")
    sets = [word for change in changes for word in ("--set", change)]
    run = tmp_path / "run"
    code = main(["train", str(PAPER), "--workdir", str(run), "--device", "cpu", *sets])
    said = capsys.readouterr()
    assert code == 0, said.err
    # Six of twelve of each kind lend their labels, two of these for validation; the others and the
    # pictures of both kinds have none.
    assert "8 labelled images, 4 for validation, 16 without a label" in said.out + said.err
    model = load_colony_model(run / "model")
    paper = load_toml(PAPER, ColonyExperiment)
    assert model.config.classes == KINDS
    assert (model.config.patch, model.config.pixel_size) == (16, paper.pixel_size)
    assert paper.network.scales == 2
    assert model.config.network.scales == scales
    with (run / "main" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["update"] for row in rows][-1] == "3"
    for name in ("loss", "teacher_loss", "benefit", "share_0", "share_1"):
        assert all(np.isfinite(float(row[name])) for row in rows), name
    said_of = model.probabilities(np.zeros((2, 16, 16, 1), np.uint8))
    np.testing.assert_allclose(said_of.sum(axis=1), 1)
