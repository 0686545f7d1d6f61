import base64
import html.parser
import io

import numpy as np
import pytest
from PIL import Image

from isl.report import (
    NOTHING,
    Badge,
    Link,
    beside,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    notices,
    page,
    paragraph,
    records,
    section,
    table,
    verbatim,
    zoomable,
)
from isl.report.pictures import font, pixels, png_of, shortened
from isl.report.plots import panels, png
from isl.report.words import (
    counted,
    number,
    p_value,
    percent,
    plus_minus,
    sentence,
    unbroken,
    with_bounds,
)

VOID = {"meta", "img", "br"}


class Outline(html.parser.HTMLParser):
    """Every element with its attributes; complains of elements that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def tiny():
    buffer = io.BytesIO()
    Image.new("L", (3, 2), 77).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def everything(tiny):
    return page(
        "A < B",
        [
            notice("Mind <this>."),
            heading("Part & parcel", anchor="E 1/ü"),
            paragraph("See ", Link("part", "E 1/ü"), ", it is ", Badge("fine", "good")),
            table(("name", "value"), [("a", 1.5), ("b", None)], caption="Figures"),
            figure(tiny, alt='"quoted"', caption="a picture", wide=True),
            beside([figure(tiny, alt="left"), figure(tiny, alt="right")], columns=2),
            folded("more", [facts({"k": "v"}), bullets(["one", Link("two", "E 1/ü")])]),
            verbatim("# card\n<b>not bold</b>"),
        ],
        footer="made by a test",
    )


def test_a_page_is_well_formed_and_needs_nothing_from_elsewhere(everything):
    outline = Outline(everything)
    assert everything.startswith("<!doctype html>")
    assert outline.all("script") == outline.all("link") == outline.all("iframe") == []
    for _, attributes in outline.elements:
        for name in ("src", "href"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/png;base64,", "#"))
    assert "@import" not in everything
    assert "url(" not in everything
    assert "http" not in everything


def test_it_fits_a_phone_and_paper(everything):
    outline = Outline(everything)
    viewport = next(meta for meta in outline.all("meta") if meta.get("name") == "viewport")
    assert "width=device-width" in viewport["content"]
    assert "@media print" in everything
    assert "@media (max-width" in everything


def test_texts_are_shown_and_never_obeyed(everything):
    outline = Outline(everything)
    assert outline.all("this") == outline.all("b") == []
    texts = "".join(outline.texts)
    for text in ("A < B", "Mind <this>.", "Part & parcel", "<b>not bold</b>", "made by a test"):
        assert text in texts


def test_links_lead_to_their_headings(everything):
    outline = Outline(everything)
    anchors = [attributes["id"] for attributes in outline.all("h2")]
    assert len(anchors) == 1
    assert {link["href"] for link in outline.all("a")} == {f"#{anchors[0]}"}


def test_pictures_are_inside(everything, tiny):
    picture = Outline(everything).all("img")[0]
    assert base64.b64decode(picture["src"].partition(",")[2]) == tiny
    assert picture["alt"] == '"quoted"'


def test_figures_stand_side_by_side_in_order(everything):
    outline = Outline(everything)
    assert [box["class"] for box in outline.all("div")].count("beside of2") == 1
    assert [picture["alt"] for picture in outline.all("img")[1:]] == ["left", "right"]


def test_columns_of_numbers_are_aligned():
    outline = Outline(page("t", [table(("a", "b", "c"), [("x", 1, "12 %"), ("y", None, "3.5")])]))
    assert [cell.get("class") for cell in outline.all("td")[:3]] == [None, "number", "number"]
    assert [cell.get("class") for cell in outline.all("th")] == [None, "number", "number"]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table(("a", "b"), [("x",)])
    with pytest.raises(ValueError, match="a figure is a PNG"):
        figure(b"GIF89a", alt="")
    with pytest.raises(ValueError, match="level 2 to 4"):
        heading("x", level=1)


def test_what_holds_nothing_is_left_out():
    nothing = [
        section("title", [NOTHING, bullets([])], about="why"),
        folded("more", [paragraph()]),
        beside([], columns=2),
        records([], {"a": str}),
        notices([]),
        notice(""),
    ]
    assert nothing == [NOTHING] * len(nothing)
    assert page("t", nothing) == page("t", [])


def test_a_section_is_its_heading_and_its_blocks():
    made = section("Title", [NOTHING, verbatim("x")], level=3, anchor="here", about="Why.")
    assert made == "\n".join(
        [heading("Title", level=3, anchor="here"), paragraph("Why."), verbatim("x")]
    )


def test_records_give_a_row_for_each_item():
    expected = table(("n", "n", "word"), [(1, 1, "one"), (2, 4, "two")], caption="c")
    columns = (("n", lambda x: x[0]), ("n", lambda x: x[0] ** 2), ("word", lambda x: x[1]))
    items = [(1, "one"), (2, "two")]
    assert records(iter(items), columns, caption="c") == expected
    named = records(items, {"n": lambda x: x[0], "word": lambda x: x[1]})
    assert named == table(("n", "word"), items)


def test_numbers_are_written_alike():
    assert [number(0.8125), number(None), number(None, undefined="none")] == ["0.812", "", "none"]
    assert percent(0.125, 1) == unbroken("12.5 %")
    assert plus_minus(1.5, 0.25) == unbroken("1.50 ± 0.25")
    assert plus_minus(1.5, None) == "1.50"
    assert with_bounds(0.5, 0.25, 0.75, 2) == f"0.50 {unbroken('(0.25 to 0.75)')}"
    assert with_bounds(0.5, -0.25, None, 2, signed=True) == "+0.50"
    assert with_bounds(None, 0, 1, undefined="undefined") == "undefined"
    assert [p_value(0.03123), p_value(1e-9), p_value(None)] == ["0.0312", "< 0.0001", ""]
    assert [counted(1, "field"), counted(0, "field")] == ["1 field", "0 fields"]
    assert sentence("it is so.") == "It is so."


def test_plots_become_pngs_of_their_size():
    drawn, axes = panels(3, columns=2, width=2, height=1, more=0.5)
    axes[2].plot([0, 1], [0, 1])
    for colors, mode in ((None, "RGB"), (256, "P")):
        picture = Image.open(io.BytesIO(png(drawn, colors=colors)))
        assert (picture.size, picture.mode) == ((440, 275), mode)


def test_images_are_shown_pixel_by_pixel():
    rng = np.random.default_rng(0)
    for shape in ((4, 5), (4, 5, 3)):
        image = rng.integers(0, 256, shape, np.uint8)
        assert np.array_equal(Image.open(io.BytesIO(pixels(image))), image)
    assert Image.open(io.BytesIO(png_of(Image.new("RGB", (4, 4)), colors=16))).mode == "P"


def test_long_names_are_shortened():
    letters = font(14)
    assert shortened("a  b", 100, letters) == "a b"
    cut = shortened("a long name that fits nowhere", 100, letters)
    assert cut.endswith("...")
    assert letters.getlength(cut) <= 100


def test_only_pages_with_pictures_to_magnify_have_a_script():
    picture = figure(pixels(np.zeros((2, 3), np.uint8)), alt="a")
    assert "<script" not in page("title", [beside([picture], columns=2)])
    assert zoomable([], columns=4) == NOTHING
    zoomed = page("title", [zoomable([picture, picture], columns=4)] * 2)
    assert zoomed.count("<script>") == 1
    assert zoomed.count('<div class="zoom">') == 2
    assert "http" not in zoomed
    # A person's text cannot bring it in.
    assert "<script" not in page("title", [paragraph('<div class="zoom">')])
