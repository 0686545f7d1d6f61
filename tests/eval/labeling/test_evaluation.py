"""`isl eval` of labeling: what it writes, resumes, says and refuses."""

import csv
import html.parser
import json
import re

import numpy as np
import pytest
import tifffile
from simulated_labeling import SIZE, blobs, write_field, write_ground, write_model, write_prediction

from isl import cli
from isl.labeling.dataset import Manifest, write_manifest
from isl_eval.labeling import evaluation as labeling

FILES = {
    *("report.html", "metrics.json", "settings.json", "predictions"),
    *("figures.csv", "objects.csv", "spectral.csv", "calibration.csv", "curves.csv"),
    *("comparisons.csv", "heat_maps.csv", "crops.csv"),
}
BASIC = 'task = "labeling"\ndataset = "dataset.toml"\nreplicates = 20\n'


class Page(html.parser.HTMLParser):
    """Every tag with its attributes, and the text in between."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.parts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.parts).replace("\u00a0", " ").split())


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `isl eval` with a configuration's text; returns code, stdout, stderr, folder."""

    def call(text, *words, out="out"):
        path = tmp_path / "eval.toml"
        path.write_text(BASIC + text, encoding="utf-8")
        given = [str(word) for word in words]
        code = cli.main(
            ["eval", str(path), "--out", str(tmp_path / out), "--device", "cpu", *given]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err, tmp_path / out

    return call


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_page(folder):
    """The report's text, once it is sure that it loads nothing and has no nan for a figure."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe"}
    # The one that magnifies pictures.
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)
    for path in folder.glob("*.csv"):
        assert not re.search(r"\bnan\b", path.read_text(encoding="utf-8"))
    return page.text


def test_a_model_its_ensemble_and_images_from_elsewhere(run, tmp_path):
    write_ground(tmp_path, 2)
    write_model(tmp_path / "one", "one", chosen_on=("g1",))
    write_model(tmp_path / "two", "two", seed=1)
    config = """
model = ["one", ["one", "two"]]
objects = ["DAPI"]
predictions = { blurred = "blurred" }
"""
    code, printed, said, out = run(config)
    assert (code, printed.strip()) == (0, str(out / "report.html"))
    assert {path.name for path in out.iterdir()} == FILES
    assert len(list((out / "predictions").iterdir())) == 3 * 2
    assert "DAPI, blurred: Pearson 0.9" in said
    text = check_page(out)
    for heading in ("Ground", "Figures", "Differences", "Calibration", "Abstention", "Nuclei"):
        assert heading in text
    assert "There are fewer than 5 groups, so blocks of 128 pixels were drawn" in text
    assert "The weights of one were chosen by how they did on g1" in text
    assert "Nothing says which groups blurred was trained on" in text
    assert "NOT HELD OUT" not in text
    assert "A card." in text

    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert list(record["contenders"]) == ["one", "mean of one, two", "blurred"]
    found = record["labels"]["DAPI"]
    assert list(found) == ["one", "mean of one, two", "blurred", "best constant"]
    assert found["blurred"]["figures"]["cross_entropy"]["estimate"] is None
    assert found["best constant"]["figures"]["pearson"]["estimate"] is None
    assert found["one"]["distribution"]["pixels"] == 2 * SIZE[0] * SIZE[1]
    assert (found["one"]["over"], found["one"]["units"]) == ("blocks", 2)
    kept = found["one"]["risk_coverage"]
    half = kept["coverage"].index(0.5)
    assert (kept["width"], kept["coverage"]) == (sorted(kept["width"]), sorted(kept["coverage"]))
    cells = ["DAPI", "one", "50", f"{kept['width'][half]:.3f}", f"{kept['risk'][half]:.3f}"]
    assert " ".join(cells) in " ".join(text.split())
    # One model was chosen on it, and nothing is known of the images.
    assert record["held_out"] is False

    figures = {
        (r["contender"], r["of"], r["name"], r["figure"]): r for r in rows_of(out / "figures.csv")
    }
    row = figures["blurred", "label", "DAPI", "pearson"]
    assert (row["low"], row["high"], row["note"]) == ("", "", "no interval: 2 rows are too few")
    assert "nothing: 2 blocks of 128 pixels are too few" in text
    in_record = found["blurred"]["fields"][0]["figures"]["mae"]
    in_table = float(figures["blurred", "field", "f0", "mae"]["value"])
    assert in_table == pytest.approx(in_record, rel=1e-5)
    row = figures["one", "label", "DAPI", "objects_accuracy"]
    assert row["value"] != ""
    # Nuclei are drawn as pixels are.
    assert (row["over"], row["units"]) == ("blocks", "2")
    assert row["note"] == "no interval: 2 rows are too few"
    bands = {
        (r["of"], r["name"], r["low"]): r
        for r in rows_of(out / "spectral.csv")
        if r["contender"] == "blurred"
    }
    assert len(bands) == (1 + 2 + 2) * 8
    coarse = bands["label", "DAPI", "0"]
    assert (coarse["over"], coarse["units"], coarse["high_per_um"]) == ("blocks", "2", "0.125")
    assert coarse["note"] == "no interval: 2 rows are too few"
    assert coarse["correlation"] == figures["blurred", "label", "DAPI", "spectral_1"]["value"]
    pooled = found["blurred"]["figures"]["spectral_1"]["estimate"]
    assert float(coarse["correlation"]) == pytest.approx(pooled, rel=1e-5)
    # Groups of one field each.
    for group, field in (("g0", "f0"), ("g1", "f1")):
        of_field = bands["field", field, "0"]["correlation"]
        assert bands["group", group, "0"]["correlation"] == of_field
        assert figures["blurred", "group", group, "spectral_1"]["value"] == of_field
        assert figures["blurred", "field", field, "spectral_1"]["value"] == of_field
    (pair,) = (
        r
        for r in rows_of(out / "comparisons.csv")
        if (r["first"], r["second"], r["figure"]) == ("blurred", "one", "mae")
    )
    values = [found[name]["figures"]["mae"]["estimate"] for name in ("blurred", "one")]
    assert float(pair["difference"]) == pytest.approx(values[0] - values[1], rel=1e-4)
    binned = [int(r["pixels"]) for r in rows_of(out / "heat_maps.csv") if r["contender"] == "one"]
    assert (len(binned), sum(binned)) == (100, 2 * SIZE[0] * SIZE[1])
    objects = rows_of(out / "objects.csv")
    assert {r["contender"] for r in objects} == {"one", "mean of one, two", "blurred"}


def test_conditions_stand_side_by_side(run, tmp_path):
    fields = []
    for number, condition in enumerate(("control", "drug", "drug")):
        name = f"f{number}"
        labels = ("DAPI", "MAP2")
        field, truth = write_field(
            tmp_path, name, number, labels=labels, group=f"g{number}", condition=condition
        )
        fields.append(field)
        worse = 0.5 * blobs(number + 50) if condition == "drug" else 0
        images = {label: np.clip(0.9 * image + worse, 0, 1) for label, image in truth.items()}
        write_prediction(tmp_path / "made", name, images)
    write_manifest(tmp_path / "dataset.toml", Manifest(fields=tuple(fields)))
    code, _, said, out = run('predictions = { made = "made" }\n')
    assert code == 0, said
    text = check_page(out)
    for words in (
        "Conditions",
        "DAPI, drug, best:",
        "MAP2, control, the only one: f0, rows 0 to 70, columns 0 to 60",
    ):
        assert words in text
    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    found = record["labels"]["DAPI"]["made"]["by_condition"]
    assert {name: each["groups"] for name, each in found.items()} == {"control": 1, "drug": 2}
    errors = {name: each["figures"]["mae"]["estimate"] for name, each in found.items()}
    assert errors["control"] < errors["drug"]
    assert [field["condition"] for field in record["ground"]["fields"]] == [
        "control",
        "drug",
        "drug",
    ]
    # All pixels once together, and once by their conditions.
    counts = {"": 0, "control": 0, "drug": 0}
    for row in rows_of(out / "heat_maps.csv"):
        if row["label"] == "DAPI":
            counts[row["condition"]] += int(row["pixels"])
    pixels = SIZE[0] * SIZE[1]
    assert counts == {"": 3 * pixels, "control": pixels, "drug": 2 * pixels}
    rows = [r for r in rows_of(out / "figures.csv") if r["of"] == "condition"]
    assert {r["name"] for r in rows} == {"control", "drug"}
    crops = rows_of(out / "crops.csv")
    assert len(crops) == 2 * 3
    mine = next(r for r in crops if (r["field"], r["label"]) == ("f0", "DAPI"))
    assert float(mine["error"]) == pytest.approx(errors["control"], rel=1e-4)


def test_renormalized_images_are_those_of_predict(run, tmp_path, capsys):
    """Where nothing of one half was measured, too: the mean is that of the whole image."""
    mask = np.zeros(SIZE, bool)
    mask[:, : SIZE[1] // 2] = True
    write_ground(tmp_path, 1, mask=mask)
    write_model(tmp_path / "one", "one", statistics={"mean": 0.25, "standard_deviation": 0.125})
    words = ["--model", tmp_path / "one", "--renormalize", "--median", "published"]
    words += [
        "--dtype",
        "float32",
        "--axes",
        "ZYX",
        "--allow-mismatch",
        "--out",
        tmp_path / "there",
    ]
    assert cli.main(["predict", str(tmp_path / "f0.tif"), *map(str, words)]) == 0
    capsys.readouterr()
    config = 'model = "one"\npredictions = { there = "there" }\n'
    maes = {}
    for renormalize in ("true", "false"):
        code, _, said, out = run(f"{config}renormalize = {renormalize}\n", out=renormalize)
        assert code == 0, said
        found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["labels"]["DAPI"]
        maes[renormalize] = [found[who]["figures"]["mae"]["estimate"] for who in ("one", "there")]
    assert maes["true"][0] == pytest.approx(maes["true"][1], rel=1e-4)
    assert maes["false"][0] != pytest.approx(maes["false"][1], rel=0.05)
    code, _, said, _ = run(f"{config}renormalize = true\n", out="false")
    assert code == 2


def test_interrupted_and_gone_on_with_gives_the_same(run, tmp_path, monkeypatch):
    write_ground(tmp_path, 3)
    config = 'predictions = { blurred = "blurred" }'
    assert run(config, out="whole")[0] == 0
    real, asked = labeling.predict_ground, []

    def interrupted(contender, field, ground, config):
        asked.append(field.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(contender, field, ground, config)

    monkeypatch.setattr(labeling, "predict_ground", interrupted)
    assert run(config, out="broken")[0] == cli.INTERRUPTED
    assert not (tmp_path / "broken" / "report.html").exists()
    code, _, said, _ = run(config, out="broken")
    assert (code, asked) == (0, ["f0", "f1", "f2", "f2"])
    assert said.count("done before") == 2
    for name in ("metrics.json", "figures.csv", "report.html"):
        whole, broken = (tmp_path / folder / name for folder in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes()
    # How it is judged may change; what is judged may not.
    assert run(config, "--set", "replicates=10", out="whole")[0] == 0
    write_prediction(tmp_path / "blurred", "f0", {"DAPI": blobs(9)})
    code, _, err, _ = run(config, out="whole")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds an evaluation of other settings (contenders.blurred is" in err


def test_seen_ground_is_refused_and_if_allowed_said_in_large_letters(run, tmp_path):
    write_ground(tmp_path, 1)
    write_model(tmp_path / "one", "one", trained_on=("g0",))
    code, _, err, out = run('model = "one"')
    assert (code, len(err.splitlines())) == (2, 1)
    assert "model 'one' was trained on group 'g0'" in err
    assert "allow_seen = true" in err
    assert not out.exists()
    assert run('model = "one"\nallow_seen = true')[0] == 0
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert next(tag for tag, _ in page.tags if tag in ("h2", "p")) == "h2"
    assert "NOT HELD OUT" in page.text
    assert "one was trained on g0." in page.text
    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert (record["held_out"], record["seen"]) == (False, {"one": ["g0"]})


def test_constant_images_and_fields_without_objects_are_said_in_words(run, tmp_path):
    field, _ = write_field(tmp_path, "f0", 0)
    dark, _ = write_field(tmp_path, "f1", 1)
    tifffile.imwrite(tmp_path / "f1-DAPI.tif", np.full(SIZE, 3000, np.uint16))
    write_manifest(tmp_path / "dataset.toml", Manifest(fields=(field, dark)))
    for name in ("f0", "f1"):
        write_prediction(tmp_path / "flat", name, {"DAPI": np.full(SIZE, 0.2)})
    code, _, said, out = run('predictions = { flat = "flat" }\nobjects = ["DAPI"]')
    assert code == 0
    assert "DAPI, flat: its correlation is undefined (an image is constant)" in said
    text = check_page(out)
    assert "undefined" in text
    assert "field f1: the true image is constant where it counts: its correlation is" in text
    assert "field f1: the true image holds no object that counts" in text
    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert record["labels"]["DAPI"]["flat"]["figures"]["pearson"]["estimate"] is None
    # Nobody knows what the images were made with.
    assert record["held_out"] is None


def test_images_that_lie_apart_are_warned_of(run, tmp_path):
    truths = write_ground(tmp_path, 1)
    shifted = np.roll(truths["f0"]["DAPI"], (6, -4), axis=(0, 1))
    write_prediction(tmp_path / "apart", "f0", {"DAPI": shifted})
    code, _, _, out = run('predictions = { apart = "apart" }')
    assert code == 0
    assert "shifted by +6.0 rows and -4.0 columns; look whether they are" in check_page(out)


POINTED = """
predictions = { b = "blurred" }
[[points]]
label = "DAPI"
measured = { ann = "true.csv" }
predicted = { ann = "guess.csv" }
diameter = 9
"""


def write_points(folder, true: str) -> None:
    """A field, one person's points in its measured image, and one point in the predicted one."""
    write_ground(folder, 1)
    (folder / "true.csv").write_text(f"y,x\n{true}", encoding="utf-8")
    (folder / "guess.csv").write_text("y,x\n21,20\n", encoding="utf-8")


def test_points_of_people_stand_in_the_report(run, tmp_path):
    write_points(tmp_path, "20,20\n40,40\n")
    code, _, _, out = run(POINTED)
    assert code == 0
    assert "Points set by people" in check_page(out)
    record = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert record["points"][0]["predicted_rates"]["missing"] == {
        "mean": 0.5,
        "deviation": None,
        "comparisons": 1,
        "note": "",
    }
    assert "DAPI, ann, the only one: f0, accuracy 0.50" in check_page(out)
    places = [(r["image"], r["y"], r["x"], r["found"]) for r in rows_of(out / "point_places.csv")]
    assert places == [
        ("measured", "20", "20", "correct"),
        ("measured", "40", "40", "missing"),
        ("predicted", "21", "20", "correct"),
    ]
    (row,) = rows_of(out / "points.csv")
    assert (row["true_count"], row["missing"], row["accuracy"]) == ("2", "1", "0.5")
    assert run('predictions = { b = "blurred" }\n')[0] == 0
    assert not (out / "points.csv").exists()


def test_points_without_any_true_object_are_named_in_the_report(run, tmp_path):
    write_points(tmp_path, "")
    code, _, _, out = run(POINTED)
    assert code == 0
    expected = "DAPI, predicted: left out, without a true object in any field: ann (1 predicted)"
    assert expected in check_page(out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give 'model', 'predictions' or both"),
        ('model = ["one", []]', "an ensemble in 'model' is empty"),
        ('model = "absent"', "unknown model 'absent'"),
        ('predictions = { b = "blurred" }\nlabels = ["DAPY"]', "did you mean 'DAPI'"),
        ('predictions = { b = "blurred" }\nlabels = []', "labels: Tuple should have at least 1"),
        (
            'predictions = { b = "blurred" }\nobjects = ["NFH"]',
            "label in 'objects' or 'points' 'NFH'",
        ),
        ('predictions = { b = "blurred" }\nsplit = "test"', "no field has split 'test'"),
        ('predictions = { b = "blurred" }\nimages = "mean"', "did you mean 'image'"),
        ('predictions = { b = "blurred" }\nlevel = 1.5', "level: Input should be less than 1"),
        ('predictions = { b = "nowhere" }', "nowhere is no folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(run, tmp_path, text, message):
    write_ground(tmp_path, 1)
    code, printed, err, out = run(text)
    assert (code, printed) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
    assert not out.exists()


def test_what_is_predicted_after_all_is_judged_into_the_same_folder(run, tmp_path):
    truth = write_ground(tmp_path, 2)
    image = tmp_path / "blurred" / "f1.ome.tif"
    image.unlink()
    config = 'predictions = { b = "blurred" }'
    code, _, err, out = run(config)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds no f1.ome.tif for field 'f1'" in err
    write_prediction(tmp_path / "blurred", "f0", {"DAPI": np.full(SIZE, np.nan)})
    write_prediction(tmp_path / "blurred", "f1", truth["f1"])
    code, _, err, out = run(config)
    assert (code, len(err.splitlines())) == (2, 1)
    assert not out.exists()
    write_prediction(tmp_path / "blurred", "f0", truth["f0"])
    assert run(config)[0] == 0


def test_a_model_for_other_planes_is_refused(run, tmp_path):
    write_ground(tmp_path, 1)
    write_model(tmp_path / "one", "one", planes=3)
    code, _, err, out = run('model = "one"')
    assert (code, len(err.splitlines())) == (2, 1)
    assert "z-stack has 2 planes; model 'one' expects 3 (give 'planes' to choose)" in err
    assert not (out / "report.html").exists()
