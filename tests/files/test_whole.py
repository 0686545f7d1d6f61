import errno
import os

import pytest

from isl.errors import InputError
from isl.files.whole import written_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "result.bin"
    with written_whole(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == ["result.bin"]


def test_it_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with written_whole(tmp_path / "result"):
        pass
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_block_leaves_nothing(tmp_path, error):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def write_half():
        with written_whole(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["result.bin"]


def test_an_existing_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="exists already"), written_whole(path):
        pytest.fail("the block ran")
    with written_whole(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "result.bin"
    with pytest.raises(InputError, match="exists already"), written_whole(path):
        path.write_bytes(b"another's")
    assert path.read_bytes() == b"another's"
    assert names(tmp_path) == ["result.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_takes_nothing_is_named(tmp_path, code):
    path = tmp_path / "result.bin"
    with pytest.raises(InputError) as caught, written_whole(path):
        raise OSError(code, os.strerror(code))
    assert (
        str(caught.value) == f"{tmp_path}: result.bin cannot be written there ({os.strerror(code)})"
    )
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: result.bin cannot be written there"):
        with written_whole(tmp_path / "file" / "result.bin"):
            pytest.fail("the block ran")
    with pytest.raises(InputError, match="is a folder"), written_whole(tmp_path, overwrite=True):
        pytest.fail("the block ran")
