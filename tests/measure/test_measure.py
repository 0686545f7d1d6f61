"""`isl measure`: what is measured, of predictions and label images, by wells, over time."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from simulated_cells import DISCS, PIXEL, SIZE, isl, nuclei, predicted, rows_of, write_plate

from isl.imaging.nuclei import segment_nuclei
from isl.labeling.dataset import Field, Manifest, write_manifest
from isl.measure.objects import Frame, measure_objects
from isl.measure.wells import condition_rows, read_wells


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("plate") / "predicted")


def nearest(rows: list[dict[str, str]], place: tuple[int, int]) -> dict[str, str]:
    return min(
        rows, key=lambda row: np.hypot(float(row["y"]) - place[0], float(row["x"]) - place[1])
    )


def test_a_prediction_becomes_a_table_of_cells(plate: Path, tmp_path: Path) -> None:
    code, output = isl("measure", plate, "--out", tmp_path, "--ring", 2)
    assert code == 0, output
    rows = [row for row in rows_of(tmp_path / "cells.csv") if row["image"] == "A1"]
    assert len(rows) == len(DISCS)
    labels = tifffile.imread(tmp_path / "A1.ome.tif")
    for (y, x), radius in DISCS:
        row = nearest(rows, (y, x))
        where = labels == int(row["cell"])
        assert where[y, x]
        assert float(row["area_pixels"]) == where.sum()
        assert float(row["area_um2"]) == pytest.approx(where.sum() * PIXEL**2, rel=1e-4)
        assert float(row["DAPI"]) == pytest.approx(nuclei()[where].mean(), rel=1e-4)
        assert float(row["DAPI_ring"]) < float(row["DAPI"])
        assert row["border"] == str(int(y < 10))
        if y > 10:
            assert float(row["diameter"]) == pytest.approx(2 * radius, rel=0.15)
        assert row["dead"] == str(int((y, x) == (60, 110)))
    assert [nearest(rows, (85, x))["touching"] for x in (40, 57, 110)] == ["1", "1", "0"]
    assert float(nearest(rows, (85, 40))["nearest_um"]) == pytest.approx(17 * PIXEL, rel=0.05)
    doubtful, sure = nearest(rows, (30, 30)), nearest(rows, (60, 110))
    assert float(doubtful["certainty"]) < 0.7 < 0.9 < float(sure["certainty"])
    for row in (doubtful, sure):
        low, high = float(row["area_low_pixels"]), float(row["area_high_pixels"])
        assert low <= float(row["area_pixels"]) <= high
    assert float(doubtful["area_low_pixels"]) == 0
    report = (tmp_path / "report.html").read_text()
    assert "For research only" in report
    assert report.count("data:image/png") == 3


def test_wells_and_conditions(plate: Path, tmp_path: Path) -> None:
    table = tmp_path / "plate.csv"
    table.write_text("image,well,condition\nA1,w1,control\nA2,w2,drug\n")
    code, output = isl("measure", plate, "--out", tmp_path / "out", "--wells", table)
    assert code == 0, output
    wells = rows_of(tmp_path / "out" / "wells.csv")
    assert [(row["well"], row["condition"]) for row in wells] == [("w1", "control"), ("w2", "drug")]
    area = SIZE[0] * SIZE[1] * PIXEL**2 / 1e6
    assert float(wells[0]["cells_per_mm2"]) == pytest.approx(5 / area, rel=1e-4)
    assert float(wells[0]["dead_share"]) == pytest.approx(1 / 5)
    cells = [row for row in rows_of(tmp_path / "out" / "cells.csv") if row["well"] == "w1"]
    whole = [float(row["area_um2"]) for row in cells if row["border"] == "0"]
    assert float(wells[0]["area_um2_mean"]) == pytest.approx(np.mean(whole), rel=1e-4)
    # The same name on two plates, say: cells of two conditions are never one population.
    table.write_text("image,well,condition\nA1,w1,control\nA2,w1,drug\n")
    code, output = isl("measure", plate, "--out", tmp_path / "both", "--wells", table)
    assert code == 0, output
    for name in ("wells.csv", "conditions.csv"):
        rows = rows_of(tmp_path / "both" / name)
        assert [(row["condition"], row["cells"]) for row in rows] == [
            ("control", "5"),
            ("drug", "5"),
        ]
    report = (tmp_path / "both" / "report.html").read_text()
    assert report.count(">drug<") == 2
    table.write_text("image,well\nA1,w1\n")
    code, output = isl("measure", plate, "--out", tmp_path / "b", "--wells", table)
    assert (code, "has no image 'A2'" in output) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns (none); give 'image' and 'well', with 'condition' if wanted"),
        ("image;well\nA1;w\n", "has the columns image;well; give 'image' and 'well'"),
        ("image,condition,condition\nA1,a,b\nA2,a,b\n", "has two columns 'condition'; keep one"),
    ],
)
def test_odd_tables_of_wells_are_refused(
    plate: Path, tmp_path: Path, text: str, message: str
) -> None:
    table = tmp_path / "wells.csv"
    table.write_text(text)
    code, output = isl("measure", plate, "--out", tmp_path / "out", "--wells", table)
    assert (code, len(output.splitlines())) == (2, 1)
    assert message in output
    assert not (tmp_path / "out").exists()


def test_a_manifest_says_wells_and_conditions(plate: Path, tmp_path: Path) -> None:
    fields = [
        Field.model_validate(
            {"name": name, "transmitted": str(image), "group": "w1", "condition": condition}
        )
        for name, condition in (("A1", "control"), ("A2", "drug"))
        for image in [plate / f"{name}.ome.tif"]
    ]
    write_manifest(tmp_path / "dataset.toml", Manifest(fields=tuple(fields)))
    wells = read_wells(tmp_path / "dataset.toml", ["A1", "A2"])
    assert [wells[name].condition for name in ("A1", "A2")] == ["control", "drug"]
    assert wells["A1"].well == "w1"


def test_a_condition_is_as_sure_as_its_wells_are_many() -> None:
    def well(number, condition, mean):
        shared = {"time": 0, "minutes": None, "cells": 50, "cells_per_mm2": None}
        return {"well": f"w{number}", "condition": condition, "area_um2_mean": mean, **shared}

    wells = [well(n, "drug", mean) for n, mean in enumerate((10.0, 12.0, 14.0))]
    drug, alone = condition_rows([*wells, well(3, "control", 9.0)], ["area_um2"])
    assert (drug["wells"], drug["cells"], drug["area_um2_mean"]) == (3, 150, 12.0)
    # Student's t of 2 degrees of freedom: 4.303 deviations over the root of three.
    half = 4.302653 * 2.0 / np.sqrt(3)
    assert drug["area_um2_low"] == pytest.approx(12 - half)
    assert drug["area_um2_high"] == pytest.approx(12 + half)
    assert alone["area_um2_low"] is None


@pytest.mark.parametrize("kind", ["int32 TIFF", "PNG", "npy"])
def test_label_images_of_other_tools(plate: Path, tmp_path: Path, kind: str) -> None:
    labels = np.zeros(SIZE, np.int32)
    labels[10:20, 30:45], labels[50:60, 80:90] = 7, 3
    name = {"int32 TIFF": "A1.tif", "PNG": "A1_cp_masks.png", "npy": "A1.npy"}[kind]
    folder = tmp_path / "masks"
    folder.mkdir()
    if kind == "PNG":
        from PIL import Image

        Image.fromarray(labels.astype(np.uint16)).save(folder / name)
    elif kind == "npy":
        np.save(folder / name, labels)
    else:
        tifffile.imwrite(folder / name, labels)
    words = ("measure", plate / "A1.ome.tif", "--objects", folder, "--out", tmp_path / "out")
    code, output = isl(*words)
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert [(row["cell"], float(row["area_pixels"])) for row in rows] == [("3", 100), ("7", 150)]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "A1.ome.tif"), labels)


def test_centres_of_other_programs(plate: Path, tmp_path: Path) -> None:
    table = tmp_path / "Nuclei.csv"
    table.write_text(
        "ImageNumber,ObjectNumber,Location_Center_X,Location_Center_Y\n"
        "1,1,30,30\n1,2,41,86\n1,3,100,15\n"
    )
    words = ("measure", plate / "A1.ome.tif", "--objects", table, "--out", tmp_path / "out")
    code, output = isl(*words)
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert [row["cell"] for row in rows] == ["1", "2"]
    # Nobody marked its neighbour, so the clump is one.
    assert float(rows[1]["area_pixels"]) > 1.7 * float(rows[0]["area_pixels"])
    made = json.loads((tmp_path / "out" / "A1.json").read_text())
    assert any("1 of 3 points" in warning for warning in made["warnings"])
    for warning in made["warnings"]:
        assert output.count(f"A1.ome.tif: {warning}\n") == 1


def test_points_of_another_scale_are_refused(plate: Path, tmp_path: Path) -> None:
    """Fiji writes micrometres where the image has a scale."""
    (tmp_path / "Results.CSV").write_text(" ,X,Y\n1,0.5,0.5\n2,2,1\n")
    words = ("measure", plate / "A1.ome.tif", "--objects", tmp_path / "Results.CSV")
    code, output = isl(*words, "--out", tmp_path / "out")
    assert (code, "none of its 2 points lies where" in output) == (2, True), output
    assert not list(tmp_path.glob("out/*"))


def test_measured_fluorescence_without_a_prediction(tmp_path: Path) -> None:
    counts = np.rint(nuclei() * 4095).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stain.tif", counts)
    code, output = isl("measure", tmp_path / "stain.tif", "--out", tmp_path / "out")
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert len(rows) == len(DISCS)
    assert not {"certainty", "area_um2", "dead"} & set(rows[0])


def test_it_resumes_and_never_replaces_unasked(plate: Path, tmp_path: Path) -> None:
    words = ("measure", plate, "--out", tmp_path)
    assert isl(*words)[0] == 0
    before = (tmp_path / "A1.json").read_text()
    assert isl(*words)[0] == 2
    assert isl(*words, "--resume")[0] == 0
    assert (tmp_path / "A1.json").read_text() == before
    code, output = isl(*words, "--resume", "--diameter", 9)
    assert (code, "not made from" in output) == (2, True)


def test_nothing_there_is_a_result(tmp_path: Path) -> None:
    predicted(tmp_path / "in", "empty", {"mean": np.full((1, *SIZE), 0.2)}, labels=("DAPI",))
    code, output = isl("measure", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 0, output
    assert rows_of(tmp_path / "out" / "cells.csv") == []
    (well,) = rows_of(tmp_path / "out" / "wells.csv")
    assert well["cells"] == "0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nuclei", "HOECHST"), "unknown label 'HOECHST'"),
        (("--objects", "nowhere.tif"), "nowhere.tif: there is no such file"),
        (("--wells", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("--diameter", "0"), "expected micrometres above 0"),
    ],
)
def test_one_line_for_what_is_wrong(plate: Path, tmp_path: Path, words, message) -> None:
    code, output = isl("measure", plate / "A1.ome.tif", "--out", tmp_path / "out", *words)
    assert code == 2
    assert message in output
    assert not list(tmp_path.glob("out/*"))


def test_label_images_that_do_not_fit(plate: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "small.tif", np.ones((10, 10), np.uint8))
    tifffile.imwrite(tmp_path / "halves.tif", np.full(SIZE, 0.5, np.float32))
    np.save(tmp_path / "seg.npy", np.array({"masks": 1}, object), allow_pickle=True)
    for name, message in (
        ("small.tif", "10 x 10 pixels and the picture 140 x 110"),
        ("halves.tif", "holds whole numbers; this one does not"),
        ("seg.npy", "cannot be read as a label image"),
    ):
        words = ("measure", plate / "A1.ome.tif", "--out", tmp_path / "o")
        code, output = isl(*words, "--objects", tmp_path / name)
        assert (code, message in output) == (2, True), output


def test_intensities_are_means_over_each_object() -> None:
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:4], labels[4, 5] = 1, 2
    image = np.arange(48, dtype=np.float32).reshape(6, 8) / 48
    columns = measure_objects(labels, Frame(intensities={"DAPI": image}), nuclei="DAPI")
    for index, number in enumerate((1, 2)):
        own = image[labels == number]
        assert columns["DAPI"][index] == pytest.approx(own.mean())
        assert columns["DAPI_spread"][index] == pytest.approx(own.std(), abs=1e-6)


def test_without_the_linker_a_movie_is_refused_in_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "laptrack", None)
    film = np.stack([nuclei(), nuclei()])[:, None]
    predicted(tmp_path / "in", "film", {"mean": film}, labels=("DAPI",))
    code, output = isl("measure", tmp_path / "in", "--out", tmp_path / "out")
    assert (code, "pip install 'isl[tracking]'" in output) == (2, True)
    code, output = isl("measure", tmp_path / "in", "--out", tmp_path / "out", "--no-follow")
    assert code == 0, output
    assert len(rows_of(tmp_path / "out" / "cells.csv")) == 2 * len(DISCS)
    assert not (tmp_path / "out" / "tracks.csv").exists()


def test_label_images_of_a_movie_and_its_frames_own_times(tmp_path: Path, caplog) -> None:
    """Frames are 0, 10 and 40 min in: no interval can say that."""
    frames = np.stack([nuclei(shift=4 * t) for t in range(3)])
    ids = np.stack([segment_nuclei(frame) for frame in frames]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "ids.tif", ids, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "film.ome.tif",
        np.rint(65535 * frames).astype(np.uint16),
        ome=True,
        photometric="minisblack",
        metadata={
            "axes": "TYX",
            "Channel": {"Name": ["DAPI"]},
            "Plane": {"DeltaT": [0, 10, 40], "DeltaTUnit": ["min"] * 3},
        },
    )
    words = ("measure", tmp_path / "film.ome.tif", "--objects", tmp_path / "ids.tif", "--no-follow")
    code, output = isl(*words, "--out", tmp_path / "out")
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert {row["minutes"] for row in rows} == {"0", "10", "40"}
    for t in range(3):
        assert sum(row["time"] == str(t) for row in rows) == len(np.unique(ids[t])) - 1
    code, output = isl(*words, "--out", tmp_path / "said", "--interval-minutes", 5)
    assert code == 0, output
    assert {row["minutes"] for row in rows_of(tmp_path / "said" / "cells.csv")} == {"0", "5", "10"}
    assert "5 min that are given are used" in caplog.text + output


@pytest.mark.parametrize("swapped", [False, True])
def test_tracked_label_images_keep_their_numbers(tmp_path: Path, monkeypatch, swapped) -> None:
    """Cell 7 is missing from the middle frame; where two exchange numbers nothing is tracked."""
    monkeypatch.setitem(sys.modules, "laptrack", None)
    ids = np.zeros((3, 60, 80), np.uint16)
    for t in range(3):
        ids[t, 10 + t : 22 + t, 10:22], ids[t, 30:44, 40 + t : 54 + t] = 7, 3
    ids[1][ids[1] == 7] = 0
    if swapped:
        ids[2] = np.choose(np.searchsorted([0, 3, 7], ids[2]), [0, 7, 3])
    tifffile.imwrite(tmp_path / "ids.tif", ids, photometric="minisblack")
    film = np.where(ids > 0, 0.8, 0.1)[:, None]
    predicted(tmp_path / "in", "film", {"mean": film}, labels=("DAPI",))
    code, output = isl(
        *("measure", tmp_path / "in", "--objects", tmp_path / "ids.tif", "--out", tmp_path / "out")
    )
    if swapped:
        assert (code, "pip install 'isl[tracking]'" in output) == (2, True)
        assert not (tmp_path / "out" / "cells.csv").exists()
        return
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    found = [(row["time"], row["cell"]) for row in rows]
    assert found == [("0", "3"), ("0", "7"), ("1", "3"), ("2", "3"), ("2", "7")]
    made = json.loads((tmp_path / "out" / "film.json").read_text(encoding="utf-8"))
    assert "cells keep their numbers, which are the same from frame to frame" in made["warnings"]
