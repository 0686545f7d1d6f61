"""What folders and disks do to inputs: names, links, results among inputs, no space, no rights."""

import contextlib
import json
import resource
from pathlib import Path

import numpy as np
import pytest
import tifffile

from isl.cli import main
from isl.errors import InputError
from isl.files.locks import alone_in
from isl.files.provenance import results_in
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage
from isl.imaging.inputs.frames import frames_in
from isl.imaging.inputs.read import find_inputs, read_transmitted

PLANE = np.random.default_rng(0).integers(0, 60_000, (24, 20)).astype(np.uint16)


def put(path, plane=PLANE):
    tifffile.imwrite(path, plane, photometric="minisblack", metadata={"axes": "YX"})
    return path


@pytest.mark.parametrize(
    "name", ["a b.tif", "Zelle µm 日本 é.tif", "-dash.tif", "--out.tif", "#x?[1]*.tif", "a%20b.tif"]
)
def test_names_of_every_kind_are_read(tmp_path, monkeypatch, capsys, name):
    path = put(tmp_path / name)
    assert [found for _, found in find_inputs([tmp_path])] == [path]
    np.testing.assert_array_equal(read_transmitted(path).planes[0], PLANE)
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "--", name]) == 0
    assert "1 T x 1 C x 1 Z x 24 Y x 20 X" in capsys.readouterr().out


@pytest.mark.parametrize(("one", "other"), [("a1", "A1"), ("é", "e\u0301"), ("maß", "MASS")])
def test_names_that_are_one_on_other_disks_are_refused(tmp_path, one, other):
    put(tmp_path / f"{one}.tif")
    put(tmp_path / f"{other}.tif")
    with pytest.raises(InputError, match=r"but for capitals or accents.*rename one"):
        find_inputs([tmp_path])


def test_links_are_followed_and_cycles_end(tmp_path):
    real = put(tmp_path / "real.tif")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked.tif").symlink_to(real)
    (tmp_path / "set" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [name for name, _ in find_inputs([tmp_path / "set"])] == ["linked"]
    np.testing.assert_array_equal(read_transmitted(tmp_path / "set/linked.tif").planes[0], PLANE)
    for target in ("loop.tif", "gone.tif"):
        (tmp_path / "loop.tif").unlink(missing_ok=True)
        (tmp_path / "loop.tif").symlink_to(tmp_path / target)
        with pytest.raises(InputError, match=r"loop\.tif"):
            read_transmitted(tmp_path / "loop.tif")


def test_results_among_inputs_are_no_inputs(tmp_path, caplog):
    for name in ("a.tif", "b.tif", "a.ome.tif", "a.preview.png", "b.mean.ome.tif"):
        put(tmp_path / name)
    record = {
        "made_by": "isl predict",
        "outputs": {"images": {"median": "a.ome.tif"}, "preview": "a.preview.png"},
    }
    (tmp_path / "a.json").write_text(json.dumps(record))
    listed = {"made_by": "isl polarity", "outputs": ["b.mean.ome.tif"]}
    (tmp_path / "b.json").write_text(json.dumps(listed))
    # Records of other programs say nothing about what isl wrote.
    for name, text in (("c.json", '{"outputs": ["a.tif"]}'), ("d.json", "[1"), ("e.json", "[1]")):
        (tmp_path / name).write_text(text)
    assert results_in(tmp_path) == {"a.ome.tif", "a.preview.png", "b.mean.ome.tif"}
    assert [path.name for _, path in find_inputs([tmp_path])] == ["a.tif", "b.tif"]
    assert "3 results of isl are left out, such as a.ome.tif" in caplog.text
    assert [path.name for path in frames_in(tmp_path)] == ["a.tif", "b.tif"]


def test_a_place_that_cannot_be_written_is_named():
    with (
        pytest.raises(InputError, match="/proc/isl: results cannot be written there"),
        alone_in(Path("/proc/isl"), "isl predict"),
    ):
        pytest.fail("it was held")


def test_read_only_inputs_are_read(tmp_path):
    path = put(tmp_path / "a.tif")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        np.testing.assert_array_equal(read_transmitted(path).planes[0], PLANE)
    finally:
        tmp_path.chmod(0o755)


@contextlib.contextmanager
def room_for(size):
    """No file may be larger than so many bytes: what a full disk does, without mounting one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_left_as_it_was(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65535, (1, 400, 400)).astype(np.uint16)
    image = FluorescenceImage(name="big", channels=pixels, labels=("DAPI",))
    with room_for(2**16), pytest.raises(InputError, match=r"big\.ome\.tif.*(large|written)"):
        write_ome_tiff(tmp_path / "big.ome.tif", image)
    assert list(tmp_path.iterdir()) == []
