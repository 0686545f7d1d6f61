"""Published images by name: from a mirror, from a server, resumed, and without a network."""

import functools
import hashlib
import http.server
import logging
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest

from isl.cli import main
from isl.data import published
from isl.data.published import PublishedFile, PublishedSet, fetch, published_sets
from isl.errors import InputError
from isl.model_folder import bundled_models

CONTENT = {"a,1.png": b"first", "deep/b.png": b"second", "c.json": b"third"}


def made(base: str = "", **changes: str) -> PublishedSet:
    files = tuple(
        PublishedFile(
            place=place,
            at="elsewhere/" + place if place == "c.json" else "",
            # The last one's is not known before it comes.
            sha256="" if place == "c.json" else hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )
        for place, content in CONTENT.items()
    )
    facts = {"name": "cells", "folder": "of/cells", "task": "labeling", "title": "Cells"}
    terms = {"licence": "CC0", "source": "us", "base": base, "then": "isl predict {folder}"}
    return PublishedSet(**{**facts, **terms, **changes}, files=files)


def write(folder: Path, *, renamed: bool = False) -> None:
    for place, content in CONTENT.items():
        path = folder / ("elsewhere/c.json" if renamed and place == "c.json" else place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch) -> Path:
    write(tmp_path / "mirror" / "of" / "cells")
    monkeypatch.setenv("ISL_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror" / "of" / "cells"


def contents(folder: Path) -> dict[str, bytes]:
    return {place: (folder / place).read_bytes() for place in CONTENT}


def test_a_folder_is_a_mirror_and_what_is_there_is_not_fetched_again(
    tmp_path: Path, mirror: Path
) -> None:
    counts: list[int] = []
    folder = fetch(made(), tmp_path / "out", done=counts.append)
    assert folder == tmp_path / "out" / "of" / "cells"
    assert contents(folder) == CONTENT
    assert counts == [0, 1, 2, 3]
    for path in list(mirror.rglob("*.*")):
        path.unlink()
    assert contents(fetch(made(), tmp_path / "out")) == CONTENT
    # What was changed or lost meanwhile comes again, whether its hash was known before or not.
    write(mirror)
    for place in ("a,1.png", "c.json"):
        (folder / place).write_bytes(b"spoilt")
    counts.clear()
    assert contents(fetch(made(), tmp_path / "out", done=counts.append)) == CONTENT
    assert counts == [1, 2, 3]


def test_what_is_not_the_published_file_is_not_kept(tmp_path: Path, mirror: Path) -> None:
    (mirror / "deep/b.png").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"b.png is not the file that was published"):
        fetch(made(), tmp_path / "out")
    assert not (tmp_path / "out" / "of/cells/deep/b.png").exists()
    # The rest stays, and the same call goes on.
    (mirror / "deep/b.png").write_bytes(CONTENT["deep/b.png"])
    assert contents(fetch(made(), tmp_path / "out")) == CONTENT


def test_what_a_mirror_lacks_is_named(tmp_path: Path, mirror: Path) -> None:
    (mirror / "c.json").unlink()
    with pytest.raises(InputError, match=r"cells/c.json is not there; set ISL_MIRROR"):
        fetch(made(), tmp_path / "out")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    write(tmp_path / "served", renamed=True)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_files_come_from_where_they_were_published(
    tmp_path: Path, server: str, monkeypatch
) -> None:
    monkeypatch.delenv("ISL_MIRROR", raising=False)
    assert contents(fetch(made(server), tmp_path / "out")) == CONTENT
    with pytest.raises(InputError, match=r"nowhere/a,1.png is not there"):
        fetch(made(f"{server}/nowhere"), tmp_path / "other")


class Unsteady(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`, but of one file only what `way` says; remembers what it was asked for."""

    way: str | int = ""
    asked: list[str]
    waiting: threading.Event

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        place = urllib.parse.unquote(self.path).removeprefix("/").removeprefix("elsewhere/")
        self.asked.append(place)
        way = self.way if place == "deep/b.png" else ""
        if isinstance(way, int):
            self.send_error(way)
            return
        body = {"wrong": b"sec0nd"}.get(way, CONTENT[place])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: 2 if way in ("cut", "slow") else None])
        if way == "slow":
            self.wfile.flush()
            self.waiting.wait(20)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("cut", "cannot be reached, or broke off; the same command goes on"),
        ("slow", "cannot be reached, or broke off; the same command goes on"),
        ("wrong", "deep/b.png is not the file that was published"),
        (404, "deep/b.png is not there; set ISL_MIRROR"),
        (503, r"deep/b.png is not given out now \(503 Service Unavailable\)"),
    ],
)
def test_what_goes_wrong_at_a_server_is_said_and_only_what_is_missing_comes_again(
    tmp_path: Path, monkeypatch, way: str | int, said: str
) -> None:
    monkeypatch.delenv("ISL_MIRROR", raising=False)
    monkeypatch.setattr(published, "_PATIENCE", 0.3)
    monkeypatch.setattr(published, "_AT_ONCE", 1)
    facts = {"way": way, "asked": [], "waiting": threading.Event()}
    handler = type("Handler", (Unsteady,), facts)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        wanted = made(f"http://127.0.0.1:{running.server_address[1]}")
        with pytest.raises(InputError, match=said):
            fetch(wanted, tmp_path)
        folder = tmp_path / "of" / "cells"
        # Nothing that is half there, under whatever name.
        whole = {"a,1.png", "c.json", ".isl-data.json"}
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        assert "a,1.png" in found
        assert found <= whole
        handler.way, handler.asked = "", []
        assert contents(fetch(wanted, tmp_path)) == CONTENT
        assert "deep/b.png" in handler.asked
        assert "a,1.png" not in handler.asked
        facts["waiting"].set()
        running.shutdown()


def test_no_network_costs_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("ISL_MIRROR", raising=False)
    # Nobody listens on the port of a server that was closed.
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    monkeypatch.setattr(
        published, "published_sets", lambda: {"cells": made(f"http://127.0.0.1:{port}")}
    )
    assert main(["data", "get", "cells", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"cells: 127.0.0.1:{port} cannot be reached, or broke off; ")
    assert "set ISL_MIRROR to a folder that has of/cells" in line
    # It would write a line a file, to a stream of its own.
    assert pooch.get_logger().level == logging.WARNING


def test_the_command_lists_and_brings(tmp_path: Path, mirror: Path, monkeypatch, capsys) -> None:
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    for each in published_sets().values():
        assert each.name in listed
        assert each.licence in listed
    monkeypatch.setattr(published, "published_sets", lambda: {"cells": made()})
    monkeypatch.setenv("ISL_DATA", str(tmp_path / "data"))
    assert main(["data", "get", "cells"]) == 0
    folder = tmp_path / "data" / "of" / "cells"
    assert f"try: isl predict {folder}" in capsys.readouterr().out
    assert contents(folder) == CONTENT
    assert main(["data", "get", "cell"]) == 2
    assert "did you mean 'cells'" in capsys.readouterr().err
    assert main(["data", "get"]) == 2
    assert main(["data", "list", "cells"]) == 2


def test_sets_are_whole() -> None:
    sets = published_sets()
    assert {each.task for each in sets.values()} >= {"labeling", "polarity", "fragmentation"}
    for each in sets.values():
        places = [file.place for file in each.files]
        assert len(set(places)) == len(places)
        assert each.base.startswith("https://")
        assert all(len(file.sha256) in (0, 64) for file in each.files)
        model = each.then.partition("--model ")[2].split()
        assert not model or model[0] in bundled_models()
