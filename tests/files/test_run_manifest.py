"""A folder's runs: one at a time, written down, and gone on with as they were begun."""

import json
import os
import signal
import subprocess
import sys

import pytest

from isl.errors import InputError
from isl.files.run_manifest import MANIFEST, held_folder
from isl.files.staging import remove_leftovers, staging_folder

MADE = {"input": "abc", "device": "cpu"}
SETTINGS = {"statistics": ["median"], "symmetries": True}
FORMERLY = {"symmetries": False}


def run(memory=5, **beside):
    model = {"name": "tiny", "sha256": "0" * 64}
    return {"model": model, "settings": SETTINGS, "memory": memory, **beside}


def begun(manifest, model_hash="0" * 64, **changed):
    return manifest.begun(model_hash, SETTINGS | changed, FORMERLY)


def lines(folder):
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def test_a_run_and_its_fields_are_written_down(tmp_path):
    with held_folder(tmp_path / "new" / "out", "isl predict") as manifest:
        assert begun(manifest) is None
        manifest.begin(run())
        for name in "ab":
            manifest.finished(name, MADE)
    first, *done = lines(tmp_path / "new" / "out")
    assert first["run"]["model"] == {"name": "tiny", "sha256": "0" * 64}
    assert first["run"]["memory"] == 5
    assert [line["done"]["field"] for line in done] == ["a", "b"]
    assert done[0]["done"] == {"field": "a", **MADE}


def test_nothing_stays_of_a_run_that_did_nothing(tmp_path):
    with held_folder(tmp_path / "new" / "out", "isl predict") as manifest:
        manifest.begin(run())
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_gone_on_with_as_it_was_begun(tmp_path, caplog):
    with held_folder(tmp_path, "isl predict") as manifest:
        manifest.begin(run(tile=64))
        manifest.finished("a", MADE)
    with held_folder(tmp_path, "isl predict") as manifest:
        begun_as = begun(manifest)
        assert begun_as is not None
        assert (begun_as["tile"], begun_as["memory"]) == (64, 5)
        assert caplog.messages == []
        with pytest.raises(InputError, match="holds results with other statistics, which `resume`"):
            begun(manifest, statistics=["mean"])
        with pytest.raises(InputError, match="holds results with another model"):
            begun(manifest, model_hash="1" * 64)


def test_other_versions_are_named(tmp_path, caplog):
    with held_folder(tmp_path, "isl predict") as manifest:
        manifest.begin(run())
        manifest.finished("a", MADE)
    path = tmp_path / MANIFEST
    line = json.loads(path.read_text().splitlines()[0])
    line["run"]["versions"]["jax"] = "0.0.1"
    # As older runs were written, which could not be asked for it.
    del line["run"]["settings"]["symmetries"]
    path.write_text(json.dumps(line) + "\n")
    with held_folder(tmp_path, "isl predict") as manifest:
        assert begun(manifest, symmetries=False) is not None
    assert "begun with jax 0.0.1, now" in caplog.text


def test_a_line_that_was_cut_short_is_written_over(tmp_path):
    with held_folder(tmp_path, "isl predict") as manifest:
        manifest.begin(run())
        manifest.finished("a", MADE)
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"done": {"field": "b", "inp')
    with held_folder(tmp_path, "isl predict") as manifest:
        assert begun(manifest) is not None
        manifest.begin(run(memory=6))
        manifest.finished("b", MADE)
    assert [next(iter(line)) for line in lines(tmp_path)] == ["run", "done", "run", "done"]


def test_a_second_run_into_the_folder_is_refused(tmp_path):
    with held_folder(tmp_path / "out", "isl predict"):
        with (
            pytest.raises(InputError, match="another isl predict is writing there") as refused,
            held_folder(tmp_path / "out", "isl predict"),
        ):
            pass
        assert "\n" not in str(refused.value)
        assert (tmp_path / "out" / MANIFEST).exists()
    with held_folder(tmp_path / "out", "isl predict"):
        pass


HOLDS = """
import sys, time
from pathlib import Path
from isl.files.run_manifest import held_folder
from isl.files.staging import staging_folder
with held_folder(Path(sys.argv[1]), "isl predict"), staging_folder(Path(sys.argv[1])) as staging:
    (staging / "half.tif").write_bytes(b"half")
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_holds_nothing_and_what_it_left_is_removed(tmp_path):
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline() == "held\n"
            with (
                pytest.raises(InputError, match="another isl predict"),
                held_folder(tmp_path, "isl predict"),
            ):
                pass
            # What is in use is not taken away.
            assert remove_leftovers(tmp_path) == 0
        finally:
            running.send_signal(signal.SIGKILL)
    (left,) = tmp_path.glob(".isl-*")
    assert (left / "half.tif").exists()
    with staging_folder(tmp_path) as own, held_folder(tmp_path, "isl predict"):
        assert not left.exists()
        assert own.exists()


def test_folders_are_left_only_when_old_or_unlocked(tmp_path):
    fresh, old = tmp_path / ".isl-fresh", tmp_path / ".isl-old"
    other = tmp_path / ".other"
    for folder in (fresh, old, other):
        folder.mkdir()
        os.utime(folder, (0, 0))
    os.utime(fresh)
    assert remove_leftovers(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".isl-fresh", ".other"]


def test_a_disk_that_is_full_is_told_and_the_manifest_stays_whole(tmp_path, monkeypatch):
    with held_folder(tmp_path, "isl predict") as manifest:
        manifest.begin(run())
        manifest.finished("a", MADE)

        def full(descriptor, text, place):
            os.lseek(descriptor, place, os.SEEK_SET)
            return os.write(descriptor, text[:20])

        with monkeypatch.context() as patched:
            patched.setattr("isl.files.run_manifest.os.pwrite", full)
            with pytest.raises(InputError, match=r"the disk is full.*b is done; resume with"):
                manifest.finished("b", MADE)
        assert [next(iter(line)) for line in lines(tmp_path)] == ["run", "done"]
        manifest.finished("c", MADE)
    assert lines(tmp_path)[-1]["done"]["field"] == "c"
