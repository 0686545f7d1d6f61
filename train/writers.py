"""What a run leaves to look at: metrics as CSV and for TensorBoard, pictures as PNG."""

import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter

from isl.files.whole import write_text, written_whole

from .disk import writing_to

_PAGE_SECONDS = 30.0


class Writers:
    """Writes `WORKDIR/{training,validation,clock}.csv`, `tensorboard/`, `pictures/`, and a page."""

    def __init__(self, workdir: Path, *, enabled: bool = True) -> None:
        """Touches nothing yet.

        Args:
            workdir: The run's folder.
            enabled: False in all but the first of several processes.
        """
        self._workdir = workdir
        self._enabled = enabled
        self._board: SummaryWriter | None = None
        self._page_at = time.monotonic()

    def open(self, start: int) -> None:
        """Opens the files; rows after update `start` are of a run that was cut off, and go."""
        if self._enabled:
            self._workdir.mkdir(parents=True, exist_ok=True)
            for name in ("training", "validation", "clock"):
                _forget_after(self._workdir / f"{name}.csv", start)
            self._board = SummaryWriter(str(self._workdir / "tensorboard"), purge_step=start + 1)

    def __enter__(self) -> "Writers":
        """The writers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def scalars(self, kind: str, update: int, values: Mapping[str, float]) -> None:
        """Adds a row to `kind`.csv and points to TensorBoard.

        Args:
            kind: "training", "validation" or "clock".
            update: Optimizer updates done.
            values: Numbers by name; NaN: nothing was measured.
        """
        if self._board is None:
            return
        with writing_to(self._workdir):
            _append(self._workdir / f"{kind}.csv", {"update": update, **values})
        for name, value in values.items():
            if math.isfinite(value):
                self._board.add_scalar(f"{kind}/{name}", value, update)

    def page(self) -> None:
        """Writes the run's page anew, if the last one is not of just now."""
        if self._board is None or time.monotonic() - self._page_at < _PAGE_SECONDS:
            return
        from .page import write_page

        write_page(self._workdir)
        self._page_at = time.monotonic()

    def pictures(self, update: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes `pictures/NNNNNNN/NAME.png` and shows them in TensorBoard.

        Args:
            update: Optimizer updates done.
            pictures: uint8, or float in [0, 1], [Y, X] or [Y, X, 3], by name.
        """
        if self._board is None or not pictures:
            return
        folder = self._workdir / "pictures" / f"{update:07d}"
        with writing_to(self._workdir):
            folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            eight_bit = _to_eight_bit(picture)
            with writing_to(self._workdir):
                Image.fromarray(eight_bit).save(folder / f"{name.replace('/', '_')}.png")
            layout = "HW" if eight_bit.ndim == 2 else "HWC"
            self._board.add_image(name, eight_bit, update, dataformats=layout)


def _to_eight_bit(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture
    return np.round(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)


def _append(path: Path, row: Mapping[str, float]) -> None:
    """Adds a row; of a name that no row before had, a column comes to all of them."""
    rows: list[Mapping[str, Any]] = []
    names: list[str] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            names = next(csv.reader(file), [])
    columns = [*names, *(name for name in row if name not in names)]
    if columns != names and names:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    rows.append({name: "" if math.isnan(value) else value for name, value in row.items()})
    if columns == names:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerows(rows)
        return
    with written_whole(path, overwrite=True) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def _forget_after(path: Path, update: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    complete = [line for line in lines[1:] if line.endswith("\n")]
    kept = [line for line in complete if int(line.split(",", 1)[0]) <= update]
    if kept:
        write_text(path, "".join(lines[:1] + kept), overwrite=True)
    else:
        path.unlink()
