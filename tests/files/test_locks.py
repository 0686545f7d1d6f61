"""Locks: what another holds is waited for or refused, and a system without them is warned of."""

import errno
import logging
import os
import threading

import filelock
import pytest

from isl.errors import InputError
from isl.files.locks import alone_in, is_locked, locked


def test_what_is_held_is_refused_and_nothing_stays(tmp_path):
    path = tmp_path / "lock"
    with locked(path, refusal="taken"):
        assert is_locked(path)
        with pytest.raises(InputError, match="taken"), locked(path, refusal="taken"):
            pass
        assert is_locked(path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        is_locked(path)
    path.touch()
    assert not is_locked(path)
    with locked(path, refusal="taken"):
        pass


def test_what_is_held_is_waited_for(tmp_path):
    path, order = tmp_path / "lock", []

    def add(number):
        with locked(path):
            order.append(number)
            assert len(order) % 2
            order.append(number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(5)]
    with locked(path):
        for thread in threads:
            thread.start()
        assert order == []
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]
    assert sorted(order[::2]) == list(range(5))
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def none(self, **_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "acquire", none)
    with caplog.at_level(logging.WARNING), alone_in(tmp_path, "isl predict"):
        pass
    assert caplog.messages == [
        f"{tmp_path}: cannot be locked (No locks available); let no second run write to this folder"
    ]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/out: results cannot be written there \(Not a dir"):
        with alone_in(tmp_path / "file" / "out", "run"):
            pass
