"""Pictures of a report are magnified and moved together, in headless Chromium."""

import shutil

import numpy as np
import pytest
from playwright import sync_api

from isl.report import figure, page, zoomable
from isl.report.pictures import pixels

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two groups of pictures of 100 x 100 pixels."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    image = np.random.default_rng(0).integers(0, 255, (100, 100), np.uint8)
    picture = figure(pixels(image), alt="noise", caption="noise")
    groups = [zoomable([picture] * 4, columns=4), zoomable([picture] * 2, columns=4)]
    path.write_text(page("pictures", groups), encoding="utf-8")
    return path


@pytest.fixture
def opened(report):
    with sync_api.sync_playwright() as runs:
        browser = runs.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 900})
        shown.goto(report.as_uri())
        yield shown
        browser.close()


def places(shown, group=0):
    """Of every picture of a group: how many times its frame it is wide, and where it is scrolled.

    Scrolling reaches the others with the next picture on the screen.
    """
    shown.wait_for_timeout(200)
    return shown.evaluate(
        """(group) => [...document.querySelectorAll(".zoom")[group].querySelectorAll(".scroll")]
            .map((frame) => [
              Math.round(frame.firstElementChild.clientWidth / frame.clientWidth),
              frame.scrollLeft, frame.scrollTop, frame.clientHeight,
            ])""",
        group,
    )


def test_a_group_is_magnified_about_the_place_that_was_clicked(opened):
    whole = places(opened)
    assert {tuple(place[:3]) for place in whole} == {(1, 0, 0)}
    frame = opened.locator(".zoom").first.locator(".scroll").nth(1)
    side = whole[1][3]
    frame.dblclick(position={"x": side / 4, "y": side / 2})
    # Twice as large, that place is still below the pointer.
    for scale, left, top, height in places(opened):
        assert scale == 2
        assert left == pytest.approx(side / 4, abs=2)
        assert top == pytest.approx(side / 2, abs=2)
        assert height == pytest.approx(side, abs=2)
    assert {tuple(place[:3]) for place in places(opened, 1)} == {(1, 0, 0)}
    opened.get_by_role("button", name="whole pictures").first.click()
    assert {tuple(place[:3]) for place in places(opened)} == {(1, 0, 0)}


def test_a_group_is_moved_together(opened):
    group = opened.locator(".zoom").first
    for _ in range(2):
        group.get_by_role("button", name="larger").click()
    before = places(opened)
    assert {place[0] for place in before} == {4}
    box = group.locator(".scroll").nth(2).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.mouse.move(x, y)
    opened.mouse.down()
    opened.mouse.move(x - 30, y - 50, steps=5)
    opened.mouse.up()
    for old, new in zip(before, places(opened), strict=True):
        assert new[1] - old[1] == pytest.approx(30, abs=2)
        assert new[2] - old[2] == pytest.approx(50, abs=2)
