"""What the napari plugin does, without napari: layers, progress, cancelling, its manifest."""

import importlib
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import isl.napari
from isl.errors import InputError
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage, PixelSize
from isl.napari import samples
from isl.napari.jobs import OpenImage, Progress, Result, Stopped, commanding, predicting
from isl.napari.layers import image_layers, laid_over
from isl.napari.reader import read, reader_of

MANIFEST = Path(isl.napari.__file__).parent / "napari.yaml"
SIZE = PixelSize(y=0.3, x=0.3, z=1.0)


def open_image(size=(40, 50), planes=13):
    data = np.random.default_rng(0).integers(0, 60_000, (planes, *size), dtype=np.uint16)
    return OpenImage(name="field", data=data, pixel_size=SIZE, modality="PHASE_CONTRAST")


def test_every_command_of_the_manifest_is_there_and_every_use_names_one():
    text = MANIFEST.read_text()
    identifiers = re.findall(r"- id: (\S+)", text)
    names = re.findall(r"python_name: (\S+)", text)
    assert len(identifiers) == len(names) > 0
    for name in names:
        module, function = name.split(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert set(re.findall(r"command: (\S+)", text)) == set(identifiers)


def test_predicting_gives_a_layer_a_label_with_its_uncertainty_hidden_beside():
    *told, result = predicting(open_image(), threading.Event(), model="phantom", axes="ZYX")
    assert isinstance(result, Result)
    assert [each for each in told if isinstance(each, Progress) and each.total][-1].done == 1
    ours = isl.load_model("phantom").predict(
        open_image().data, axes="ZYX", pixel_size=0.3, z_step=1.0, statistics=("median",)
    )
    names = [attributes["name"] for _, attributes, _ in result.layers]
    assert names == [
        "NUCLEI median",
        "MEMBRANE median",
        "NUCLEI standard_deviation",
        "MEMBRANE standard_deviation",
    ]
    assert [attributes["visible"] for _, attributes, _ in result.layers] == [True] * 2 + [False] * 2
    for index, (data, attributes, kind) in enumerate(result.layers[:2]):
        assert kind == "image"
        assert attributes["scale"] == (0.3, 0.3)
        np.testing.assert_allclose(data, ours.statistics["median"][index], atol=1e-6)


def test_cancelling_gives_nothing():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        list(predicting(open_image(), stop, model="phantom", axes="ZYX"))


@pytest.mark.parametrize(
    ("image", "axes", "said"),
    [
        (open_image(planes=5), "ZYX", "5 planes"),
        (open_image(), "YX", "has 3 dimensions, which YX does not name"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(image, axes, said):
    with pytest.raises(InputError, match=said):
        list(predicting(image, threading.Event(), model="phantom", axes=axes))


def test_a_command_that_refuses_says_why_by_the_layers_name():
    flat = OpenImage(name="my frames", data=np.zeros((20, 20), np.uint8))
    with pytest.raises(InputError, match="layer 'my frames'"):
        list(commanding("polarity", flat, threading.Event(), axes="YX"))


def test_a_command_can_be_cancelled():
    stop = threading.Event()
    job = commanding("polarity", open_image(), stop, axes="TYX")
    next(job)
    stop.set()
    with pytest.raises(Stopped):
        list(job)


def written(folder, made_by, name, dtype=np.float32):
    channels = np.random.default_rng(0).random((2, 8, 9)).astype(np.float32)
    if dtype != np.float32:
        channels = (channels[:1] * 5).astype(dtype)
    labels = ("NUCLEI", "MEMBRANE")[: len(channels)]
    image = FluorescenceImage(
        name="a", channels=channels, labels=labels, pixel_size=PixelSize(y=0.5, x=0.5)
    )
    write_ome_tiff(folder / name, image)
    (folder / "a.json").write_text(json.dumps({"made_by": made_by}))
    return str(folder / name)


def test_predictions_are_opened_as_coloured_channels(tmp_path):
    path = written(tmp_path, "isl predict", "a.entropy.ome.tif")
    layers = reader_of(path)(path)
    assert [attributes["name"] for _, attributes, _ in layers] == [
        "NUCLEI entropy",
        "MEMBRANE entropy",
    ]
    assert layers[0][1]["scale"] == (0.5, 0.5)


def test_a_label_that_a_files_name_says_is_not_said_twice(tmp_path):
    """What a recording's EZRIN is unsure of is hidden at first, as every uncertainty."""
    for ending, name, visible in (
        ("nuclei", "NUCLEI", True),
        ("nuclei.standard_deviation", "NUCLEI standard_deviation", False),
    ):
        path = written(tmp_path, "isl polarity", f"a.{ending}.ome.tif")
        _, attributes, _ = read(path)[0]
        assert (attributes["name"], attributes["visible"]) == (name, visible)


def test_colonies_and_masks_are_opened_as_regions(tmp_path):
    path = written(tmp_path, "isl colony", "a.ome.tif", np.uint16)
    made = [{"colony": 3, "class": "dense"}, {"colony": 4, "class": "cannot tell"}]
    record = {"made_by": "isl colony", "classes": ["spread", "dense"], "colonies": made}
    (tmp_path / "a.json").write_text(json.dumps(record))
    ((data, attributes, kind),) = read(path)
    assert (kind, attributes["name"], data.shape) == ("labels", "a colonies", (8, 9))
    assert attributes["features"] == {"index": [3, 4], "class": ["dense", "cannot tell"]}
    assert attributes["colormap"] == {None: "transparent", 3: "#56B4E9", 4: "#BBBBBB"}
    (tmp_path / "a.json").write_text(json.dumps({"made_by": "isl fragmentation"}))
    ((_, attributes, _),) = read(path)
    assert attributes["name"] == "a fragments"
    assert attributes["features"]["class"] == ["embryo", "fragment"]


class Layer:
    """As much of napari's as says where an image lies."""

    ndim = 3
    scale, translate, units = (2.0, 0.5, 0.4), (1.0, 3.0, 4.0), ("second", "pixel", "pixel")


def test_results_lie_on_the_image_that_they_are_of():
    """A pixel size typed into the panel moves nothing."""
    typed = {"name": "a", "scale": (1.6, 1.6), "units": ("micrometer",) * 2}
    data = np.zeros((8, 9))
    _, flat, kind = laid_over(Layer, (data, typed, "labels"))
    assert (kind, flat["name"]) == ("labels", "a")
    assert flat["scale"] == (0.5, 0.4)
    assert flat["translate"] == (3.0, 4.0)
    assert flat["units"] == ("pixel", "pixel")
    _, movie, _ = laid_over(Layer, (np.zeros((5, 8, 9)), typed, "labels"))
    assert (movie["scale"], movie["units"]) == (Layer.scale, Layer.units)
    _, other, _ = laid_over(Layer, (np.zeros((2, 5, 8, 9)), typed, "labels"))
    assert other == typed


def test_what_isl_did_not_write_is_left_to_others(tmp_path):
    path = written(tmp_path, "another program", "a.ome.tif")
    assert reader_of(path) is None
    assert reader_of(str(tmp_path / "b.png")) is None
    with pytest.raises(InputError, match="no record of isl"):
        read(path)


def test_a_movie_keeps_its_times_beside_its_pixel_size():
    channels = np.zeros((3, 1, 8, 9), np.float32)
    image = FluorescenceImage(name="a", channels=channels, labels=("EZRIN",), pixel_size=SIZE)
    ((data, attributes, _),) = image_layers(image)
    assert data.shape == (3, 8, 9)
    assert attributes["scale"] == (1.0, 0.3, 0.3)


def test_samples_are_pictures():
    (data, attributes, _), *truth = samples.cells()
    assert data.shape == (13, 256, 256)
    assert attributes["scale"] == (1.0, 0.3, 0.3)
    assert [each["visible"] for _, each, _ in truth] == [False, False]
    ((frame, _, kind),) = samples.embryo()
    assert kind == "image"
    assert frame.std() > 5


def test_the_plugin_without_napari_says_what_to_install(monkeypatch):
    import sys

    from isl.napari.widgets import predict_widget

    monkeypatch.setitem(sys.modules, "magicgui", None)
    monkeypatch.setitem(sys.modules, "magicgui.widgets", None)
    with pytest.raises(InputError, match=r"pip install 'isl\[napari\]'"):
        predict_widget()
