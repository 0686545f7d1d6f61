"""The plugin in napari itself, on a screen that nobody sees."""

import time

import napari
import npe2
import numpy as np
import pytest

from isl.napari import widgets
from isl.phantom.cleavage.anatomy import make_embryo
from isl.phantom.cleavage.scene import make_scene, show
from isl.phantom.colonies.well import ColonyWellConfig, make_well


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=False)


def panel_of(viewer, title):
    _, widget = viewer.window.add_plugin_dock_widget("isl", title)
    return getattr(widget, "_magic_widget", widget).isl_panel


def finished(panel, seconds=240):
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while panel.worker is not None and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.05)
    assert panel.worker is None, panel.said.value


def test_the_manifest_is_valid_and_found():
    manifest = npe2.PluginManifest.from_distribution("isl")
    assert manifest.name == "isl"
    assert len(manifest.contributions.widgets) == 4


def test_a_sample_is_predicted_with_its_uncertainty_beside(viewer, tmp_path):
    viewer.open_sample("isl", "cells")
    cells = viewer.layers["cells"]
    cells.data = cells.data[:, :96, :96]
    panel = panel_of(viewer, "Predict fluorescence")
    panel.model.value, panel.layer.value = "phantom", cells
    assert widgets.pixel_size_of(cells).x == pytest.approx(0.3)
    panel.run()
    finished(panel)
    shown = viewer.layers["NUCLEI median"]
    assert np.allclose(shown.scale, 0.3)
    assert shown.visible
    assert not viewer.layers["NUCLEI standard_deviation"].visible
    picture = viewer.screenshot(path=str(tmp_path / "napari.png"), canvas_only=False, flash=False)
    assert picture[..., :3].std() > 10


def test_a_job_is_cancelled(viewer):
    viewer.add_image(np.random.default_rng(0).random((13, 200, 200), np.float32), name="noise")
    panel = panel_of(viewer, "Predict fluorescence")
    panel.model.value, panel.layer.value = "phantom", viewer.layers["noise"]
    panel.run()
    panel.cancel()
    finished(panel)
    assert panel.said.value == "cancelled"
    assert len(viewer.layers) == 1


def test_without_an_image_a_panel_says_so(viewer):
    panel = panel_of(viewer, "Onset of polarity")
    panel.run()
    assert "open an image first" in panel.said.value


def test_fragmentation_of_the_sample_gives_regions(viewer):
    viewer.open_sample("isl", "embryo")
    panel = panel_of(viewer, "Fragmentation of embryos")
    panel.layer.value = viewer.layers["embryo"]
    panel.run()
    finished(panel)
    assert isinstance(viewer.layers[-1], napari.layers.Labels), panel.said.value
    assert "fragments" in panel.said.value or "cannot tell" in panel.said.value


def test_colonies_of_a_well_are_outlined_and_classed(viewer):
    config = ColonyWellConfig(size=1200, pixel_size=1.6, colonies=8)
    well = make_well(config, np.random.default_rng(3))
    viewer.add_image(well.image, name="well")
    panel = panel_of(viewer, "Colonies and their classes")
    panel.layer.value, panel.pixel_size.value = viewer.layers["well"], config.pixel_size
    panel.run()
    finished(panel)
    found = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels)]
    assert found, panel.said.value
    numbers = np.unique(np.asarray(found[0].data))
    assert len(numbers) > 3
    assert "colonies" in panel.said.value
    # Typed into the panel, the pixel size is the model's, and the regions lie on the image.
    assert np.allclose(found[0].scale, viewer.layers["well"].scale)
    assert "class" in found[0].features


def test_an_embryos_time_lapse_gets_its_onset_and_ezrin(viewer):
    rng = np.random.default_rng(0)
    made = make_embryo(8, 0.0, rng)
    frame = show(made, make_scene(160, made, rng), rng)
    noise = rng.integers(0, 6, (6, *frame.shape))
    movie = np.clip(frame + noise, 0, 255).astype(np.uint8)
    viewer.add_image(movie, name="recording")
    panel = panel_of(viewer, "Onset of polarity")
    panel.layer.value, panel.pixel_size.value = viewer.layers["recording"], 0.25
    panel.fields["interval"].value = 20
    panel.run()
    finished(panel)
    # What a simulated embryo of another kind is called does not matter; that it is, and why, does.
    assert "polarized" in panel.said.value or "cannot tell" in panel.said.value
    ezrin = [layer for layer in viewer.layers if "ezrin" in layer.name.lower()]
    assert ezrin, [layer.name for layer in viewer.layers]
    assert ezrin[0].data.shape[0] == len(movie)
