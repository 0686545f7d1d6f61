"""`isl viability`: what it leaves, what it says on every page, what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from simulated_development import embryo_frames, write_model

from isl.errors import InputError
from isl.files.provenance import results_in
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie
from isl.model_kinds import load_model
from isl.viability import key_frames
from isl.viability.assess import ranks
from isl.viability.model import PURPOSE, SIMULATED
from isl.viability.run import Request, assess_recordings

INTERVAL = 450.0
HOURS = 2 + np.arange(16) * INTERVAL / 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three embryos of two patients, a table of them, one that is too short, and a model."""
    folder = tmp_path_factory.mktemp("viability")
    lines = ["recording,file,start_hours,interval_minutes,patient"]
    for number, patient in enumerate(("p1", "p2", "p1", "p2")):
        frames = embryo_frames(HOURS, seed=number)[: 5 if number == 3 else None]
        movie = Movie(name=f"e{number}", frames=frames[:, None], interval=INTERVAL)
        write_movie(folder / f"e{number}.ome.tif", movie)
        lines.append(f"e{number},e{number}.ome.tif,2,{INTERVAL:g},{patient}")
    (folder / "recordings.csv").write_text("\n".join(lines) + "\n")
    targets = ("heartbeat", "euploid", "fragmented")
    unwanted = ("fragmented",)
    write_model(folder / "model", targets=targets, unwanted=unwanted, simulated=True, patients=())
    return folder


def request(folder: Path, out: Path, **options) -> Request:
    table = options.pop("inputs", (folder / "recordings.csv",))
    return Request(inputs=table, out=out, model=str(folder / "model"), device="cpu", **options)


@pytest.fixture(scope="module")
def judged(folder: Path) -> Path:
    out = folder / "out"
    # One of four is too short: some failed.
    assert assess_recordings(request(folder, out, cohort="patient")) == 3
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "viability.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_table(judged: Path) -> None:
    found = rows(judged)
    assert [(r["recording"], r["target"]) for r in found] == [
        *((name, "heartbeat") for name in ("e0", "e1", "e2")),
        *((name, target) for name in ("e0", "e1", "e2") for target in ("euploid", "fragmented")),
    ]
    assert [row["role"] for row in found] == ["main"] * 3 + ["other"] * 6
    for row in found:
        assert 0 <= float(row["low"]) <= float(row["probability"]) <= float(row["high"]) <= 1
        assert row["purpose"] == "research only"
    of_p1 = [r for r in found if r["cohort"] == "p1" and r["target"] == "heartbeat"]
    assert sorted(r["rank"] for r in of_p1) == ["1", "2"]
    best = max(of_p1, key=lambda r: float(r["probability"]))
    assert best["rank"] == "1"
    assert {r["cohort_size"] for r in of_p1} == {"2"}
    assert {r["rank_by"] for r in of_p1} == {"highest heartbeat first"}


def test_the_first_of_an_unwanted_outcome_is_not_the_worst(judged: Path) -> None:
    of_p1 = [r for r in rows(judged) if r["cohort"] == "p1" and r["target"] == "fragmented"]
    first = min(of_p1, key=lambda row: int(row["rank"]))
    assert first["rank"] == "1"
    assert float(first["probability"]) == min(float(row["probability"]) for row in of_p1)
    assert {row["rank_by"] for row in of_p1} == {"lowest fragmented first"}
    assert "1 of 2 (lowest fragmented first)" in (judged / "report.html").read_text()


def test_the_one_probability_comes_first_and_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "gappy"
    frames.mkdir()
    for t, frame in enumerate(embryo_frames(HOURS, seed=0)):
        if t != 5:
            Image.fromarray(frame).save(frames / f"t{t:02d}.png")
    asked = request(folder, tmp_path / "o", inputs=(frames,), start=2.0, interval=INTERVAL)
    assert assess_recordings(asked) == 0
    made = json.loads((tmp_path / "o" / "gappy.json").read_text())
    assert made["main"] == made["targets"][0]
    assert made["main"]["target"] == "heartbeat"
    said = capsys.readouterr().out
    assert said.startswith("gappy: heartbeat: ")
    assert "euploid" not in said
    html = (tmp_path / "o" / "report.html").read_text()
    main, _, others = html.partition("What else the model tells, beside heartbeat")
    assert "euploid" not in main.partition("The chance of heartbeat")[2]
    assert "euploid" in others
    missing = "1 frame is missing by the numbers in their names, the first between t04.png and"
    assert [line for line in made["warnings"] if line.startswith(missing)]
    assert missing in html


def test_record_says_all(judged: Path) -> None:
    made = json.loads((judged / "e0.json").read_text())
    assert made["purpose"] == PURPOSE
    assert made["warning"] == SIMULATED
    assert len(made["key_frames"]) == 8
    assert {f["why"] for f in made["key_frames"]} <= {"sharpest", "repeated"}
    hours = [point["hours"] for point in made["by_hour"]]
    assert hours == sorted(hours)
    assert hours[:3] == [48, 72, 96]
    assert hours[-1] == made["key_frames"][-1]["hours"]
    assert len(made["members"]["logits"]) == 3


def test_every_page_says_what_it_is_not_for(judged: Path) -> None:
    html = (judged / "report.html").read_text()
    body, _, foot = html.partition("<footer>")
    assert PURPOSE in foot
    assert SIMULATED in foot
    assert body.count(SIMULATED) == 1
    # At the top, by each cohort, and with each embryo.
    assert body.count(PURPOSE) >= 1 + 2 + 3
    assert "A cohort of one embryo" in html
    assert "48% are needed" not in html
    assert "2 to 32 h, which is 25%" in html
    assert (judged / "e1.film_strip.png").read_bytes().startswith(b"\x89PNG")


def test_it_warns_of_simulated_embryos(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = request(
        folder, tmp_path / "o", inputs=(folder / "e0.ome.tif",), start=2.0, interval=INTERVAL
    )
    assert assess_recordings(one) == 0
    assert SIMULATED in capsys.readouterr().err
    assert {row["rank"] for row in rows(tmp_path / "o")} == {""}


def test_resume_keeps_what_is_done(folder: Path, judged: Path) -> None:
    before = (judged / "e0.json").stat().st_mtime_ns
    with pytest.raises(InputError, match="give `overwrite` to replace it, or `resume`"):
        assess_recordings(request(folder, judged, cohort="patient"))
    assert assess_recordings(request(folder, judged, cohort="patient", resume=True)) == 3
    assert (judged / "e0.json").stat().st_mtime_ns == before
    assert len(rows(judged)) == 9


def test_resume_does_not_mix_ways_of_choosing(folder: Path, judged: Path, monkeypatch) -> None:
    monkeypatch.setattr("isl.viability.key_frames.WAY", key_frames.WAY + 1)
    with pytest.raises(InputError, match=r"was not made from .* in this way"):
        assess_recordings(request(folder, judged, cohort="patient", resume=True))


def test_workers_change_nothing(folder: Path, judged: Path, tmp_path: Path) -> None:
    again = request(folder, tmp_path / "o", cohort="patient", workers=2)
    assert assess_recordings(again) == 3
    assert rows(tmp_path / "o") == rows(judged)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cohort": "clinic"}, "has no column 'clinic'"),
        ({"inputs": (Path("nothing.mp4"),)}, "there is no such file"),
        ({"inputs": ()}, "no input"),
    ],
)
def test_calls_that_are_refused(folder: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        assess_recordings(request(folder, tmp_path / "o", **options))
    assert not (tmp_path / "o").exists()


def test_nothing_could_be_judged(folder: Path, tmp_path: Path) -> None:
    alone = request(
        folder, tmp_path / "o", inputs=(folder / "e3.ome.tif",), start=2.0, interval=INTERVAL
    )
    assert assess_recordings(alone) == 2
    assert not (tmp_path / "o" / "viability.csv").exists()


def test_ranks() -> None:
    assert ranks(["a", "a", "", "b", "a"], [0.2, 0.9, 0.5, 0.1, 0.2]) == [2, 1, None, 1, 2]
    assert ranks(["a", "a", "a"], [0.2, 0.9, 0.2], unwanted=True) == [1, 3, 1]


def test_arrays_are_judged_as_files_are(folder: Path, judged: Path) -> None:
    made = json.loads((judged / "e0.json").read_text())
    model = load_model(folder / "model")
    frames = embryo_frames(HOURS, seed=0)
    found = model.predict(frames, interval=INTERVAL, start=2)
    assert found.main.probability == pytest.approx(made["targets"][0]["probability"], abs=1e-4)
    timed = model.predict(np.moveaxis(frames, 0, -1), axes="YXT", hours=HOURS)
    assert timed.main.probability == pytest.approx(found.main.probability)
    with pytest.raises(InputError, match="does not say the minutes between frames"):
        model.predict(frames, start=2)
    with pytest.raises(InputError, match="has 16 frames, and `hours` has 3"):
        model.predict(frames, hours=[1, 2, 3])
    with pytest.raises(InputError, match="has pixels of type int16"):
        model.predict(frames.astype(np.int16), interval=INTERVAL, start=2)


def test_results_are_no_inputs_the_next_time(folder: Path, judged: Path) -> None:
    assert json.loads((judged / "e0.json").read_text())["outputs"] == ["e0.film_strip.png"]
    assert "e0.film_strip.png" in results_in(judged)
