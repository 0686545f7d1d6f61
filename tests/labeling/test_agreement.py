"""What is said of fields that differ, before anything is learned from them."""

import numpy as np
import pytest

from isl.errors import InputError
from isl.imaging.image import FluorescenceImage, PixelSize, ZStack
from isl.labeling.agreement import compare_fields
from isl.labeling.fields import LoadedField


def field(
    name="a",
    *,
    seed=None,
    split="train",
    size=0.3,
    z=1.0,
    modality="DIC",
    channel=None,
    planes=None,
    label=None,
    measured=True,
    exposure=None,
    light=None,
):
    rng = np.random.default_rng(sum(map(ord, name)) if seed is None else seed)
    if planes is None:
        planes = rng.integers(0, 60000, (3, 40, 48)).astype(np.uint16)
    if label is None:
        label = rng.integers(0, 65535, (40, 48)).astype(np.uint16)
    pixel_size = None if size is None else PixelSize(y=size, x=size, z=z)
    return LoadedField(
        name=name,
        group=name,
        split=split,
        transmitted=ZStack(
            name=name,
            planes=planes,
            pixel_size=pixel_size,
            modality=modality,
            channel=channel,
            exposure=light,
        ),
        labels=FluorescenceImage(
            name=name,
            channels=label[None],
            labels=("DAPI",),
            measured=np.full((1, *label.shape), measured),
            exposures=None if exposure is None else (exposure,),
        ),
    )


def said(*fields):
    return compare_fields(fields, "set.toml")


def test_fields_that_agree_need_no_word():
    assert said(field("a"), field("b"), field("c", split="validation")) == ()


def test_exposures_that_differ_are_told():
    assert said(field("a", exposure=100.0), field("b", exposure=105.0), field("c")) == ()
    (line,) = said(field("a", exposure=100.0), field("b", exposure=300.0))
    assert "label 'DAPI' was exposed 100 ms in 'a' and 300 ms in 'b'" in line
    (line,) = said(field("a", light=10.0), field("b", light=20.0))
    assert "transmitted light was exposed 10 ms in 'a' and 20 ms in 'b'" in line


def test_channels_of_other_names_are_told():
    assert said(field("a", channel="Phase"), field("b", channel="phase"), field("c")) == ()
    (line,) = said(field("a", channel="Phase"), field("b", channel="TL 2"))
    assert "channels of different names: 'Phase' in 'a', 'TL 2' in 'b'" in line


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"size": 0.4}, "pixel size is 0.3 um in 'a' and 0.4 um in 'b'"),
        ({"size": None}, "'b' does not say its pixel size, others do"),
        ({"z": 1.5}, "z step is 1 um in 'a' and 1.5 um in 'b'"),
        ({"modality": "BRIGHTFIELD"}, "differ in modality: DIC in 'a', BRIGHTFIELD in 'b'"),
        ({"modality": None}, "differ in modality: DIC in 'a', unknown in 'b'"),
        ({"split": "validation", "measured": False}, None),
        ({"measured": False}, None),
    ],
)
def test_what_differs_is_said(other, line):
    lines = said(field("a"), field("b", **other))
    if line is None:
        assert lines == ()
    else:
        assert line in lines[0]
        assert all(text.startswith("set.toml: ") for text in lines)


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"size": 1.3}, "pixel size is 0.3 um in 'a' and 1.3 um in 'b'; train on"),
        ({"z": 4.0}, "z step is 1 um in 'a' and 4 um in 'b'; .*state 'z_step'"),
    ],
)
def test_what_differs_twofold_is_refused(other, line):
    with pytest.raises(InputError, match=line):
        said(field("a"), field("b", **other))


def test_a_label_of_one_split_only_is_named():
    learned = field("a")
    judged = field("b", split="validation")
    for one, other, line in (
        (learned, judged, "label 'OTHER' is measured in validation only, so it is never learned"),
        (judged, learned, "label 'OTHER' is measured in training only, so nothing judges it"),
    ):
        both = tuple(_with_other(each, measured=each is other) for each in (one, other))
        assert any(line in text for text in said(*both))


def _with_other(loaded, measured):
    import dataclasses

    channels = np.concatenate([loaded.labels.channels, loaded.labels.channels])
    where = np.stack([np.ones((40, 48), bool), np.full((40, 48), measured)])
    labels = dataclasses.replace(
        loaded.labels, channels=channels, labels=("DAPI", "OTHER"), measured=where
    )
    return dataclasses.replace(loaded, labels=labels)


def test_few_levels_are_counted():
    dark = np.random.default_rng(1).integers(0, 4 * 257 + 1, (40, 48)).astype(np.uint16)
    (line,) = said(field("a", label=dark))
    assert "label 'DAPI' fills 5 of 256 bins" in line


def test_a_label_of_one_value_is_refused():
    with pytest.raises(InputError, match="label 'DAPI' has one value on all training ground"):
        said(field("a", label=np.full((40, 48), 500, np.uint16)))


def test_bit_depths_that_differ_are_said():
    bright = np.random.default_rng(1).integers(0, 65535, (40, 48)).astype(np.uint16)
    lines = said(field("a", label=bright), field("b", label=bright >> 4))
    assert len(lines) == 1
    assert "label 'DAPI' reaches 0.999 of full scale in field 'a', 0.0624 in 'b'" in lines[0]
    assert said(field("a", label=(bright >> 8).astype(np.uint8)), field("b", label=bright)) == ()


@pytest.mark.parametrize("same", [lambda p: p, lambda p: (p >> 8).astype(np.uint8)])
def test_one_picture_twice_is_found_by_its_content(same):
    planes = np.random.default_rng(2).integers(0, 60000, (3, 40, 48)).astype(np.uint16)
    twice = field("a", planes=planes), field("b", planes=same(planes))
    assert "'a' and 'b' are the same picture under two names" in said(*twice)[0]
    with pytest.raises(InputError, match="same picture, in train and validation; leave one out"):
        said(twice[0], field("b", planes=same(planes), split="validation"))


def test_shading_alone_makes_no_picture_the_same():
    shade = np.linspace(10000, 50000, 48)[None, None] + np.zeros((3, 40, 1))
    noisy = [
        (shade + np.random.default_rng(seed).normal(0, 1500, shade.shape)).astype(np.uint16)
        for seed in (0, 1)
    ]
    assert said(field("a", planes=noisy[0]), field("b", planes=noisy[1], split="validation")) == ()


def test_a_label_that_is_brighter_or_exposed_otherwise_in_validation_is_told():
    dark = np.random.default_rng(1).integers(0, 4000, (40, 48)).astype(np.uint16)
    (line,) = said(field("a"), field("b", split="validation", label=dark))
    assert "of full scale in field 'a', 0.061 in 'b'; do bit depth or exposure differ?" in line
    (line,) = said(field("a", exposure=10.0), field("b", split="validation", exposure=50.0))
    assert "label 'DAPI' was exposed 10 ms in 'a' and 50 ms in 'b'" in line


def test_one_label_image_of_two_pictures_is_told():
    """A file named twice pairs a picture with another's stain."""
    first = field("a")
    (line,) = said(first, field("b", label=first.labels.channels[0]))
    assert line.startswith("set.toml: 'a' and 'b' are different pictures with the same image of ")
    pale = np.full((40, 48), 500, np.uint16)
    assert not any("same image" in text for text in said(first, *_pair(pale)))


def _pair(label):
    return field("b", label=label), field("c", label=label)
