"""Workers: what each gets of a machine, and what is refused before anything begins."""

import signal
import sys

import pytest

from isl import cli
from isl.errors import InputError
from isl.labeling.run.cluster import Share, local_workers, share_of_machine, workers_of


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


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--workers", "0"], "--workers 0: expected a number of processes"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "give one"),
    ],
)
def test_wrong_calls_are_refused(tmp_path, capsys, words, line):
    assert cli.main(["predict", "a.tif", "--out", str(tmp_path / "out"), *words]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(InputError, match=r"--scheduler needs Dask.*pip install 'isl\[cluster\]'"),
        workers_of("tcp://127.0.0.1:1"),
    ):
        pass


def unheard():
    """Signals that never reach the thread in which a worker runs, nor those that it begins."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_leave_ctrl_c_to_the_process_that_began_them():
    with local_workers(1) as client:
        (of_worker,) = client.run(unheard).values()
    assert signal.SIGINT in of_worker
    assert signal.SIGINT not in unheard()
