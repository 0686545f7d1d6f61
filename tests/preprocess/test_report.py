import base64
import dataclasses
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isl.config import parse
from isl.errors import InputError
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.image import ZStack
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.correction import Estimates
from isl.preprocess.drawings import draw_offsets
from isl.preprocess.field import files_of
from isl.preprocess.layout.config import LayoutConfig
from isl.preprocess.quality import Decision, Measures
from isl.preprocess.record import FieldRecord, MeasuredLink, PlacedTile
from isl.preprocess.report import resolution_of, write_report
from isl.preprocess.stages.additive_dust import AdditiveDust
from isl.preprocess.stages.normalization import Normalization, to_raw
from isl.preprocess.stages.registration import Shift
from isl.report.preview import write_preview

CONFIG = PreprocessConfig(
    description="Neurons, plate 7",
    layout=LayoutConfig(pattern=("{well}_{row}_{col}_{channel}.tif",), overlap=(10, 10)),
    transmitted="DIC",
    labels=("DAPI",),
)
TILE = (40, 50)


def record_of(name, *, links=((0.2, True), (0.6, True), (30.0, False)), **changed):
    """A field of a row of tiles, one more than its links (residual, trusted)."""
    known = {
        "name": name,
        "group": name[:2],
        "inputs": "",
        "size": (40, 50 + 40 * len(links)),
        "tile_size": TILE,
        "pixel_size": 0.65,
        "z_step": 2.0,
        "planes": (1, 2),
        "sharpness": (0.1, 0.4, 0.3, 0.2),
        "sharpest": 1,
        "tiles": tuple(
            PlacedTile(name=f"c{i}", nominal=(0, 40.0 * i), position=(0, 40.0 * i), anchored=False)
            for i in range(len(links) + 1)
        ),
        "links": tuple(
            MeasuredLink(
                tiles=(i, i + 1),
                offset=(0.0, 40.0),
                confidence=0.7,
                residual=residual,
                trusted=trusted,
            )
            for i, (residual, trusted) in enumerate(links)
        ),
        "covered": 1.0,
        "exposures": {"DIC": 1, "DAPI": 3},
        "gains": {},
        "normalization": {
            "DIC": tuple(
                Normalization(scale=1 / 8000, offset=offset, mean=4000.0, deviation=1000.0)
                for offset in (0.03, -0.5)
            ),
            "DAPI": (
                Normalization(
                    scale=1 / 500, offset=-0.1, mean=175.0, deviation=62.5, clipped=0.0123
                ),
            ),
        },
        "registration": {"DAPI": Shift(y=1.25, x=-3.5, confidence=0.9)},
        "measures": Measures(
            field=name, sharpness=0.4, saturated=0.0015, registration_shift=3.72, content=0.25
        ),
        "warnings": (),
    }
    return FieldRecord(**{**known, **changed})


def written(tmp_path, records, **changed):
    """The report on records, as HTML."""
    given = {
        "config": CONFIG,
        "records": records,
        "decisions": [Decision(field=record.name, keep=True) for record in records],
        "failed": (),
        "estimates": {},
        "split": {record.group: "train" for record in records},
        "folder": tmp_path / "plate7" / "fields",
        "manifest": tmp_path / "plate7" / "dataset.toml",
    }
    path = tmp_path / "plate7" / "report.html"
    write_report(path, **{**given, **changed})
    return path.read_text(encoding="utf-8")


def text_of(page):
    """What a person reads, without the style and the markup."""
    page = re.sub(r"<style>.*?</style>|<img[^>]*>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def rows_of(page, header):
    """The rows of the table whose first columns are named so: lists of texts."""
    for each in re.findall(r"<table>.*?</table>", page, flags=re.S):
        names, *rows = (
            [text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S)]
            for row in re.findall(r"<tr>.*?</tr>", each, flags=re.S)
        )
        if names[: len(header)] == list(header):
            return rows
    raise AssertionError(f"no table {header}")


def test_the_summary_counts_fields_and_groups(tmp_path):
    records = [record_of(name) for name in ("B2-1", "B2-2", "B3-1", "B4-1")]
    decisions = [Decision(field="B2-1", keep=False, reasons=("empty: 0.1% (at least 1%)",))] + [
        Decision(field=record.name, keep=True) for record in records[1:]
    ]
    page = written(
        tmp_path,
        records,
        decisions=decisions,
        failed=[("B9-1", "is truncated")],
        split={"B2": "train", "B3": "validation", "B4": "train"},
        estimates={"DIC": Estimates(images=7, of=900)},
    )
    text = text_of(page)
    assert "<h1>Preprocessing of plate7</h1>" in page
    assert "Neurons, plate 7" in text
    assert "3 kept, 1 rejected, 1 failed" in text
    assert "Estimated for DIC from 7 of 900 images" in text
    assert "Dataset dataset.toml" in text
    assert rows_of(page, ["Split"]) == [
        ["train", "2", "2", "B2, B4"],
        ["validation", "1", "1", "B3"],
    ]
    assert "decisions = " in text
    assert "quality.csv" in text


def test_rejected_and_failed_fields_have_their_reasons(tmp_path):
    reasons = ("empty: 0.10% of it", "saturated: 9% of the pixels")
    page = written(
        tmp_path,
        [record_of("B2-1"), record_of("B3-1")],
        decisions=[
            Decision(field="B2-1", keep=False, reasons=reasons),
            Decision(field="B3-1", keep=True),
        ],
        failed=[("C1", "C1_0_0.tif: is truncated")],
    )
    assert page.index("Rejected</h2>") < page.index("Failed</h2>") < page.index("All fields</h2>")
    assert rows_of(page.partition("Rejected</h2>")[2], ["Field", "Why"]) == [
        ["B2-1", "; ".join(reasons)]
    ]
    assert rows_of(page.partition("Failed</h2>")[2], ["Field", "Why"]) == [
        ["C1", "C1_0_0.tif: is truncated"]
    ]


def test_the_table_of_fields(tmp_path):
    page = written(
        tmp_path,
        [record_of("B2-1"), record_of("B3-1", links=(), measures=Measures(field="B3-1"))],
        decisions=[
            Decision(field="B2-1", keep=True),
            Decision(field="B3-1", keep=False, reasons=("a: 1", "a: 2", "b")),
        ],
    )
    row = ["B2-1", "kept", "train", "0.400", "0.15%", "2 of 3", "0.40", "0.60", "3.7", ""]
    other = ["B3-1", "rejected", "", "", "", "", "", "", "", "a, b"]
    assert rows_of(page, ["Field", "Verdict"]) == [row, other]
    # Each name leads to its field.
    (anchor,) = re.findall(r'<h3 id="([^"]+)">B2-1</h3>', page)
    assert f'<a href="#{anchor}">B2-1</a>' in page


def test_what_a_person_decided_is_counted(tmp_path):
    page = written(
        tmp_path,
        [record_of("B2-1"), record_of("B3-1")],
        config=CONFIG.model_copy(update={"decisions": Path("/home/somebody/checked.csv")}),
        decisions=[
            Decision(field="B2-1", keep=True, reasons=("kept by hand", "empty: 0%")),
            Decision(field="B3-1", keep=True),
        ],
    )
    assert "1 field other than judged, by checked.csv" in text_of(page)
    assert "somebody" not in page


def test_no_field_kept_is_said_first(tmp_path):
    page = written(
        tmp_path,
        [record_of("B2-1")],
        decisions=[Decision(field="B2-1", keep=False)],
        split={},
        manifest=None,
    )
    assert "No field is kept, so there is no dataset." in text_of(page)
    assert "Dataset none" in text_of(page)


def test_a_run_in_which_every_field_failed(tmp_path):
    page = written(tmp_path, [], failed=[("B2", "no tiles overlap")], manifest=None)
    text = text_of(page)
    assert "0 kept, 0 rejected, 1 failed" in text
    assert "All fields" not in text
    assert "Field by field" not in text


def pictures(page):
    return re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,', page)


def write_pictures(folder, record):
    files = files_of(folder, record.name)
    y, x = np.mgrid[:60, :80]
    planes = np.stack([65535 * x / 80, 65535 * y / 60]).astype(np.uint16)
    write_stack(files.stack, ZStack(name=record.name, planes=planes))
    write_preview(files.preview, [("before", planes[0] / 65535), ("after", planes[1] / 65535)])
    files.offsets.write_bytes(draw_offsets(record))


def test_pictures_that_are_there_are_shown_and_others_left_out(tmp_path):
    folder = tmp_path / "plate7" / "fields"
    records = [record_of("B2-1"), record_of("B3-1")]
    without = written(tmp_path, records)
    assert pictures(without) == ["2 fields, small"]
    write_pictures(folder, records[0])
    page = written(tmp_path, records)
    assert pictures(page) == [
        "2 fields, small",
        "B2-1 as acquired and as it is now",
        "Where the 4 tiles of B2-1 lie",
    ]
    assert pictures(page)[0] == pictures(without)[0]
    assert len(page) > len(without)
    # All is inside it.
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_a_damaged_picture_is_left_out(tmp_path):
    folder = tmp_path / "plate7" / "fields"
    record = record_of("B2-1")
    write_pictures(folder, record)
    files = files_of(folder, "B2-1")
    files.preview.write_bytes(files.preview.read_bytes()[:200])
    files.stack.write_bytes(b"no TIFF")
    assert len(pictures(written(tmp_path, [record]))) == 2


def test_wide_previews_are_made_as_wide_as_the_page(tmp_path):
    folder = tmp_path / "plate7" / "fields"
    record = record_of("B2-1", links=())
    write_pictures(folder, record)
    files = files_of(folder, "B2-1")
    files.offsets.unlink()
    Image.new("RGB", (2176, 500), "white").save(files.preview)
    page = written(tmp_path, [record])
    (data,) = re.findall(r'now" src="data:image/png;base64,([^"]+)"', page)
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (1088, 250)


def test_many_fields_have_more_than_one_contact_sheet(tmp_path):
    records = [record_of(f"B{number}", links=()) for number in range(61)]
    assert pictures(written(tmp_path, records)) == ["60 fields, small", "1 field, small"]


def test_what_images_share_is_shown_with_its_notes(tmp_path):
    flat = np.linspace(0.8, 1.2, 48, dtype=np.float32).reshape(6, 8)
    nothing = AdditiveDust(
        artifact=np.zeros((6, 8), np.float32),
        mask=np.zeros((6, 8), bool),
        background=np.ones((6, 8), np.float32),
        sensor_offset=100.0,
        images=9,
        noise=1.0,
    )
    page = written(
        tmp_path,
        [record_of("B2-1")],
        estimates={
            "DIC": Estimates(flat_field=flat, dust=flat, images=9, of=90),
            "DAPI": Estimates(additive_dust=nothing, images=8, of=80, notes=("no disks",)),
            "MAP2": Estimates(images=8, of=80),
        },
    )
    assert "What all images of DIC share: flat field and dust" in pictures(page)
    assert not any("DAPI" in picture for picture in pictures(page))
    text = text_of(page)
    assert "Dust that takes light: what is left of the median image" in text
    assert "Dust that adds light" not in text
    assert "From 9 of 90 images." in text
    assert '<p class="notice">No disks.</p>' in page
    assert "<h3>MAP2</h3>" not in page


def test_intensities_go_back_to_counts_as_the_report_says(tmp_path):
    record = record_of("B2-1")
    page = written(tmp_path, [record])
    rows = rows_of(page, ["Image", "Counts of a value"])
    assert [row[0] for row in rows] == ["DIC, plane 1", "DIC, plane 2", "DAPI"]
    done = [*record.normalization["DIC"], *record.normalization["DAPI"]]
    for row, normalization in zip(rows, done, strict=True):
        scale, sign, least = re.fullmatch(r"(\S+) x value ([+-]) (\S+)", row[1]).groups()
        said = float(scale) * 0.5 + float(sign + least)
        assert said == pytest.approx(float(to_raw(np.float32(0.5), normalization)), rel=1e-3)
    assert rows[0][1] == "8000 x value - 240"
    assert rows[2][-1] == "1.23%"


def test_what_is_said_of_a_field(tmp_path):
    record = record_of("B2-1", warnings=("tile c2 is missing",))
    anchored = dataclasses.replace(record.tiles[-1], anchored=True)
    record = dataclasses.replace(record, tiles=(*record.tiles[:-1], anchored))
    text = text_of(written(tmp_path, [record]))
    for said in (
        "Group B2. Split: train.",
        "Tile c2 is missing.",
        "40 x 170 pixels, 0.65 µm a pixel",
        "4 of 40 x 50 pixels; they cover 100.0%",
        "1, 2 of 0 to 3, 2 µm apart",
        "0.100, 0.400, 0.300, 0.200",
        "DIC 1, DAPI 3",
        "2 of 3",
        "median 0.40, at most 0.60 pixels",
        "Placed by the layout alone c3",
        "DAPI lies 1.2 pixels down and 3.5 left of transmitted light (confidence 0.90)",
        "Transmitted image that shows something 25.00%",
    ):
        assert said in text


def test_an_unknown_shift_is_called_so(tmp_path):
    record = record_of("B2-1", registration={"DAPI": Shift(y=9.0, x=9.0, confidence=0.1)})
    assert "DAPI lies not known" in text_of(written(tmp_path, [record]))


def test_settings_stand_there_without_the_folders_of_a_machine(tmp_path):
    layout = CONFIG.layout.model_copy(update={"root": "/home/somebody/plate7"})
    page = written(
        tmp_path,
        [record_of("B2-1", warnings=("/home/somebody/plate7/a.tif: no pixel size",))],
        config=CONFIG.model_copy(update={"layout": layout, "stages": ("flat_field",)}),
        failed=[
            ("C1", "/home/somebody/plate7/C1/b.tif: cannot be read ('/home/somebody/x/c.nd2')")
        ],
    )
    text = text_of(page)
    assert "somebody" not in page
    assert "b.tif: cannot be read ('c.nd2')" in text
    assert "A.tif: no pixel size." in text
    assert 'root = "plate7"' in text
    assert 'transmitted = "DIC"' in text
    assert "salt and pepper, additive dust, downscale, multiplicative dust, stitching" in text


def test_names_are_shown_not_obeyed(tmp_path):
    page = written(tmp_path, [record_of("B2<b>&1")])
    assert "<b>" not in page
    assert "B2&lt;b&gt;&amp;1" in page


def test_one_decision_a_record(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        written(tmp_path, [record_of("B2-1")], decisions=[])


def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "plate7").write_text("a file")
    with pytest.raises(InputError, match=r"report\.html cannot be written"):
        written(tmp_path, [record_of("B2-1")])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "2 x 2 pixels became one, and a pixel is 2 times as wide. Unless told otherwise,"),
        ({"downscale": 3}, "3 x 3 pixels became one"),
        ({"downscale": 1}, "every pixel of the images"),
        ({"stages": ["normalization"]}, "every pixel of the images"),
    ],
)
def test_it_says_how_coarse_results_are(given, line):
    tables = {"transmitted": "phase", "layout": {"pattern": "{well}_{channel}.tif"}}
    assert line in resolution_of(parse({**tables, **given}, PreprocessConfig, source="test"))
