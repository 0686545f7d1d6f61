import errno
import os
import subprocess
import sys

import pytest

from isl.errors import InputError
from isl.files.folders import emptied, folder_written_whole, put_in_place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def anything(path):
    return True


def fill(path, text, **options):
    with folder_written_whole(path, **options) as folder:
        (emptied(folder) / "file").write_text(text)


def test_it_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "result"
    with folder_written_whole(path) as folder:
        assert names(path.parent) == [".result.lock", ".result.partial"]
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("whole")
        (folder / "sub" / ".0a1b.partial").write_text("left by a killed process")
    assert names(path.parent) == ["result"]
    assert names(path / "sub") == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_block_leaves_what_was_there(tmp_path, error):
    fill(tmp_path / "result", "old")

    def write_half():
        with folder_written_whole(tmp_path / "result", replaceable=anything) as folder:
            (folder / "file").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(tmp_path) == ["result"]
    assert (tmp_path / "result" / "file").read_text() == "old"


def test_a_failing_block_may_be_gone_on_with(tmp_path):
    def write_half():
        with folder_written_whole(tmp_path / "result", keep=True) as folder:
            (folder / "half").touch()
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        write_half()
    assert names(tmp_path) == [".result.partial"]
    with folder_written_whole(tmp_path / "result") as folder:
        assert names(folder) == ["half"]
    assert names(tmp_path) == ["result"]


def test_replacing(tmp_path):
    fill(tmp_path / "result", "old")
    (tmp_path / "result" / "only of the old").touch()
    (tmp_path / ".result.discarded").mkdir()
    with pytest.raises(InputError, match="result: exists already; give `overwrite`"):
        fill(tmp_path / "result", "new")
    with pytest.raises(InputError, match="something else than what is to be written"):
        fill(tmp_path / "result", "new", replaceable=lambda path: False)
    assert (tmp_path / "result" / "file").read_text() == "old"
    fill(tmp_path / "result", "new", replaceable=anything)
    assert names(tmp_path) == ["result"]
    assert names(tmp_path / "result") == ["file"]
    assert (tmp_path / "result" / "file").read_text() == "new"


def test_what_was_killed_while_it_replaced_is_put_back(tmp_path):
    fill(tmp_path / "result", "old")
    (tmp_path / "result").rename(tmp_path / ".result.replaced")
    with pytest.raises(InputError, match="result: exists already"):
        fill(tmp_path / "result", "new")
    assert (tmp_path / "result" / "file").read_text() == "old"
    (tmp_path / "result").rename(tmp_path / ".result.replaced")
    fill(tmp_path / "result", "new", replaceable=anything)
    assert names(tmp_path) == ["result"]
    assert (tmp_path / "result" / "file").read_text() == "new"


def test_what_cannot_be_put_in_place_leaves_what_was_there(tmp_path):
    fill(tmp_path / "result", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "absent", tmp_path / "result", tmp_path / "replaced")
    assert names(tmp_path) == ["result"]


def test_files_and_links_are_not_replaced(tmp_path):
    (tmp_path / "file").write_text("kept")
    fill(tmp_path / "target", "kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("file", "link"):
        with pytest.raises(InputError, match=f"{name}: exists and is something else"):
            fill(tmp_path / name, "new", replaceable=anything)
    assert (tmp_path / "file").read_text() == "kept"
    assert names(tmp_path) == ["file", "link", "target"]


def test_what_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(InputError, match="exists already"):
        with folder_written_whole(tmp_path / "result"):
            (tmp_path / "result").mkdir()
    assert names(tmp_path) == ["result"]


OTHER = """
import sys
from isl.files.folders import folder_written_whole
with folder_written_whole(sys.argv[1]):
    pass
"""


def test_two_runs_at_once(tmp_path):
    """The second is told, whether in the same process or another, and harms nothing."""
    path = tmp_path / "result"
    with folder_written_whole(path) as folder:
        (folder / "file").write_text("first")
        other = subprocess.run(
            [sys.executable, "-c", OTHER, path], capture_output=True, text=True, check=False
        )
        assert f"InputError: {path}: another run is writing it" in other.stderr
        with pytest.raises(InputError, match="another run is writing it"):
            fill(path, "second")
    assert (path / "file").read_text() == "first"
    assert names(tmp_path) == ["result"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_takes_nothing_is_named(tmp_path, code):
    with pytest.raises(InputError) as caught, folder_written_whole(tmp_path / "result"):
        raise OSError(code, os.strerror(code))
    assert str(caught.value) == f"{tmp_path}: result cannot be written there ({os.strerror(code)})"
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: result cannot be written there"):
        fill(tmp_path / "file" / "result", "new")
