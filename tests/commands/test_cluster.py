"""Workers: what is refused before anything begins."""

import sys

import pytest

from isl import cli
from isl.cluster import workers_of
from isl.errors import InputError


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
        pytest.raises(InputError, match=r"`scheduler` needs Dask.*pip install 'isl\[cluster\]'"),
        workers_of("tcp://127.0.0.1:1"),
    ):
        pass
