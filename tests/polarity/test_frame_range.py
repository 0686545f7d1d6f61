import pytest

from isl.errors import InputError
from isl.polarity.frame_range import limit_of, parse_frames, read_frame_table


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "start", "stop"), [("4:30", 4, 30), (":7", 0, 7), (" 3: ", 3, None), (":", 0, None)]
)
def test_frames_as_typed(text, start, stop):
    parsed = parse_frames(text)
    assert parsed is not None
    assert (parsed.start, parsed.stop) == (start, stop)


def test_frames_that_are_none():
    assert parse_frames("table.csv") is None
    assert "names no frame" in refusal(parse_frames, "5:5")
    assert "names no frame" in refusal(parse_frames, ":0")


def test_a_table_limits_each_embryo(tmp_path):
    table = tmp_path / "stage.csv"
    table.write_text("embryo,frames,remark\nE016,4:30,\nE052,:,all\n")
    limits = read_frame_table(table)
    assert (limits["E016"].start, limits["E016"].stop) == (4, 30)
    assert limit_of("E052", tmp_path, limits).stop is None
    line = refusal(limit_of, "E061", tmp_path / "E061", limits)
    assert "E061: the table of `frames`" in line
    assert "unknown embryo 'E061'" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("embryo,range\nE1,1:2\n", "unknown column 'frames'"),
        ("embryo,frames\nE1,1-2\n", "line 2 has embryo 'E1' and frames '1-2'"),
        ("embryo,frames\n,1:2\n", "line 2 has embryo ''"),
        ("embryo,frames\nE1\n", "line 2 has embryo 'E1' and frames ''"),
        ("embryo,frames\nE1,1:2\nE1,1:3\n", "line 3 names embryo 'E1' again"),
        ("", "unknown column 'embryo'"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, line):
    table = tmp_path / "stage.csv"
    table.write_text(text)
    assert line in refusal(read_frame_table, table)


def test_a_table_that_is_not_there(tmp_path):
    line = refusal(read_frame_table, tmp_path / "no.csv")
    assert "is neither A:B, such as 4:30, nor a table that exists" in line
