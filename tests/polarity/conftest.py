"""Puts this folder's simulated recordings within reach of its tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ezrin_model(tmp_path_factory):
    from simulated_recordings import tiny_ezrin_model

    return tiny_ezrin_model(tmp_path_factory.mktemp("models") / "ezrin")


@pytest.fixture
def quick_ezrin(monkeypatch):
    """EZRIN costs nothing in this test: it is what `predict_quickly` says."""
    from simulated_recordings import predict_quickly

    monkeypatch.setattr("isl.polarity.assess.predict_field", predict_quickly)
