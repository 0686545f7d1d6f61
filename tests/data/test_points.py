"""Tables of points: our own, and those of Fiji, napari and CellProfiler."""

import pytest

from isl.data.points import joined_points, read_points
from isl.errors import InputError


def test_points_are_read_from_tables(tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("\ufeffx, y, kind\n3.5, 10, dead\n20, 11,\n", encoding="utf-8")
    found = read_points(table, size=(12, 30))
    assert found.yx.tolist() == [[10, 3.5], [11, 20]]
    assert found.kinds == ("dead", "")
    assert found.of_kind("dead").yx.tolist() == [[10, 3.5]]
    table.write_text("y,x\n")
    assert read_points(table).yx.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown column 'y'"),
        ("row,x\n1,2\n", "unknown column 'y'"),
        ("y,X\n1,2\n", "unknown column 'x'; did you mean 'X'"),
        ("y,x\n1,2\n3,here\n", "line 3 has x 'here'; expected a number"),
        ("y,x\n1\n", "line 2 has x ''"),
        ("X,Y\n3,5,10,5\n", "line 2 has more cells than there are columns; write decimals with"),
        ("y,x,y\n1,2,3\n", "two columns 'y'; keep one"),
        ("index,axis-0,axis-1,axis-2,axis-3\n0,0,4,1,2\n", "points in four axes"),
        ("index,shape-type,vertex-index,axis-0,axis-1\n0,path,0,1,2\n", "corners of shapes"),
        ("y,x\nnan,1\n", "line 2 has y 'nan'"),
        ("y,x\n1,2\n1.2,2.1\n", "line 3 marks the pixel of line 2 again"),
        ("y,x\n1,20\n", "line 2 marks y 1, x 20, outside of the image of 10 x 20"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, message):
    table = tmp_path / "points.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_points(table, size=(10, 20))
    assert str(table) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "points.csv")
    (tmp_path / "points.csv").write_bytes(b"y,x\n\xff,1\n")
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        read_points(tmp_path / "points.csv")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        # Fiji's Results table of a multi-point selection, its first column without a name.
        (
            " ,Area,Mean,Min,Max,X,Y,Ch,Slice,Frame,Counter,Count\n"
            "1,0,7,7,7,3.5,10,1,1,1,0,2\n2,0,9,9,9,20,11,1,1,1,1,2\n",
            ("0", "1"),
        ),
        ("index,axis-0,axis-1\n0.0,10.0,3.5\n1.0,11.0,20.0\n", ("", "")),
        ("index,axis-0,axis-1,axis-2\n0.0,4.0,10.0,3.5\n1.0,4.0,11.0,20.0\n", ("", "")),
        (
            "ImageNumber,ObjectNumber,AreaShape_Area,Location_Center_X,Location_Center_Y,"
            "Location_Center_Z\n1,1,90,3.5,10,0\n1,2,80,20,11,0\n",
            ("", ""),
        ),
    ],
    ids=["Fiji", "napari", "napari in a stack", "CellProfiler"],
)
def test_tables_of_other_programs(tmp_path, text, kinds):
    table = tmp_path / "points.csv"
    table.write_text(text)
    found = read_points(table, size=(12, 30))
    assert found.yx.tolist() == [[10, 3.5], [11, 20]]
    assert found.kinds == kinds
    halved = read_points(table, pixel=(0.5, 0.5))
    assert halved.yx.tolist() == [[20, 7], [22, 40]]


def test_a_table_of_several_images_is_not_mixed(tmp_path):
    table = tmp_path / "Nuclei.csv"
    table.write_text(
        "ImageNumber,ObjectNumber,Location_Center_X,Location_Center_Y\n1,1,3,4\n2,1,5,6\n"
    )
    with pytest.raises(InputError, match=r"several images \(ImageNumber 1, 2, "):
        read_points(table)


def test_a_counter_that_nobody_chose_says_nothing(tmp_path):
    table = tmp_path / "Results.csv"
    table.write_text(" ,X,Y,Counter\n1,3.5,10,0\n")
    assert joined_points({table: read_points(table)}, "debris").yx.tolist() == [[10, 3.5]]
    table.write_text(" ,X,Y,Counter\n1,3.5,10,0\n2,9,9,1\n")
    with pytest.raises(InputError, match="has points of counter 1, and nothing says"):
        joined_points({table: read_points(table)}, "debris")


def test_kinds_may_have_capitals(tmp_path):
    table = tmp_path / "points.csv"
    table.write_text("y,x,kind\n1,2,Dead\n3,4,live\n5,6,\n")
    assert joined_points({table: read_points(table)}, "dead").yx.tolist() == [[1, 2], [5, 6]]
