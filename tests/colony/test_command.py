"""`isl colony`: tables, label images, report; masks, time-lapses, resuming; bad input."""

import contextlib
import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from scipy import ndimage
from small_models import CLASSES, saved_model

from isl import cli
from isl.colony.record import composition_rows, shares_of_classes
from isl.errors import InputError
from isl.files.locks import alone_in
from isl.model_kinds import load_model
from isl.phantom.colonies.dataset import write_colonies
from isl.phantom.colonies.well import ColonyWellConfig

WELL = ColonyWellConfig(
    size=300, colonies=4, diameter=90, smallest=(62, 64), largest=(120, 130), zoom=0.7, gap=14
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ground")
    write_colonies(folder / "wells", 2, WELL, 0)
    write_colonies(folder / "film", 1, WELL, 3, frames=3)
    saved_model(folder / "small")
    saved_model(folder / "cells", subject="cell", pixel_size=None)
    return folder


@dataclasses.dataclass
class Done:
    exit_code: int
    output: str


def isl(*words: object) -> Done:
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
        code = cli.main([str(word) for word in words])
    return Done(code, printed.getvalue())


def colony(ground: Path, *words: object, model: str = "small") -> Done:
    return isl("colony", *words, "--model", ground / model, "--device", "cpu")


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_wells_become_tables_pictures_and_a_report(ground: Path, tmp_path: Path) -> None:
    wells = [ground / "wells" / f"well-00{i}.tif" for i in (0, 1)]
    done = colony(ground, *wells, "--out", tmp_path, "--patches", 2)
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "colonies.csv")
    assert list(rows[0])[:5] == ["image", "time", "minutes", "colony", "class"]
    truth = rows_of(ground / "wells" / "colonies.csv")
    for name in ("well-000", "well-001"):
        own = [row for row in rows if row["image"] == name]
        labels = tifffile.imread(tmp_path / f"{name}.ome.tif")
        assert sorted({int(row["colony"]) for row in own}) == np.unique(labels)[1:].tolist()
        assert len(own) == len([row for row in truth if row["image"] == name])
        for row in own:
            where = labels == int(row["colony"])
            assert int(row["area_pixels"]) == where.sum()
            assert float(row["area_um2"]) == pytest.approx(where.sum() * 0.64, abs=0.06)
            box = np.argwhere(where)
            assert [int(row["top"]), int(row["left"])] == box.min(0).tolist()
            assert [int(row["bottom"]), int(row["right"])] == (box.max(0) + 1).tolist()
            touches = box.min() == 0 or box.max() == 299
            assert row["border"] == str(int(touches))
            shares = [float(row[f"p_{kind}"]) for kind in CLASSES]
            assert sum(shares) == pytest.approx(1, abs=2e-4)
            assert row["class"] == CLASSES[int(np.argmax(shares))]
            assert row["patches"] == "2"
    composition = rows_of(tmp_path / "composition.csv")
    for name in ("well-000", "well-001"):
        own = [row for row in composition if row["image"] == name]
        for column in ("share", "expected_share"):
            assert sum(float(row[column]) for row in own) == pytest.approx(1, abs=1e-3)
    report = (tmp_path / "report.html").read_text()
    assert "For research only." in report
    assert report.count("data:image/png") == 4
    assert f"knows these classes and no other: {', '.join(CLASSES)}. A colony of any" in report
    assert "The expected share is" in report
    assert "The corrected share" not in report  # this model has no confusion
    cells = re.sub(r"<td[^>]*>", "<td>", report)
    for row in composition:
        if row["share_of_all"] and row["class"] != "cannot tell":
            both = f"<td>{row['expected_share']}</td><td>{row['corrected_share']}</td>"
            assert both in cells
    assert (tmp_path / "well-000.overlay.png").read_bytes().startswith(b"\x89PNG")


def test_one_run_at_a_time_writes_to_a_folder(ground: Path, tmp_path: Path) -> None:
    with alone_in(tmp_path / "out", "isl colony"):
        refused = colony(ground, ground / "film" / "well-000.tif", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "another isl colony is writing there" in refused.output
    assert not (tmp_path / "out").exists()


def test_film_keeps_numbers_and_resumes(ground: Path, tmp_path: Path) -> None:
    film = ground / "film" / "well-000.tif"
    words = (film, "--out", tmp_path, "--interval-minutes", 60)
    assert colony(ground, *words).exit_code == 0
    rows = rows_of(tmp_path / "colonies.csv")
    assert {row["minutes"] for row in rows} == {"0", "60", "120"}
    with tifffile.TiffFile(tmp_path / "well-000.ome.tif") as tiff:
        assert tiff.series[0].axes == "TYX"
    truth = tifffile.imread(ground / "film" / "labels" / "well-000.tif")
    labels = tifffile.imread(tmp_path / "well-000.ome.tif")
    pairs = {(int(n), int(t)) for n, t in zip(labels.flat, truth.flat, strict=True) if n and t}
    assert len(pairs) == len({n for n, _ in pairs}) == len({t for _, t in pairs})
    before = (tmp_path / "well-000.json").read_text()
    again = colony(ground, *words)
    assert again.exit_code == 2
    assert "--resume" in again.output
    assert colony(ground, *words, "--resume").exit_code == 0
    assert (tmp_path / "well-000.json").read_text() == before
    other = colony(ground, *words, "--resume", "--gap", 5)
    assert other.exit_code == 2
    assert "not made from" in other.output


def test_a_folder_of_frames_is_the_film(ground: Path, tmp_path: Path) -> None:
    film = tifffile.imread(ground / "film" / "well-000.tif")
    for t, frame in enumerate(film):
        # In natural order: the tenth frame comes behind the ninth.
        tifffile.imwrite(make(tmp_path / "well-000") / f"t{8 + t}.tif", frame)
    done = colony(ground, tmp_path / "well-000", "--time-lapse", "--out", tmp_path / "a")
    assert done.exit_code == 0, done.output
    whole = colony(
        ground, ground / "film" / "well-000.tif", "--pixel-size", 0.8, "--out", tmp_path / "b"
    )
    assert whole.exit_code == 0, whole.output
    rows, expected = (rows_of(tmp_path / out / "colonies.csv") for out in "ab")
    assert {row["time"] for row in rows} == {"0", "1", "2"}
    for name in ("time", "colony", "class", "probability", "left", "top"):
        assert [row[name] for row in rows] == [row[name] for row in expected], name
    tifffile.imwrite(tmp_path / "well-000" / "t11.tif", film[0, :200])
    gone = colony(ground, tmp_path / "nowhere", "--time-lapse", "--out", tmp_path / "c")
    assert gone.exit_code == 2
    assert "there is no such file or folder" in gone.output
    wrong = colony(ground, tmp_path / "well-000", "--time-lapse", "--out", tmp_path / "c")
    assert wrong.exit_code == 2
    assert "t11.tif: its shape (C, Z, Y, X) is (1, 1, 200, 300), and t8.tif has" in wrong.output
    assert not (tmp_path / "c").exists()


def test_a_persons_own_label_image(ground: Path, tmp_path: Path) -> None:
    well = ground / "wells" / "well-000.tif"
    mask = ground / "wells" / "labels" / "well-000.tif"
    done = colony(ground, well, "--out", tmp_path, "--mask", mask)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "well-000.ome.tif"), tifffile.imread(mask)
    )
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, np.ones((10, 300), np.uint8))
    refused = colony(ground, well, "--out", tmp_path / "b", "--mask", small)
    assert refused.exit_code == 2
    assert "300 x 10 pixels and the picture 300 x 300" in refused.output
    assert not (tmp_path / "b").exists()


def test_an_empty_well_is_a_result(ground: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).normal(120, 0.4, (200, 200)).round().astype(np.uint8)
    tifffile.imwrite(tmp_path / "empty.tif", picture)
    done = colony(ground, tmp_path / "empty.tif", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert rows_of(tmp_path / "out" / "colonies.csv") == []
    made = json.loads((tmp_path / "out" / "empty.json").read_text())
    assert "the picture holds no colony" in made["warnings"]
    assert any("how large a pixel is" in warning for warning in made["warnings"])
    for warning in made["warnings"]:
        assert done.output.count(f"empty.tif: {warning}") == 1
    assert {row["share"] for row in composition_rows(made)} == {""}


def test_one_bad_well_among_good_ones(ground: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0 no picture")
    done = colony(
        ground, tmp_path / "broken.tif", ground / "wells" / "well-000.tif", "--out", tmp_path / "o"
    )
    assert done.exit_code == 3
    assert {row["image"] for row in rows_of(tmp_path / "o" / "colonies.csv")} == {"well-000"}
    assert "broken" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pixel-size", "20"), "a pixel is 20 um and model 'small' was trained at 0.8 um"),
        (("--order", "other"), "unknown order 'other'"),
        (("--interval-minutes", "-1"), "expected minutes above 0"),
        (("--model", "neurons-phase"), "is a model of kind 'labeling', not 'colony'"),
        (("--mask", "nowhere.tif"), "nowhere.tif"),
        (("--cells",), "classifies colonies in wells; leave --cells out"),
    ],
)
def test_one_line_for_what_is_wrong(
    ground: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    well = ground / "wells" / "well-000.tif"
    model = () if "--model" in words else ("--model", ground / "small")
    done = isl("colony", well, "--out", tmp_path / "out", "--device", "cpu", *words, *model)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_every_well_of_a_plate_is_assessed(ground: Path, tmp_path: Path) -> None:
    places = {"A/1": "well-000", "B/12": "well-001"}
    root = zarr.open_group(tmp_path / "screen.ome.zarr", mode="w")
    wells = [{"path": place} for place in places]
    root.attrs["ome"] = {"version": "0.5", "plate": {"wells": wells}}
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.8, 0.8]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    for place, name in places.items():
        well = root.create_group(place)
        well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        image = well.create_group("0")
        image.create_array("0", data=tifffile.imread(ground / "wells" / f"{name}.tif"))
        image.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"axes": axes, "datasets": datasets}],
        }
    done = colony(ground, tmp_path / "screen.ome.zarr", "--out", tmp_path / "plate")
    assert done.exit_code == 0, done.output
    files = [ground / "wells" / f"{name}.tif" for name in places.values()]
    alone = colony(ground, *files, "--pixel-size", 0.8, "--out", tmp_path / "files")
    assert alone.exit_code == 0, alone.output
    rows, expected = (rows_of(tmp_path / of / "colonies.csv") for of in ("plate", "files"))
    names = dict(zip(places.values(), ("screen_A1_0", "screen_B12_0"), strict=True))
    assert {row["image"] for row in rows} == set(names.values())
    assert rows == [{**row, "image": names[row["image"]]} for row in expected]
    for name, own in names.items():
        made = json.loads((tmp_path / "plate" / f"{own}.json").read_text())
        assert made["pixel_size"] == pytest.approx(0.8)
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / "plate" / f"{own}.ome.tif"),
            tifffile.imread(tmp_path / "files" / f"{name}.ome.tif"),
        )


def test_cells(ground: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        tifffile.imwrite(folder / f"cell{i}.tif", rng.integers(900, 1400, (40, 40)).astype("u2"))
    done = colony(ground, folder, "--cells", "--out", tmp_path / "out", model="cells")
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert [row["image"] for row in rows] == [f"cell{i}" for i in range(5)]
    counts = {kind: sum(row["class"] == kind for row in rows) for kind in CLASSES}
    said = re.search(r"5 cells \((.*)\)", done.output)
    assert said is not None
    assert sorted(said[1].split(", ")) == sorted(f"{n} {kind}" for kind, n in counts.items() if n)
    assert {row["class"] for row in rows} <= set(CLASSES)
    report = (tmp_path / "out" / "report.html").read_text()
    assert f"knows these classes and no other: {', '.join(CLASSES)}. A cell of any" in report
    assert "The expected share is" in report
    composition = rows_of(tmp_path / "out" / "composition.csv")
    assert sum(int(row["colonies"]) for row in composition) == 5
    assert sum(float(row["expected_share"]) for row in composition) == pytest.approx(1, abs=1e-3)
    refused = colony(ground, folder, "--out", tmp_path / "other", model="cells")
    assert refused.exit_code == 2
    assert "give --cells" in refused.output


def test_cannot_tell(ground: Path, tmp_path: Path) -> None:
    saved_model(ground / "unsure", undecided=0.99)
    well = ground / "wells" / "well-000.tif"
    assert colony(ground, well, "--out", tmp_path, model="unsure").exit_code == 0
    rows = rows_of(tmp_path / "colonies.csv")
    assert {row["class"] for row in rows} == {"cannot tell"}
    composition = rows_of(tmp_path / "composition.csv")
    assert composition[-1]["class"] == "cannot tell"
    assert int(composition[-1]["colonies"]) == len(rows)


def test_shares_add_up_where_some_cannot_be_told() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    kinds = ["a", "a", "b", "cannot tell"]
    confusion = [[1.0, 0.0], [0.0, 1.0]]
    found = shares_of_classes(kinds, probabilities, ["a", "b"], confusion, areas=[10, 20, 30, 99])
    assert [row["class"] for row in found] == ["a", "b", "cannot tell"]
    expected = {
        "share": ["0.6667", "0.3333", ""],
        "area_share": ["0.5000", "0.5000", ""],
        "corrected_share": ["0.6667", "0.3333", ""],
        "expected_share": ["0.5667", "0.4333", ""],
        "share_of_all": ["0.5000", "0.2500", "0.2500"],
    }
    assert {column: [row[column] for row in found] for column in expected} == expected
    without = shares_of_classes(kinds[3:], probabilities[3:], ["a", "b"], [])
    assert [row["share_of_all"] for row in without] == ["0.0000", "0.0000", "1.0000"]
    assert {row[column] for row in without for column in expected} == {"", "0.0000", "1.0000"}
    assert {row["share"] for row in shares_of_classes([], np.array([]), ["a", "b"], [])} == {""}


def stack_of(plane: np.ndarray, depth: int, sharp: int) -> np.ndarray:
    """A z-stack uint16 [Z, Y, X] of a plane, out of focus but for one."""
    return np.stack(
        [plane if z == sharp else ndimage.gaussian_filter(plane, 3) for z in range(depth)]
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_of_a_stack_the_plane_that_is_looked_at_is_told_and_shown(
    ground: Path, tmp_path: Path, workers: int
) -> None:
    for number, sharp in enumerate((4, 1)):
        plane = tifffile.imread(ground / "wells" / f"well-00{number}.tif")
        stack = stack_of(plane, 5, sharp)
        axes = {"axes": "ZYX"}
        tifffile.imwrite(tmp_path / f"a{number}.ome.tif", stack, metadata=axes)
        tifffile.imwrite(make(tmp_path / "plain") / f"a{number}.tif", plane)
    out, plain = tmp_path / "out", tmp_path / "plain"
    stacks = [tmp_path / f"a{number}.ome.tif" for number in (0, 1)]
    words = ("--pixel-size", 0.8, "--workers", workers)
    done = colony(ground, *stacks, "--out", out, *words)
    assert done.exit_code == 0, done.output
    assert colony(ground, plain, "--out", plain / "out", *words).exit_code == 0
    page = (out / "report.html").read_text()
    for number, sharp in enumerate((4, 1)):
        made = json.loads((out / f"a{number}.json").read_text())
        assert (made["planes"], made["planes_used"]) == (5, [[sharp]])
        said = f"has 5 planes; the sharpest, plane {sharp} (from 0), is looked at"
        assert said in made["warnings"]
        assert said in page
        assert done.output.count(f"warning: {stacks[number]}: {said}\n") == 1
        # All but the title, which names the plane, is the picture of that plane alone.
        shown, alone = (
            np.asarray(Image.open(folder / f"a{number}.overlay.png"))[120:]
            for folder in (out, plain / "out")
        )
        np.testing.assert_array_equal(shown, alone)


def test_of_cells_with_several_planes_the_middle_one_is_told(ground: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = make(tmp_path / "cells")
    tifffile.imwrite(folder / "flat.tif", rng.integers(0, 255, (40, 40)).astype("u1"))
    for name in ("deep", "deeper"):
        stack = rng.integers(0, 255, (3, 40, 40)).astype("u1")
        tifffile.imwrite(folder / f"{name}.ome.tif", stack, metadata={"axes": "ZYX"})
    done = colony(ground, folder, "--cells", "--out", tmp_path / "out", model="cells")
    assert done.exit_code == 0, done.output
    said = "2 of 3 cells have several planes; the middle one is looked at, such as plane 1 of 3"
    assert done.output.count(said) == 1
    assert said in (tmp_path / "out" / "report.html").read_text()


def test_arrays_are_assessed_as_files_are(ground: Path, tmp_path: Path) -> None:
    film = ground / "film" / "well-000.tif"
    assert colony(ground, film, "--out", tmp_path, "--interval-minutes", 60).exit_code == 0
    frames = tifffile.imread(film)
    model = load_model(ground / "small")
    size = json.loads((tmp_path / "well-000.json").read_text())["pixel_size"]
    found = model.predict(frames, pixel_size=size, interval=60)
    np.testing.assert_array_equal(found.labels, tifffile.imread(tmp_path / "well-000.ome.tif"))
    assert found.minutes == (0, 60, 120)
    turned = model.predict(np.moveaxis(frames, 0, -1), axes="YXT", pixel_size=size)
    np.testing.assert_array_equal(turned.labels, found.labels)
    assert turned.minutes == (None, None, None)
    given = model.predict(frames[0], axes="YX", pixel_size=size, mask=found.labels[0])
    np.testing.assert_array_equal(given.labels, found.labels[:1])
    with pytest.raises(InputError, match="has pixels of type int64; give uint8, uint16 or floats"):
        model.predict(frames.astype(np.int64))
    with pytest.raises(InputError, match="classes cell pictures"):
        load_model(ground / "cells").predict(frames)
