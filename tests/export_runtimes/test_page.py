"""The page that predicts in a browser, opened from a folder in headless Chromium."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from playwright import sync_api

import isl
from isl.export.formats import write_export
from isl.export.program import Wanted, program_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE_MODULES = Path(os.environ.get("ISL_NODE_MODULES", "node_modules"))
SIZE = (43, 58)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "web"
    program = program_of("phantom", Wanted(statistics=("mean",)))
    write_export(program, out, "web", node_modules=NODE_MODULES)
    return out


@pytest.fixture(scope="module")
def page(folder):
    with sync_api.sync_playwright() as runs:
        browser = runs.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1100, "height": 800})
        opened.goto((folder / "index.html").as_uri())
        yield opened
        browser.close()


def said_of(page, *files):
    """What the page says of files once it is done with them."""
    page.evaluate("document.querySelector('#said').textContent = ''")
    page.set_input_files("#files", [str(file) for file in files])
    done = "/ in [0-9.]+ s$/.test(said.textContent) || said.classList.contains('wrong')"
    page.wait_for_function(
        f"(() => {{ const said = document.querySelector('#said'); return {done} }})()"
    )
    return page.text_content("#said")


def stack_of(dtype):
    values = np.random.default_rng(0).random((13, *SIZE))
    return values.astype(dtype) if dtype == np.float32 else (
        values * np.iinfo(dtype).max
    ).astype(dtype)  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (np.uint8, {}),
        (np.uint16, {"compression": "zlib"}),
        (np.uint16, {"byteorder": ">"}),
        (np.float32, {}),
    ],
)
def test_a_tiff_is_predicted_as_isl_predicts_it(page, tmp_path, dtype, options):
    stack = stack_of(dtype)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack", **options)
    assert "stack.tif: 58 x 43 pixels, 13 planes" in said_of(page, tmp_path / "stack.tif")
    found = np.array(page.evaluate("Array.from(window.results.mean)")).reshape(2, *SIZE)
    ours = isl.load_model("phantom").predict(stack, axes="ZYX", statistics=("mean",)).statistics
    np.testing.assert_allclose(found, ours["mean"], atol=1e-4)
    shown = page.screenshot(path=tmp_path / "page.png")
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 10
    assert shown
    assert page.locator("canvas").count() == 3


def test_pngs_are_planes_in_the_order_of_their_numbers(page, tmp_path):
    stack = stack_of(np.uint8)
    paths = [tmp_path / f"plane{z}.png" for z in range(13)]
    for path, plane in zip(paths, stack, strict=True):
        Image.fromarray(plane).save(path)
    said_of(page, *reversed(paths))
    found = np.array(page.evaluate("Array.from(window.results.mean)")).reshape(2, *SIZE)
    ours = isl.load_model("phantom").predict(stack, axes="ZYX", statistics=("mean",)).statistics
    np.testing.assert_allclose(found, ours["mean"], atol=1e-4)


def test_what_does_not_fit_is_said_and_shows_nothing(page, tmp_path):
    tifffile.imwrite(tmp_path / "few.tif", stack_of(np.uint8)[:3], photometric="minisblack")
    assert said_of(page, tmp_path / "few.tif") == "few.tif: 3 planes; this model expects 13"
    assert page.locator("canvas").count() == 0
    flat = np.full((13, *SIZE), 7, np.uint8)
    tifffile.imwrite(tmp_path / "flat.tif", flat, photometric="minisblack")
    assert "plane 0 is constant" in said_of(page, tmp_path / "flat.tif")
    (tmp_path / "notes.txt").write_text("no image")
    assert "is neither a TIFF nor a PNG" in said_of(page, tmp_path / "notes.txt")
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    assert "broken.tif" in said_of(page, tmp_path / "broken.tif")


def test_the_page_asks_no_machine_for_anything(folder, page):
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
