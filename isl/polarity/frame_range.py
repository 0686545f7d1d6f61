"""Which frames of a recording are used: A:B for all embryos, or a table with a line for each."""

import csv
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from isl.errors import InputError, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameRange:
    """Frames to use, counted from 0 in file order; `stop` is the first one left out.

    Attributes:
        start: The first frame.
        stop: None: to the end.
        origin: Where it was said, for messages.
    """

    start: int = 0
    stop: int | None = None
    origin: str = "`frames`"

    def within(self, count: int, source: Path) -> range:
        """The frames meant, of `count` that there are.

        Raises:
            InputError: Some of them are not there.
        """
        stop = count if self.stop is None else self.stop
        if self.start >= count or stop > count:
            raise InputError(
                f"{source}: {self.origin} asks for frames {self.start} to {stop - 1}, but its "
                f"{count} frames are 0 to {count - 1}"
            )
        return range(self.start, stop)


EVERY_FRAME = FrameRange()


def parse_frames(text: str) -> FrameRange | None:
    """Frames from a text such as `4:30`, `4:` or `:30`; None where it is no such text.

    Raises:
        InputError: It names no frame.
    """
    match = re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", text)
    if match is None:
        return None
    start, stop = (int(number) if number else None for number in match.groups())
    if stop is not None and stop <= (start or 0):
        raise InputError(f"`frames={text}`: names no frame; B of A:B is the first frame left out")
    return FrameRange(start=start or 0, stop=stop, origin=f"`frames={text.strip()}`")


def read_frame_table(path: Path) -> dict[str, FrameRange]:
    """Frames to use for every embryo, from a CSV table with the columns embryo and frames (A:B).

    Raises:
        InputError: The table cannot be read, lacks a column, names an embryo twice, or a range is
            none.
    """
    ranges: dict[str, FrameRange] = {}
    for line, row in _table_rows(path):
        embryo, text = (row["embryo"] or "").strip(), (row["frames"] or "").strip()
        parsed = parse_frames(text)
        if not embryo or parsed is None:
            raise InputError(
                f"{path}: line {line} has embryo '{embryo}' and frames '{text}'; expected a name "
                "and A:B, such as E016 and 4:30"
            )
        if embryo in ranges:
            raise InputError(f"{path}: line {line} names embryo '{embryo}' again; keep one line")
        ranges[embryo] = dataclasses.replace(parsed, origin=f"{path.name} ({text})")
    return ranges


def _table_rows(path: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="")
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError as error:
        raise InputError(
            f"`frames={path}`: is neither A:B, such as 4:30, nor a table that exists"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV table ({error})") from error
    for column in ("embryo", "frames"):
        if column not in columns:
            raise InputError(
                f"{path}: {unknown('column', column, columns)}; expected it first line"
            )
    return rows


def limit_of(
    name: str, source: Path, limits: FrameRange | Mapping[str, FrameRange] | None
) -> FrameRange:
    """Which frames of an embryo are used.

    Args:
        name: The embryo.
        source: Its file or folder, for messages.
        limits: The same frames for all, a range by embryo, or None: all frames.

    Raises:
        InputError: There is a table that does not name the embryo.
    """
    if limits is None:
        return EVERY_FRAME
    if isinstance(limits, FrameRange):
        return limits
    if name not in limits:
        raise InputError(
            f"{source}: the table of `frames`: {unknown('embryo', name, limits)}; "
            "add a line for it (: uses every frame)"
        )
    return limits[name]
