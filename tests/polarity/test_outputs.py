import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from simulated_recordings import PatchEnsemble, make_frames, recording_of

from isl.files.records import as_csv, as_json
from isl.polarity.assess import assess
from isl.polarity.embryo_page import EmbryoPictures, embryo_page
from isl.polarity.outputs import (
    FRAME_COLUMNS,
    ONSET_COLUMNS,
    duration,
    files_of,
    frame_rows,
    onset_row,
    record,
    sentence,
)


@pytest.fixture
def made_of(tmp_path, ezrin_model, quick_ezrin):
    """Assesses frames of an embryo E1 and returns its record as it is read back."""

    def make(frames, *, shifts=(0, 0, 0), first=0, **recording):
        numbers = tuple(range(first, first + len(frames)))
        recording = recording_of(
            frames, numbers=numbers, steps=numbers, source=tmp_path / "E1", **recording
        )
        model = PatchEnsemble(shifts)
        made = record(
            assess(recording, model, ezrin_model),
            model,
            ezrin_model={"name": "tiny-ezrin", "sha256": "3" * 64},
            settings={"onset": "smoothed", "frames": [first, None]},
            source_hash="2" * 64,
            files=files_of(tmp_path, "E1"),
            device="cpu",
            seconds=1.5,
        )
        return json.loads(as_json(made, indent=2))

    return make


def test_a_record_says_what_was_found_and_how(made_of):
    made = made_of(make_frames(8, onset=5), interval=40.0)
    assert made["purpose"] == "For research only; not for clinical use."
    assert made["verdict"] == "onset"
    assert made["onset"]["frame"] == 5
    assert made["onset"]["name"] == "t5.png"
    assert made["onset"]["minutes"] == 200
    assert set(made["rules"]) == {"smoothed", "change_point", "posterior"}
    assert made["rules"]["change_point"]["onset"]["frame"] == 5
    assert made["members"]["onsets"] == [5, 5, 5]
    assert np.shape(made["members"]["probabilities"]) == (3, 8)
    assert sum(made["posterior"]["values"]) == pytest.approx(1, abs=1e-4)
    assert made["model"] == {
        "name": "patches",
        "sha256": "1" * 64,
        "arm": "dic+ezrin",
        "combine": "mean",
        "threshold": 0.5,
        "centred": True,
    }
    assert made["input"]["shape"] == [8, 1, 96, 112]
    assert made["input"]["sha256"] == "2" * 64
    assert made["ezrin_model"] == {"name": "tiny-ezrin", "sha256": "3" * 64}
    assert made["outputs"] == [
        "E1.ezrin.ome.tif",
        "E1.ezrin.standard_deviation.ome.tif",
        "E1.activation.png",
        "E1.film_strip.png",
    ]
    assert made["versions"].keys() >= {"python", "isl", "jax", "numpy"}


def test_rows_of_the_tables(made_of):
    made = made_of(make_frames(8, onset=5), interval=40.0)
    row = onset_row(made)
    assert tuple(row) == ONSET_COLUMNS
    assert (row["embryo"], row["verdict"], row["onset_frame"]) == ("E1", "onset", "5")
    assert (row["onset_minutes"], row["censored"], row["frames"]) == ("200", "0", "8")
    assert int(row["onset_low"]) <= 5 <= int(row["onset_high"])
    assert float(row["agreement"]) == 1
    rows = frame_rows(made)
    assert tuple(rows[0]) == FRAME_COLUMNS
    assert [int(frame["frame"]) for frame in rows] == list(range(8))
    assert [frame["name"] for frame in rows] == [frame["name"] for frame in made["frames"]]
    assert all(frame["name"] for frame in rows)
    assert [frame["call"] for frame in rows] == list("00000111")
    assert [frame["smoothed"] for frame in rows] == list("00000111")
    assert float(rows[7]["probability"]) == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    parsed = list(csv.DictReader(io.StringIO(as_csv(FRAME_COLUMNS, rows))))
    assert parsed == rows


def test_frames_count_in_file_order_where_only_some_are_used(made_of):
    made = made_of(make_frames(8, onset=5), first=10, interval=20.0)
    row = onset_row(made)
    assert row["onset_frame"] == "15"
    assert row["onset_minutes"] == "300"
    assert row["frames"] == "8"
    assert 10 <= int(row["onset_low"]) <= 15 <= int(row["onset_high"]) <= 18
    assert frame_rows(made)[0]["frame"] == "10"
    assert made["members"]["onsets"] == [15, 15, 15]


def test_all_before_onset_is_censored(made_of):
    made = made_of(make_frames(8, onset=None), interval=20.0)
    row = onset_row(made)
    assert row["verdict"] == "censored"
    assert row["onset_frame"] == row["onset_minutes"] == row["onset_high"] == ""
    assert row["censored"] == "1"
    assert made["members"]["onsets"] == [None, None, None]
    assert sentence(made).startswith("not polarized in frames 0 to 7, ")


def test_all_after_onset_is_frame_0_or_before(made_of):
    made = made_of(make_frames(8, onset=0))
    row = onset_row(made)
    assert (row["verdict"], row["onset_frame"], row["censored"]) == ("onset", "0", "0")
    assert made["onset"]["left_censored"]
    assert sentence(made).startswith("polarized at frame 0 or before, between 0 and ")


def test_without_an_interval_there_are_no_minutes(made_of):
    assert onset_row(made_of(make_frames(8, onset=5)))["onset_minutes"] == ""


def test_members_that_disagree_cannot_tell(made_of):
    made = made_of(make_frames(12, onset=2), shifts=(0, 4, 8), interval=30.0)
    row = onset_row(made)
    assert row["verdict"] == "cannot_tell"
    # It is filled in still: two of three members are past theirs at frame 6.
    assert row["onset_frame"] == "6"
    assert float(row["agreement"]) == pytest.approx(1 / 3, abs=1e-3)
    text = sentence(made)
    assert text.startswith("cannot tell: 1 of 3 members agree within 2 frames; most likely ")
    assert "polarized at frame 6 (3 h 0 min)" in text


def test_a_sentence_says_when(made_of):
    made = made_of(make_frames(8, onset=5), interval=40.0)
    low, high = made["onset"]["low"], made["onset"]["high"]
    assert sentence(made) == f"polarized at frame 5 (3 h 20 min), between {low} and {high}"


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0, "0 min"), (40, "40 min"), (7.5, "7.5 min"), (60, "1 h 0 min"), (840, "14 h 0 min")],
)
def test_durations(minutes, text):
    assert duration(minutes) == text


def test_done_means_same_input_model_and_settings(tmp_path, made_of):
    made = made_of(make_frames(4, onset=2))
    files = files_of(tmp_path, "E1")
    for path in files.all:
        path.write_text(as_json(made, indent=2))
    same = {
        "model_hash": "1" * 64,
        "settings": {"onset": "smoothed", "frames": (0, None)},
        "source_hash": "2" * 64,
    }
    assert files.made_from("isl polarity", **same)
    assert not files.made_from("isl polarity", **same | {"model_hash": "3" * 64})
    assert not files.made_from("isl polarity", **same | {"source_hash": "3" * 64})
    assert not files.made_from("isl polarity", **same | {"settings": {"onset": "change_point"}})
    files.record.write_text("{")
    assert not files.made_from("isl polarity", **same)
    files.preview.unlink()
    assert not files.made_from("isl polarity", **same)


def test_the_page_shows_every_embryo_and_what_failed(png, made_of):
    shown = [
        EmbryoPictures(made=made, film_strip=png, overlays=png)
        for made in (
            made_of(make_frames(8, onset=5), interval=40.0),
            made_of(make_frames(8, onset=None)) | {"embryo": "E<2>"},
        )
    ]
    page = embryo_page(shown, {"E3": "E3: holds one frame"}, card="Made for <tests>")
    assert page.count("data:image/png;base64,") == 4
    assert "Polarization onset of 2 embryos" in page
    assert "E&lt;2&gt;" in page
    assert "E3: holds one frame" in page
    assert "Made for &lt;tests&gt;" in page
    assert page.count("For research only; not for clinical use.") == 2
    assert "polarized at frame 5 (3 h 20 min)" in page.replace("Polarized", "polarized")


@pytest.fixture
def png():
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_probabilities_are_rounded_not_cut(made_of):
    made = made_of(make_frames(3, onset=1))
    assert made["frames"][2]["probability"] == 0.952574


def test_a_page_says_what_the_calls_follow_from(png, made_of):
    """EZRIN that is only shown is not said to have been read."""
    made = made_of(make_frames(8, onset=5))
    words = {
        ("dic+ezrin", True): "reads transmitted light and predicted EZRIN",
        ("dic", True): "predicted EZRIN only to find the embryo",
        ("dic", False): "predicted EZRIN is shown beside it and has no say",
    }
    for (arm, centred), expected in words.items():
        model = {**made["model"], "arm": arm, "centred": centred}
        pictures = EmbryoPictures(made={**made, "model": model}, film_strip=png, overlays=png)
        assert expected in embryo_page([pictures], {})


def test_what_cannot_be_told_says_why(made_of):
    made = made_of(make_frames(8, onset=5))
    refused = {**made, "verdict": "cannot_tell", "refused": "no embryo that it knows"}
    assert sentence(refused) == "cannot tell: no embryo that it knows"
