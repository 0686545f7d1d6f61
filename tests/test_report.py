import base64
import html.parser
import io

import pytest
from PIL import Image

from isl.report import (
    Badge,
    Link,
    beside,
    bullets,
    facts,
    figure,
    folded,
    heading,
    notice,
    page,
    paragraph,
    table,
    verbatim,
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
def png():
    buffer = io.BytesIO()
    Image.new("L", (3, 2), 77).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def everything(png):
    return page(
        "A < B",
        [
            notice("Mind <this>."),
            heading("Part & parcel", anchor="E 1/ü"),
            paragraph("See ", Link("part", "E 1/ü"), ", it is ", Badge("fine", "good")),
            table(("name", "value"), [("a", 1.5), ("b", None)], caption="Figures"),
            figure(png, alt='"quoted"', caption="a picture", wide=True),
            beside([figure(png, alt="left"), figure(png, alt="right")], columns=2),
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


def test_pictures_are_inside(everything, png):
    picture = Outline(everything).all("img")[0]
    assert base64.b64decode(picture["src"].partition(",")[2]) == png
    assert picture["alt"] == '"quoted"'


def test_figures_stand_side_by_side_in_order(everything):
    outline = Outline(everything)
    assert [box["class"] for box in outline.all("div")].count("beside of2") == 1
    assert [picture["alt"] for picture in outline.all("img")[1:]] == ["left", "right"]


def test_columns_of_numbers_are_aligned():
    outline = Outline(page("t", [table(("a", "b", "c"), [("x", 1, "12 %"), ("y", None, "3.5")])]))
    assert [cell.get("class") for cell in outline.all("td")[:3]] == [None, "number", "number"]
    assert [cell.get("class") for cell in outline.all("th")] == [None, "number", "number"]


def test_what_makes_no_sense_is_refused(png):
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table(("a", "b"), [("x",)])
    with pytest.raises(ValueError, match="a figure is a PNG"):
        figure(b"GIF89a", alt="")
    with pytest.raises(ValueError, match="level 2 to 4"):
        heading("x", level=1)
