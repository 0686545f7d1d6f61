"""Inputs that must not change while they are read."""

import os

import pytest

from isl.errors import InputError
from isl.imaging.inputs import steady
from isl.imaging.inputs.steady import SteadyInput, content_hash


def test_a_file_that_stays_has_its_hash(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    seen = SteadyInput(path)
    before = seen.sha256()
    assert before == content_hash(path)
    path.write_bytes(b"PIXELS!")
    assert SteadyInput(path).sha256() == content_hash(path) != before


@pytest.mark.parametrize("change", ["longer", "later", "gone"])
def test_a_file_that_changes_is_refused(tmp_path, change):
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    seen = SteadyInput(path)
    if change == "longer":
        path.write_bytes(b"pixels and more")
    elif change == "later":
        os.utime(path, ns=(0, 1))
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"a\.tif: (changed while it was read|cannot be read)"):
        seen.sha256()


def test_a_folder_to_which_a_plane_is_added_is_refused(tmp_path):
    (tmp_path / "field").mkdir()
    (tmp_path / "field" / "z0.png").write_bytes(b"plane")
    seen = SteadyInput(tmp_path / "field")
    assert seen.sha256() == content_hash(tmp_path / "field")
    (tmp_path / "field" / "z1.png").write_bytes(b"plane")
    with pytest.raises(InputError, match="field: changed while it was read"):
        seen.sha256()


def test_a_file_of_several_images_is_hashed_once(tmp_path, monkeypatch):
    path = tmp_path / "mice.lif"
    path.write_bytes(b"several images")
    hashed = []

    def counted(stored):
        hashed.append(stored)
        return content_hash(stored)

    monkeypatch.setattr(steady, "content_hash", counted)
    first = SteadyInput(path / "A").sha256()
    assert SteadyInput(path / "B").sha256() == first
    assert hashed == [path]


def test_a_folders_hash_is_of_content_and_names(tmp_path):
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        for name in ("t00.png", "t01.png"):
            (tmp_path / side / name).write_bytes(name.encode())
    assert content_hash(tmp_path / "left") == content_hash(tmp_path / "right")
    (tmp_path / "right" / "t00.png").rename(tmp_path / "right" / "t99.png")
    assert content_hash(tmp_path / "left") != content_hash(tmp_path / "right")
