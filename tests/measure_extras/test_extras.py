"""What `isl measure` does with laptrack and pyarrow; `make test-measure` installs both."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).parents[1] / "measure"))

from simulated_cells import DISCS, PIXEL, isl, nuclei, predicted, rows_of, write_plate


def test_cells_of_a_movie_keep_their_numbers(tmp_path: Path) -> None:
    frames = [nuclei(shift=4 * t) for t in range(3)]
    # The cell that stands alone is missed once, and one jumps further than it is wide.
    frames[1] = nuclei(shift=4, discs=[each for each in DISCS if each[0] != (60, 110)])
    predicted(tmp_path / "in", "film", {"mean": np.stack(frames)[:, None]}, labels=("DAPI",))
    code, output = isl("measure", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "cells.csv")
    labels = tifffile.imread(tmp_path / "out" / "film.ome.tif")
    for (y, x), _ in DISCS:
        numbers = [int(labels[t, y + 4 * t, x + 4 * t]) for t in range(3)]
        seen = {number for number in numbers if number}
        assert len(seen) == 1, (y, x, numbers)
    assert {row["minutes"] for row in rows} == {"0", "10", "20"}
    tracks = rows_of(tmp_path / "out" / "tracks.csv")
    assert len(tracks) == len(DISCS)
    assert sorted(row["frames"] for row in tracks) == ["2", "3", "3", "3", "3"]
    row = next(row for row in tracks if row["frames"] == "3" and float(row["path_pixels"]) > 10)
    assert float(row["net_um"]) == pytest.approx(2 * 4 * np.sqrt(2) * PIXEL, rel=0.1)


def test_parquet(tmp_path: Path) -> None:
    code, output = isl(
        "measure", write_plate(tmp_path / "in"), "--out", tmp_path / "out", "--parquet"
    )
    assert code == 0, output
    table = parquet.read_table(tmp_path / "out" / "cells.parquet")
    rows = rows_of(tmp_path / "out" / "cells.csv")
    assert table.num_rows == len(rows)
    assert table.column_names == list(rows[0])
    assert table.schema.field("cell").type == "int64"
    assert table.schema.field("area_um2").type == "double"
