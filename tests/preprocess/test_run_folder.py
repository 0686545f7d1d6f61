import pytest

from isl.config import parse
from isl.errors import InputError
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.layout.fields import PlaneSource
from isl.preprocess.quality import Decision, Measures
from isl.preprocess.run_folder import (
    alone,
    check_settings,
    check_table,
    digest_of_files,
    write_table,
)


def settings(**changed):
    given = {"transmitted": "phase", "layout": {"pattern": "{well}.tif"}}
    return parse(given | changed, PreprocessConfig, source="test")


def finish_a_field(out):
    (out / "fields").mkdir()
    (out / "fields" / "A1.json").write_text("{}")


def enter(out):
    with alone(out):
        pass


def test_one_at_a_time(tmp_path):
    out = tmp_path / "deep" / "out"
    with alone(out), pytest.raises(InputError, match="another run is writing there; wait for it"):
        enter(out)
    enter(out)
    assert not out.exists(), "a folder that is left empty goes"


def test_only_what_was_half_written_is_cleared_away(tmp_path):
    for folder in (tmp_path, tmp_path / "fields", tmp_path / "estimates"):
        folder.mkdir(exist_ok=True)
        (folder / ".0a1b.partial").write_text("half")
        (folder / "kept.partial").write_text("whole")
    enter(tmp_path)
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*partial")) == [
        "estimates/kept.partial",
        "fields/kept.partial",
        "kept.partial",
    ]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        enter(tmp_path / "file" / "out")


def test_settings_hold_where_a_field_is_done(tmp_path):
    check_settings(settings(), tmp_path)
    finish_a_field(tmp_path)
    check_settings(settings(), tmp_path)
    check_settings(
        settings(description="x", quality={"least_content": 0.1}, split={"seed": 3}), tmp_path
    )
    with pytest.raises(InputError, match=r"other settings \(see settings.toml\); name another"):
        check_settings(settings(downscale=3), tmp_path)


def test_settings_that_led_nowhere_do_not_bind(tmp_path):
    check_settings(settings(), tmp_path)
    for name in ("unfinished", "estimates"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old.json").write_text("{}")
    check_settings(settings(), tmp_path)
    assert (tmp_path / "estimates").exists()
    check_settings(settings(downscale=3), tmp_path)
    assert not (tmp_path / "estimates").exists()
    assert not (tmp_path / "unfinished").exists()
    finish_a_field(tmp_path)
    with pytest.raises(InputError, match="other settings"):
        check_settings(settings(), tmp_path)


@pytest.mark.parametrize("there", ["fields", "dataset.toml"])
def test_what_no_run_of_ours_made_is_left_alone(there, tmp_path):
    if there == "fields":
        finish_a_field(tmp_path)
    else:
        (tmp_path / there).write_text("")
    with pytest.raises(InputError, match="holds other fields; name another folder"):
        check_settings(settings(), tmp_path)
    assert not (tmp_path / "settings.toml").exists()


def test_tables_are_known_again_until_someone_edits_them(tmp_path):
    check_table(tmp_path)
    for keep in (True, False):
        write_table(tmp_path, [Decision(field="A1", keep=keep)], [Measures(field="A1")])
        check_table(tmp_path)
    table = tmp_path / "quality.csv"
    assert table.read_text().splitlines()[1].startswith("A1,no,")
    table.write_text(table.read_text().replace("no", "yes"))
    with pytest.raises(InputError, match="was edited; copy it elsewhere"):
        check_table(tmp_path)
    table.unlink()
    check_table(tmp_path)
    table.write_text("field,keep\n")
    (tmp_path / ".quality.sha256").unlink()
    with pytest.raises(InputError, match="was edited"):
        check_table(tmp_path)


def test_a_run_killed_between_both_files_knows_its_old_table(tmp_path, monkeypatch):
    write_table(tmp_path, [Decision(field="A1", keep=True)], [Measures(field="A1")])
    with monkeypatch.context() as patched:
        patched.setattr("isl.preprocess.run_folder.os.replace", lambda *files: killed())
        with pytest.raises(InputError, match="killed"):
            write_table(tmp_path, [Decision(field="A1", keep=False)], [Measures(field="A1")])
    check_table(tmp_path)


def killed():
    raise InputError("killed")


def test_digests_tell_files_apart(tmp_path):
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for file in files:
        file.write_text("1")
    both = [PlaneSource(file=file, z=z) for file in files for z in range(2)]
    first = digest_of_files(both)
    assert digest_of_files(reversed(both)) == first
    assert digest_of_files(both[:2]) != first
    files[0].write_text("12")
    assert digest_of_files(both) != first
    files[1].unlink()
    with pytest.raises(InputError, match=r"b\.tif: cannot be read \(No such file"):
        digest_of_files(both)
