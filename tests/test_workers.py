import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from isl.errors import InputError
from isl.files.stopped import StoppedError, stopped_by_full_disk
from isl.workers import Share, Workers, share_of_machine, usable_cores

# Other processes can import this from a folder, but not the tests.
WORK = """
import errno, os, signal, time
from isl.errors import InputError

def square(number):
    return number * number

def unfit(number):
    raise InputError(f"{number}.tif: cannot be read")

def on_full_disk(number):
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise InputError(f"{number}.tif cannot be written ({error.strerror})") from error

def ended(number):
    os.kill(os.getpid(), signal.SIGKILL)

def process(number):
    time.sleep(0.05)
    return os.getpid()

def ended_once(path):
    if not os.path.exists(path):
        open(path, "x").close()
        ended(path)
    return os.path.basename(path)

def ended_at_b(name):
    return ended(name) if name == "b" else name

def told(number):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()), os.environ.get("NPROC")

def waiting(path):
    from isl.workers import stopping
    open(path, "x").close()
    while not stopping():
        time.sleep(0.01)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The module, for this process and those that it starts."""
    (tmp_path / "work_to_do.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_to_do")
    sys.modules.pop("work_to_do")


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_the_order_of_the_items(count, work):
    with Workers(count) as workers:
        assert list(workers.map(work.square, range(7))) == [0, 1, 4, 9, 16, 25, 36]
        with pytest.raises(InputError, match=r"^1\.tif: cannot be read$"):
            list(workers.map(work.unfit, [1, 2]))
        with pytest.raises(StoppedError, match=r"^3\.tif .*No space.*; make room and run again"):
            list(workers.map(work.on_full_disk, [3]))


def test_a_process_that_is_ended_from_outside(work):
    with Workers(2) as workers, pytest.raises(StoppedError, match=r"ended from outside.*`workers`"):
        list(workers.map(work.ended, [1]))


def test_what_an_ended_process_did_is_done_again(work, tmp_path):
    paths = [str(tmp_path / name) for name in "abcd"]
    with Workers(2) as workers:
        assert dict(workers.as_done(work.ended_once, paths[:1])) == {paths[0]: "a"}
        found = dict(workers.as_done(work.ended_at_b, list("abcd")))
    error = found.pop("b")
    assert isinstance(error, InputError)
    assert "every process that tried it was ended from outside" in str(error)
    assert found == {name: name for name in "acd"}


def test_workers_know_their_share_and_leave_ctrl_c_to_their_parent(work):
    with Workers(2, Share(workers=2, threads=3)) as workers:
        assert [made for _, made in workers.as_done(work.told, [1])] == [(True, "3")]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_is_begun_stops_when_its_parent_is_interrupted(work, tmp_path):
    def interrupt(workers):
        results = workers.as_done(work.waiting, [str(tmp_path / "begun")])
        threading.Thread(target=next, args=(results, None), daemon=True).start()
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        interrupt(workers)


def test_cores_are_divided_among_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert share_of_machine(3) == Share(workers=3, threads=2)
    assert share_of_machine(20).threads == 1
    assert share_of_machine(3).environment(2) == {"NPROC": "2"}


def test_workers_are_dealt_out_among_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    share = share_of_machine(3)
    assert share.gpus == ("4", "7")
    given = [share.environment(worker) for worker in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given] == ["4", "7", "4"]
    # Two may meet on one GPU.
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in given} == {"0.375"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert share_of_machine(1).gpus == ()


def test_some_core_may_be_used():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


ORPHANS = """
import os, signal
import work_to_do
from isl.workers import Workers

if __name__ == "__main__":
    with Workers(2) as workers:
        print(*set(workers.map(work_to_do.process, range(8))), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_their_parent(work, tmp_path):
    (tmp_path / "orphans.py").write_text(ORPHANS)
    words = [sys.executable, str(tmp_path / "orphans.py")]
    parent = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert parent.returncode == -signal.SIGKILL
    workers = [int(word) for word in parent.stdout.split()]
    assert workers
    deadline = time.monotonic() + 60
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "they go on without their parent"
        time.sleep(0.05)


def is_running(process):
    """Whether a process does anything; one that ended may wait for its parent's look (Z)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("3000000 requested and 1048408 written"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (OSError("image file is truncated"), False),
        (ValueError("no image"), False),
    ],
)
def test_only_full_disks_stop_a_run(error, full):
    refused = InputError("a.tif: failed")
    refused.__cause__ = error
    with pytest.raises(InputError, match=r"^a\.tif: failed") as caught, stopped_by_full_disk():
        raise refused
    assert isinstance(caught.value, StoppedError) == full


def test_who_stopped_already_is_told_once():
    with pytest.raises(StoppedError, match=r"^full; make room$"), stopped_by_full_disk():
        raise StoppedError("full; make room")
