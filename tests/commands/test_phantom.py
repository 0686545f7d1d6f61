"""`isl phantom`: every registered kind is made by one command, and wrong words are answered."""

from pathlib import Path

import pytest

from isl import cli, registry
from isl.phantom.kinds import PhantomKind

SMALL = {
    "cleavage": ["frames=1", "size=64"],
    "colonies": ["size=200", "diameter=50", "frames=2"],
    "development": ["interval=2400", "size=32", "fewest=1", "most=1"],
}


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_kind_is_written_by_its_name(tmp_path: Path, kind: str, capsys) -> None:
    settings = [word for setting in SMALL[kind] for word in ("--set", setting)]
    assert cli.main(["phantom", "--kind", kind, "--out", str(tmp_path / "a"), *settings]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    # What is there is not written over.
    assert cli.main(["phantom", "--kind", kind, "--out", str(tmp_path / "a"), *settings]) == 2


def test_kinds_are_found_by_their_entry_points() -> None:
    kinds = registry.load_all(registry.PHANTOMS)
    assert {"cells", "cleavage", "colonies", "development", "embryos", "wells"} <= kinds.keys()
    assert all(isinstance(kind, PhantomKind) for kind in kinds.values())


def test_words_that_do_not_fit(tmp_path: Path, capsys) -> None:
    for words, said in (
        (["--kind", "colonie"], "unknown kind of data set 'colonie'; did you mean 'colonies'?"),
        (["--kind", "colonies", "--validation", "1"], "wells are divided by isl train"),
        (["--kind", "colonies", "--set", "frames=0"], "frames"),
        (["--kind", "colonies", "--count", "0"], "0 wells make no dataset"),
    ):
        assert cli.main(["phantom", "--out", str(tmp_path / "none"), *words]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "none").exists()
