"""Fields in files: the same crops as from memory, in far less of it; never from damaged files."""

import errno
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from simulated_fields import write_dataset

from isl.config import parse, to_toml
from isl.errors import InputError
from isl.labeling import fields as fields_room
from isl.labeling.dataset import Field, load_manifest
from isl.labeling.fields import LoadedField, load_field
from isl.tiling.geometry import Geometry
from isl_train.experiment import check_same_run
from isl_train.labeling import crops
from isl_train.labeling import ground as ground_room
from isl_train.labeling import store as store_room
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.crops import Cropper, TrainingField, bounding_box
from isl_train.labeling.fields import Fields
from isl_train.labeling.ground import Ground, load_ground
from isl_train.labeling.kept import KeptTrainingField
from isl_train.labeling.kept import written as write_file
from isl_train.labeling.model_folder import familiarity_of, label_statistics
from isl_train.labeling.warp import Warp

SIZE = 256
MIB = 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for kept fields."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "isl" / "fields"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four fields that do not all have both labels; one is held out."""
    return written(tmp_path / "data", splits={"d": "validation"})


def written(folder: Path, **held_out) -> Path:
    folder.mkdir()
    labels = {"a": ["DAPI", "MAP2"], "b": ["DAPI"], "c": ["MAP2"], "d": ["DAPI"]}
    return write_dataset(folder, labels, size=SIZE, **held_out)


def experiment(data: Path, memory: float | None, **tables) -> LabelingConfig:
    training = {"steps": 3, "batch_size": 2, "crop": 40, "memory": memory}
    given = {
        "task": "labeling",
        "dataset": data.name,
        "network": {"kind": "unet", "levels": 2, "width": 4},
        "training": training | tables.pop("training", {}),
        **tables,
    }
    return parse(given, LabelingConfig, source="test")


def fields(data: Path, memory: float | None, **tables) -> Fields:
    return Fields(experiment(data, memory, **tables), data.parent)


def assert_same(found: Ground, expected: Ground) -> None:
    for name in ("labels", "planes", "modality", "pixel_size", "label_scale", "label_scales"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.training_groups == expected.training_groups
    assert found.validation_groups == expected.validation_groups
    assert found.lines() == expected.lines()
    assert [f.weight for f in found.training] == [f.weight for f in expected.training]
    for one, other in itertools.chain(
        zip(found.training, expected.training, strict=True),
        zip(found.validation, expected.validation, strict=True),
    ):
        assert one.name == other.name
        for name in ("transmitted", "targets", "measured"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for one, other in zip(found.training, expected.training, strict=True):
        np.testing.assert_array_equal(one.visible, other.visible)
    for one, other in zip(found.validation, expected.validation, strict=True):
        assert one.region == other.region


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"training": {"toward_light": 0.5}, "label_scale": [1, 99], "normalization": "off"},
        {"label_moments": [0.25, 0.125], "ground_share": 0.3, "augment": {"turn": 20.0}},
    ],
)
@pytest.mark.parametrize(
    "held_out", [{"splits": {"d": "validation"}}, {"validation_region": (0, 90, 10, 250)}]
)
def test_crops_are_those_from_memory(tmp_path: Path, tables: dict, held_out: dict) -> None:
    data = written(tmp_path / "data", **held_out)
    in_memory, in_files = (fields(data, memory, **dict(tables)) for memory in (None, 1e-6))
    assert in_memory.ground.kept_in is None
    assert in_files.ground.kept_in is not None
    assert "in files" in in_files.summary()
    assert_same(in_files.ground, in_memory.ground)
    assert in_files.ground.sha256 == in_memory.ground.sha256
    assert in_files.ground.side_of_light == in_memory.ground.side_of_light
    assert label_statistics(in_files.ground) == label_statistics(in_memory.ground)
    assert familiarity_of(in_files.ground.training) == familiarity_of(in_memory.ground.training)
    drawn = in_files.examples(3), in_memory.examples(3)
    for index in range(40):
        found, expected = (examples[index] for examples in drawn)
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


def test_fields_that_fit_stay_in_memory(data: Path, cache: Path) -> None:
    assert fields(data, 1.0).ground.kept_in is None
    assert list(cache.iterdir()) == []


def test_what_is_sent_to_a_worker_are_paths(data: Path) -> None:
    kept = fields(data, 1e-6)
    expected = kept.draw(np.random.default_rng(5))
    sent = pickle.dumps(kept.draw)
    assert len(sent) < 20_000 < kept.ground.nbytes / 50
    for name, array in pickle.loads(sent)(np.random.default_rng(5)).items():
        np.testing.assert_array_equal(array, expected[name])


def test_the_next_run_reads_no_image(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fields(data, 1e-6).ground
    monkeypatch.setattr(ground_room, "load_field", None)
    assert_same(fields(data, 1e-6).ground, first)


def test_a_changed_image_or_setting_is_read_anew(data: Path) -> None:
    first = fields(data, 1e-6).ground.kept_in
    assert fields(data, 1e-6, normalization="off").ground.kept_in != first
    image = data.parent / "b.tif"
    os.utime(image, ns=(1, 1))
    assert fields(data, 1e-6).ground.kept_in != first


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, change, Path.unlink])
@pytest.mark.parametrize("name", ["00001.transmitted.npy", "00003.held_targets.npy", "fields.json"])
def test_damaged_files_are_made_anew(
    data: Path, damage, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = load_ground(load_manifest(data))
    kept_in = load_ground(load_manifest(data), memory=1).kept_in
    assert kept_in is not None
    damage(kept_in / name)
    again = load_ground(load_manifest(data), memory=1)
    assert "damaged" in caplog.text
    assert again.kept_in == kept_in
    assert_same(again, expected)


def test_an_interrupted_run_leaves_nothing_behind(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def interrupted(path: Path, array: np.ndarray) -> None:
        if next(calls) == 6:
            raise KeyboardInterrupt
        np.save(path, array)

    with monkeypatch.context() as patched:
        patched.setattr(store_room, "written", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_ground(load_manifest(data), memory=1)
    assert list(cache.iterdir()) == []
    assert_same(load_ground(load_manifest(data), memory=1), load_ground(load_manifest(data)))


def test_a_full_disk_is_said_before_it_is_filled(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = types.SimpleNamespace(total=10, used=0, free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"0\.00 GiB are free; set XDG_CACHE_HOME"):
        load_ground(load_manifest(data), memory=1)
    assert list(cache.iterdir()) == []


def warned_of_sizes(data: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is said of pixel sizes when fields are kept in files."""
    caplog.clear()
    load_ground(load_manifest(data), memory=1)
    return [message for message in caplog.messages if "says that a pixel is" in message]


def test_what_was_said_of_the_images_is_said_again(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, size in (("a", 0.3), ("a-DAPI", 3.0)):
        file = data.parent / f"{name}.tif"
        pixels = tifffile.imread(file)
        axes = {"axes": "ZYX"[-pixels.ndim :], "PhysicalSizeX": size, "PhysicalSizeY": size}
        tifffile.imwrite(file, pixels, photometric="minisblack", ome=True, metadata=axes)
    said = warned_of_sizes(data, caplog)
    assert len(said) == 1
    assert "a-DAPI.tif: says that a pixel is 3 um" in said[0]
    assert warned_of_sizes(data, caplog) == said


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which nothing can be written, not even by root."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    return file


def test_fields_that_fit_need_no_folder_to_write_to(data: Path, nowhere: Path) -> None:
    assert_same(fields(data, 1.0).ground, load_ground(load_manifest(data)))


def test_fields_that_do_not_fit_need_one(data: Path, nowhere: Path) -> None:
    with pytest.raises(InputError, match=rf"{nowhere}/isl/fields: fields cannot be kept there"):
        fields(data, 1e-6)


def test_a_file_that_cannot_be_read_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path, **_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(fields_room, "read_fluorescence", gone)
    for memory in (None, 1):
        with pytest.raises(InputError, match=r"a-DAPI\.tif: cannot be read \(No such file"):
            load_ground(load_manifest(data), memory=memory)


def test_a_file_that_changes_while_it_is_read_is_named_and_nothing_kept(
    data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_while_written(field: Field, labels: Sequence[str]) -> LoadedField:
        loaded = load_field(field, labels)
        os.utime(data.parent / "b.tif", ns=(1, 1))
        return loaded

    monkeypatch.setattr(ground_room, "load_field", read_while_written)
    with pytest.raises(InputError, match=r"b\.tif: changed while it was read"):
        load_ground(load_manifest(data), memory=1)
    assert list(cache.iterdir()) == []


def test_a_file_beside_that_nobody_may_look_at_is_no_reason_to_refuse(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data.parent / "other.tmp").touch()
    look = os.stat

    def refused(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("other.tmp"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *args, **options)

    monkeypatch.setattr(os, "stat", refused)
    assert load_ground(load_manifest(data), memory=1).kept_in is not None


def test_a_run_is_resumed_with_its_fields_elsewhere(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "experiment.toml").write_text(to_toml(experiment(data, None)))
    check_same_run(run, experiment(data, 2.0))
    with pytest.raises(InputError, match="other settings"):
        check_same_run(run, experiment(data, 2.0, seed=1))


def measured_in(measured: np.ndarray, rng: np.random.Generator) -> TrainingField:
    """A field of noise, measured where `measured` [Y, X, L] says."""
    return TrainingField(
        name="a",
        group="g",
        transmitted=rng.random((*measured.shape[:2], 1), np.float32),
        targets=rng.random(measured.shape, np.float32),
        measured=measured,
        visible=np.ones(measured.shape[:2], bool),
    )


def in_files(folder: Path, field: TrainingField) -> KeptTrainingField:
    names = ("transmitted", "targets", "measured", "visible")
    files = {name: write_file(folder / f"{name}.npy", getattr(field, name)) for name in names}
    return KeptTrainingField(name=field.name, group="g", weight=1.0, files=files)


@pytest.mark.parametrize("width", [48, 400])
@pytest.mark.parametrize("height", [40, 700])
def test_the_fullest_window_is_found_wherever_it_lies(
    tmp_path: Path, height: int, width: int
) -> None:
    rng = np.random.default_rng(0)
    measured = rng.random((height, 90, 2)) < 0.2
    measured[height * 2 // 3 : height * 3 // 4, 20:60] = True
    field = measured_in(measured, rng)
    croppers = [
        Cropper([one], Geometry(margin=4, step=4, smallest=48), width, toward_light=1.0)
        for one in (field, in_files(tmp_path, field))
    ]
    for seed in range(20):
        expected, found = (cropper.draw(np.random.default_rng(seed)) for cropper in croppers)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("size", [1, 5, 20, 90])
def test_the_fullest_window_is_sought_in_bands_as_in_the_whole(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(crops, "_ROWS", 7)
    rng = np.random.default_rng(size)
    for height in (6, 7, 8, 30, 61):
        measured = rng.random((height, 40, 1)) < rng.random((height, 1, 1)) ** 2
        field = measured_in(measured, rng)
        box = bounding_box(measured[..., 0])
        assert box is not None
        whole = crops._Summed(measured[..., 0])
        in_bands = crops._Counted(field, crops._ground)
        assert in_bands.most(box, size) == whole.most(box, size)


def test_a_large_field_is_never_looked_at_as_a_whole(tmp_path: Path) -> None:
    """Neither for the fullest window, nor for crops where a part of it is labeled."""
    size = 2048
    whole = measured_in(np.ones((size, size, 2), bool), np.random.default_rng(0))
    part = in_files(tmp_path, whole).with_labels_in(((20, 2000), (30, 2010)))
    tracemalloc.start()
    try:
        geometry = Geometry(margin=4, step=4, smallest=48)
        cropper = Cropper([part], geometry, 48, toward_light=0.5)
        _, preparing = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for seed in range(5):
            for warp in (None, Warp(matrix=np.eye(2), elastic=1.0)):
                cropper.draw(np.random.default_rng(seed), warp)
        _, drawing = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A table has 8 bytes a pixel, a mask as many as there are labels.
    assert preparing < 8 * size**2
    assert drawing < size**2 / 4


PROGRAM = """
import resource, sys
from pathlib import Path
from isl.config import parse
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit

if __name__ == "__main__":
    data, memory, workers = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    config = parse({
        "task": "labeling", "dataset": data.name,
        "network": {"kind": "unet", "levels": 2, "width": 4},
        "training": {"steps": 4, "batch_size": 2, "crop": 40, "evaluate_every": 0,
                     "memory": memory, "workers": workers},
    }, LabelingConfig, source="test")
    task = LabelingTask(config, data.parent)
    fit(task, config, data.parent / f"run-{memory}")
    status = dict(l.split(":", 1) for l in open("/proc/self/status"))
    of_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(int(status["VmHWM"].split()[0]) * 1024, of_worker * 1024, task.ground.nbytes)
"""


def peaks(data: Path, memory: float, workers: int = 0) -> tuple[int, int, int]:
    """Peak of a training process and of its largest worker, and the fields, all in bytes."""
    program = data.parent / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(data), str(memory), str(workers)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    own, of_worker, fields = map(int, done.stdout.split()[-3:])
    return own, of_worker, fields


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak of memory")
def test_memory_does_not_grow_by_the_fields(tmp_path: Path) -> None:
    """Of a whole run, from reading to the model folder, and of the process that draws crops."""
    sets = {}
    for name, count in (("few", 2), ("many", 20)):
        (tmp_path / name).mkdir()
        labels = {f"f{number}": ["DAPI"] for number in range(count)}
        splits = {f"f{count - 1}": "validation"}
        sets[name] = write_dataset(tmp_path / name, labels, size=768, splits=splits)
    few, of_worker_of_few, _ = peaks(sets["few"], 0.001, workers=1)
    many, of_worker_of_many, size = peaks(sets["many"], 0.001, workers=1)
    held, _, _ = peaks(sets["many"], 8.0)
    assert size > 150 * MIB
    assert many - few < size / 4
    assert of_worker_of_many - of_worker_of_few < size / 4
    # Otherwise this would show nothing.
    assert held - many > size / 2
