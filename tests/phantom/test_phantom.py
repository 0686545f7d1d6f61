import numpy as np
import pytest

from isl.config import parse
from isl.errors import InputError
from isl.phantom import LABELS, PhantomConfig, make_phantom
from isl.phantom.optics import MODALITIES

SMALL = {"height": 64, "width": 72, "planes": 3}


def config(**changes):
    return PhantomConfig(**(SMALL | changes))


def same(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in [(one[0].planes, other[0].planes), (one[1].channels, other[1].channels)]
    )


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_phantom_looks_like_published_data(modality):
    stack, labels = make_phantom(config(modality=modality), 3, name="A1")
    assert stack.name == labels.name == "A1"
    assert stack.modality == modality
    assert stack.planes.shape == (3, 64, 72)
    assert stack.planes.dtype == np.uint16
    assert np.abs(stack.planes.mean(axis=(1, 2)) / 65535 - 0.5).max() < 0.02
    assert np.abs(stack.planes.std(axis=(1, 2)) / 65535 - 0.125).max() < 0.02
    assert labels.labels == LABELS == ("NUCLEI", "MEMBRANE")
    assert labels.channels.shape == (2, 64, 72)
    assert labels.channels.dtype == np.uint16
    assert labels.measured is None
    assert stack.pixel_size is not None
    assert (stack.pixel_size.y, stack.pixel_size.x, stack.pixel_size.z) == (0.3, 0.3, 1.0)
    assert labels.pixel_size is not None
    assert (labels.pixel_size.x, labels.pixel_size.z) == (0.3, None)


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_drawn():
    first = make_phantom(config(), 7)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert same(make_phantom(config(), 7), first)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert same(make_phantom(config(), np.random.default_rng(7)), first)


def test_other_seeds_give_other_phantoms():
    rng = np.random.default_rng(7)
    made = [make_phantom(config(), seed) for seed in (rng, rng, 8)]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert not np.array_equal(made[i][0].planes, made[j][0].planes)
        assert not np.array_equal(made[i][1].channels, made[j][1].channels)


def test_the_culture_does_not_depend_on_how_it_is_looked_at():
    _, truth = make_phantom(config(), 5)
    for change in ({"modality": "DIC"}, {"planes": 5}, {"z_step": 0.5}, {"photons": 50}):
        stack, labels = make_phantom(config(**change), 5)
        np.testing.assert_array_equal(labels.channels, truth.channels)
        assert stack.planes.std() > 0


def test_planes_differ_by_their_focus():
    stack, _ = make_phantom(config(planes=2, z_step=8.0, photons=1e9), 5)
    assert np.corrcoef(stack.planes[0].ravel(), stack.planes[1].ravel())[0, 1] < 0.95


@pytest.mark.parametrize(
    "size", [{"height": 16, "width": 17}, {"height": 63, "width": 41}, {"planes": 1}]
)
def test_sizes_of_any_kind(size):
    wanted = config(**size)
    stack, labels = make_phantom(wanted, 1)
    assert stack.planes.shape == (wanted.planes, wanted.height, wanted.width)
    assert labels.channels.shape == (2, wanted.height, wanted.width)


def test_a_bare_field_shows_light_and_no_fluorescence():
    stack, labels = make_phantom(config(cells=0, neurites=0, debris=0), 1)
    assert stack.planes.std() > 0
    assert np.ptp(labels.channels) == 0


def test_debris_is_seen_by_transmitted_light_only():
    bare = {"cells": 0, "neurites": 0, "photons": 1e9, "unevenness": 0}
    stack, labels = make_phantom(config(**bare, debris=20000), 1)
    assert np.ptp(stack.planes) > 20000
    assert np.ptp(labels.channels) == 0


def test_a_section_hides_cells_that_the_maximum_shows():
    _, section = make_phantom(config(), 2)
    _, maximum = make_phantom(config(projection="MAXIMUM"), 2)
    assert (maximum.channels.mean(axis=(1, 2)) > 1.2 * section.channels.mean(axis=(1, 2))).all()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"hight": 64}, "unknown key 'hight'; did you mean 'height'"),
        ({"modality": "FLUORESCENCE"}, "modality"),
        ({"planes": 0}, "planes: .*greater than or equal to 1"),
        ({"pixel_size": float("nan")}, "pixel_size"),
        ({"z_step": float("inf")}, "z_step"),
    ],
)
def test_what_cannot_be_simulated_is_refused(tables, complaint):
    with pytest.raises(InputError, match=complaint):
        parse(tables, PhantomConfig, source="phantom.toml")
