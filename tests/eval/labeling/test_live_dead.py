"""Living and dead cells in `isl eval`: divided by points, compared, and refused by name."""

import csv
import json
import re

import numpy as np
import pytest
import tifffile
from scipy import stats
from simulated_labeling import write_ground, write_prediction

from isl import cli
from isl.config import parse
from isl.errors import InputError
from isl.labeling.dataset import load_manifest
from isl_eval.labeling.config import LabelingEvaluation
from isl_eval.labeling.ground import survey_ground
from isl_eval.labeling.live_dead import read_marks

SIZE = (96, 110)
# Micrometres a pixel.
STEP = 0.5
DEAD = [(20, 20), (20, 60), (60, 30)]
LIVE = [(28, 90), (48, 60), (66, 84), (75, 45)]


def discs(radii):
    """float32 [Y, X]: sharp discs of the given radii on a dark ground, small ones for the dead."""
    rows, columns = np.indices(SIZE)
    image = np.full(SIZE, 0.05, np.float32)
    for (y, x), radius in radii.items():
        image[np.hypot(rows - y, columns - x) <= radius] = 0.8
    return image


def field_of(grown=0.0):
    radii = {place: 4 + n / 4 for n, place in enumerate(DEAD)}
    radii |= {place: 8 + n / 4 for n, place in enumerate(LIVE)}
    return discs({place: radius + grown for place, radius in radii.items()})


def write_points(path, places, kinds=None):
    kinds = kinds or [""] * len(places)
    lines = [f"{y},{x},{kind}" for (y, x), kind in zip(places, kinds, strict=True)]
    path.write_text("\n".join(["y,x,kind", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def nuclei(tmp_path):
    """Two fields of dead and living nuclei, and images predicted elsewhere that are larger."""
    write_ground(tmp_path, 2)
    for name in ("f0", "f1"):
        stored = np.rint(field_of() * 65535).astype(np.uint16)
        tifffile.imwrite(tmp_path / f"{name}-DAPI.tif", stored)
        tifffile.imwrite(tmp_path / f"{name}.tif", np.stack([stored, stored]))
        write_prediction(tmp_path / "larger", name, {"DAPI": field_of(grown=1.0)})
        write_points(tmp_path / f"{name}-dead.csv", [(y + 2, x - 1) for y, x in DEAD])
    return tmp_path


@pytest.fixture
def run(nuclei, capsys):
    def call(live_dead):
        (nuclei / "eval.toml").write_text(
            'task = "labeling"\ndataset = "dataset.toml"\nreplicates = 5\nobjects = ["DAPI"]\n'
            f'predictions = {{ larger = "larger" }}\n[live_dead.DAPI]\n{live_dead}\n',
            encoding="utf-8",
        )
        out = nuclei / "out"
        code = cli.main(["eval", str(nuclei / "eval.toml"), "--out", str(out), "--device", "cpu"])
        return code, capsys.readouterr().err, out

    return call


def rows_of(out):
    with (out / "live_dead.csv").open(newline="", encoding="utf-8") as file:
        return {(r["of"], r["name"], r["image"], r["cells"]): r for r in csv.DictReader(file)}


def test_sizes_of_the_living_and_the_dead_measured_and_predicted(run):
    code, _, out = run('dead = "{field}-dead.csv"')
    assert code == 0
    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    found = record["labels"]["DAPI"]["larger"]["objects"]["live_dead"]
    measured, predicted = found["measured"], found["predicted"]
    assert (len(measured["dead"]), len(measured["live"])) == (2 * len(DEAD), 2 * len(LIVE))
    assert (measured["points"], measured["met"]) == (2 * len(DEAD), 2 * len(DEAD))
    # No dead nucleus is as large as a living one.
    assert measured["test"] == predicted["test"]
    assert measured["test"]["statistic"] == 1.0
    assert measured["test"]["p"] < 0.001
    grown = np.subtract(np.sort(predicted["live"]), np.sort(measured["live"]))
    # A pixel more, as far as discs of whole pixels can show it.
    assert grown == pytest.approx(STEP, abs=STEP / 3)
    for state in ("live", "dead"):
        expected = stats.ks_2samp(measured[state], predicted[state])
        assert found["between"][state]["statistic"] == pytest.approx(expected.statistic)
        assert found["between"][state]["p"] == pytest.approx(expected.pvalue)

    rows = rows_of(out)
    assert len(rows) == 3 * 2 * 2
    row = rows["label", "DAPI", "measured", "dead"]
    assert int(row["nuclei"]) == 2 * len(DEAD)
    assert float(row["radius_um_mean"]) == pytest.approx(np.mean(measured["dead"]), rel=1e-5)
    deviation = np.std(measured["dead"], ddof=1)
    assert float(row["radius_um_deviation"]) == pytest.approx(deviation, rel=1e-5)
    assert float(row["ks_live_dead"]) == 1.0
    between = found["between"]["dead"]
    assert float(row["ks_measured_predicted"]) == pytest.approx(between["statistic"], rel=1e-5)
    assert int(rows["field", "f1", "predicted", "live"]["nuclei"]) == len(LIVE)

    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Nuclei of living and dead cells" in page
    assert "DAPI: nuclei whose centre lies within 4.5\u00a0um of a point are those of dead" in page
    assert "dead: measured against predicted" in page
    assert "Radii: DAPI, larger" in page


def test_marks_of_living_cells_of_several_people_and_of_kinds(nuclei, run):
    write_points(nuclei / "a-f0.csv", [*LIVE[:2], DEAD[0]], ["live", "", "debris"])
    write_points(nuclei / "b-f0.csv", LIVE[1:])
    code, err, out = run('live = ["a-{field}.csv", "b-{field}.csv"]\nreach = 1.0')
    assert code == 0
    assert "Field f1 has no file of points: its DAPI nuclei are not divided." in err
    rows = rows_of(out)
    assert {name for _, name, _, _ in rows} == {"DAPI", "f0"}
    assert int(rows["field", "f0", "measured", "live"]["nuclei"]) == len(LIVE)
    assert int(rows["field", "f0", "measured", "dead"]["nuclei"]) == len(DEAD)
    # One nucleus was marked by both.
    assert rows["field", "f0", "measured", "live"]["points_met"] == str(len(LIVE) + 1)


def in_words(out):
    """The report's text, which has no nan for a figure."""
    page = (out / "report.html").read_text(encoding="utf-8")
    table = (out / "live_dead.csv").read_text(encoding="utf-8")
    record = (out / "metrics.json").read_text(encoding="utf-8")
    for text in (re.sub("<[^>]*>", " ", page), table, record):
        assert not re.search(r"\bnan\b|\bNaN\b|\bNone\b", text)
    return page


def test_points_far_from_every_nucleus_are_said_in_words(nuclei, run):
    for name in ("f0", "f1"):
        write_points(nuclei / f"{name}-dead.csv", [(2, 2)])
    code, _, out = run('dead = "{field}-dead.csv"')
    assert code == 0
    page = in_words(out)
    assert (
        "field f0: no nucleus of the measured image lies within 4.5 um of a point marked dead; "
        "look whether the points are pixels of this image" in page
    )
    assert "no measured nucleus counts as that of a dead cell: its sizes cannot be" in page
    assert "undefined" in page
    row = rows_of(out)["label", "DAPI", "measured", "dead"]
    assert (row["nuclei"], row["radius_um_mean"], row["ks_live_dead"]) == ("0", "", "")


def test_a_field_without_nuclei_or_without_marks_is_said_in_words(nuclei, run):
    tifffile.imwrite(nuclei / "f0-DAPI.tif", np.full(SIZE, 3000, np.uint16))
    write_points(nuclei / "f1-dead.csv", [])
    code, _, out = run('dead = "{field}-dead.csv"')
    assert code == 0
    page = in_words(out)
    assert "field f0: the measured image holds no nucleus that counts, live or dead" in page
    assert "field f1: no dead cell was marked in it" in page
    rows = rows_of(out)
    assert rows["field", "f0", "measured", "live"]["nuclei"] == "0"
    assert rows["field", "f0", "predicted", "dead"]["nuclei"] == str(len(DEAD))
    assert rows["label", "DAPI", "measured", "live"]["nuclei"] == str(len(LIVE) + len(DEAD))


@pytest.mark.parametrize(
    ("live_dead", "message"),
    [
        ('dead = "no-{field}.csv"', "live_dead.DAPI: no field has a file of points such as"),
        ('dead = "f0-dead.csv"', "'f0-dead.csv' is one file for 2 fields; write {field} where"),
        ('dead = "{field}.tif"', "f0.tif: cannot be read as a CSV of points"),
        ('dead = "{field}-outside.csv"', "marks y 700, x 5, outside of the image"),
        ("reach = 3", "live_dead.DAPI: give either 'dead' or 'live'"),
        ('dead = "a.csv"\nlive = "b.csv"', "live_dead.DAPI: give either 'dead' or 'live'"),
        ('dead = "a.csv"\nreach = 0', "live_dead.DAPI.reach: Input should be greater than 0"),
        ('ded = "a.csv"', "did you mean 'live_dead.DAPI.dead'"),
        (
            'dead = "a.csv"\n[live_dead.NFH]\ndead = "a.csv"',
            "divides the nuclei of NFH: name it in",
        ),
    ],
)
def test_what_cannot_be_separated_is_refused_in_one_line(nuclei, run, live_dead, message):
    write_points(nuclei / "f0-outside.csv", [(700, 5)])
    code, err, out = run(live_dead)
    assert (code, len(err.splitlines())) == (2, 1)
    assert message in err
    assert not out.exists()


def test_a_reach_in_micrometres_needs_a_pixel_size(tmp_path):
    write_ground(tmp_path, 1, pixel_size=None)
    write_points(tmp_path / "f0.csv", [(20, 20)])
    given = {
        "task": "labeling",
        "model": "m",
        "dataset": "dataset.toml",
        "objects": ["DAPI"],
        "live_dead": {"DAPI": {"dead": "{field}.csv"}},
    }
    config = parse(given, LabelingEvaluation, source="test")
    ground = survey_ground(load_manifest(tmp_path / "dataset.toml"), predicted=["DAPI"])
    with pytest.raises(InputError, match=r"4\.5 um around a point need the pixel size of field"):
        read_marks(config, tmp_path, ground)
