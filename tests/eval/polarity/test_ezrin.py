"""Figures of predicted EZRIN: what shows cells beats an outline and another time."""

import numpy as np
import pytest
from scipy import ndimage

from isl_eval.polarity.ezrin import FIGURES, SEEN, embryo_mask, ezrin_figures, filled

COUNT = 4


@pytest.fixture(scope="module")
def measured():
    """Embryos of four cells whose contacts turn from frame to frame, float [T, Y, X]."""
    y, x = np.mgrid[:128, :128] - 63.5
    frames = []
    for t in range(COUNT):
        angle = np.pi / 2 * t / COUNT
        along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        contacts = np.exp(-((along / 2.5) ** 2) / 2) + np.exp(-((across / 2.5) ** 2) / 2)
        disc = np.hypot(y, x) < 45
        frames.append(np.where(disc, 0.35 + 0.5 * np.clip(contacts, 0, 1), 0.02))
    return np.stack(frames)


def figure(found, seen, name):
    return found[:, SEEN.index(seen), list(FIGURES).index(name)]


def test_what_shows_the_contacts_beats_its_rivals_where_they_are(measured):
    rng = np.random.default_rng(0)
    noisy = ndimage.gaussian_filter(measured, (0, 1, 1)) + 0.02 * rng.normal(size=measured.shape)
    found = ezrin_figures(noisy, measured)
    assert found.shape == (COUNT, len(SEEN), len(FIGURES))
    assert figure(found, "filled outline", "frame").min() > 0.85
    for name in ("inside", "detail", "fine", "borders"):
        for rival in SEEN[1:]:
            lead = figure(found, "prediction", name) - figure(found, rival, name)
            assert lead.min() > 0.1, (name, rival)


def test_an_outline_is_no_more_than_an_outline(measured):
    outline = np.stack([filled(embryo_mask(frame)) for frame in measured])
    found = ezrin_figures(outline, measured)
    for name in FIGURES:
        np.testing.assert_allclose(
            figure(found, "prediction", name), figure(found, "measured outline", name), atol=1e-6
        )


def test_a_shifted_prediction_is_compared_with_its_own_outline(measured):
    """So what it gets wrong about the place of the embryo is no lead of the outline's."""
    found = ezrin_figures(np.roll(measured, 6, axis=2), measured)
    own, true = (figure(found, name, "frame") for name in ("filled outline", "measured outline"))
    assert (own < true).all()


def test_a_flat_prediction_is_undefined(measured):
    found = ezrin_figures(np.full_like(measured, 0.3), measured)
    assert np.isnan(figure(found, "prediction", "inside")).all()
    assert (figure(found, "prediction", "borders") == 0).all()


def test_the_mask_is_the_embryo(measured):
    y, x = np.mgrid[:128, :128] - 63.5
    mask = embryo_mask(measured[0])
    disc = np.hypot(y, x) < 45
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9
