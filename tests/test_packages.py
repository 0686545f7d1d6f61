"""The wheel, installed away from the checkout, and a new task in a package beside it.

The wheel holds all that predicting needs. The new task is tests/toy: nothing of isl names it, it
edits no file of isl, and yet it is trained, listed, predicted and evaluated like isl's own.
"""

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).parent / "toy"
MANIFEST = """
[targets]
brightness = { kind = "number" }

[[table]]
file = "images.csv"
name = "image"
split = "side"
inputs = { image = "image" }
targets = { brightness = "brightness" }
"""
FOLDERS = {"isl": "isl", "train": "isl_train", "eval": "isl_eval"}


def run(*command: str | Path, **options) -> str:
    done = subprocess.run([*command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the files that git would hand over, so that no leftover build folder is packed."""
    source = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, source
    )  # fmt: skip
    (wheel,) = built.glob("isl-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment of its own whose dependencies, and nothing else, are this one's.

    Its .pth file adds the packages of this environment as plain folders, in which the .pth file of
    the editable installation is not read: isl can only come from the wheel.
    """
    home = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-c", ask).strip())
    install(home, wheel)
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (site_packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return home / "bin"


def install(home: Path, package: Path) -> None:
    run(
        sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet",
        "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", package,
    )  # fmt: skip


def outside(installed: Path, *command: str | Path, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "ISL_DATA")}
    return run(*command, cwd=folder, env=environment)


def test_every_source_and_model_file_is_in_the_wheel(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        Path(name, path.relative_to(ROOT / folder)).as_posix()
        for folder, name in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    models = ROOT / "isl" / "models"
    expected |= {
        path.relative_to(ROOT).as_posix()
        for ending in ("safetensors", "toml", "md")
        for path in models.glob(f"*/*.{ending}")
    }
    configurations = run("git", "-C", ROOT, "ls-files", "configs/*.toml", "configs/data/*.toml")
    expected |= {line.replace("configs/", "isl_configs/", 1) for line in configurations.split()}
    assert expected - held == set()
    ours = ("isl/", "isl_train/", "isl_eval/", "isl_configs/")
    foreign = {name for name in held if not name.startswith(ours)}
    assert {name for name in foreign if ".dist-info/" not in name} == set()
    assert any(name.endswith("/licenses/LICENSE") for name in held)


def test_the_licence_of_weights_that_are_not_free_goes_with_them(wheel):
    with zipfile.ZipFile(wheel) as held:
        place = "isl/models/nuclei-brightfield/LICENSE"
        assert "noncommercial and research purposes only" in held.read(place).decode()
        metadata = next(name for name in held.namelist() if name.endswith(".dist-info/METADATA"))
        said = held.read(metadata).decode()
    assert "License-Expression: Apache-2.0 AND LicenseRef-sephaCe" in said
    assert f"License-File: {place}" in said


def test_packages_come_from_the_wheel(installed, tmp_path):
    statement = "import isl, isl_train, isl_eval; print(isl.__file__, isl_train.__file__)"
    shown = outside(installed, installed / "python", "-c", statement, folder=tmp_path)
    assert shown.count(str(installed.parent)) == 2
    assert str(ROOT) not in shown


def test_the_command_runs(installed, tmp_path):
    shown = outside(installed, installed / "isl", "--help", folder=tmp_path)
    for command in ("predict", "polarity", "focus", "models", "train", "eval"):
        assert f"  {command} " in shown
    listed = outside(installed, installed / "isl", "models", folder=tmp_path)
    bundled = [path.parent.name for path in (ROOT / "isl" / "models").glob("*/model.toml")]
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(bundled)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folder(installed, tmp_path_factory) -> Path:
    """Images of known brightness, where the toy task is installed."""
    source = tmp_path_factory.mktemp("toy") / "source"
    shutil.copytree(TOY, source)
    install(installed.parent, source)
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(TOY / "brightness.toml", folder)
    rng = np.random.default_rng(0)
    rows = ["image,side,brightness"]
    for index in range(8):
        image = rng.integers(0, 32 * (index + 1), (6, 5)).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{index}.png")
        side = "test" if index in (1, 6) else "train"
        rows.append(f"{index}.png,{side},{3 + 2 * image.mean() / 255}")
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    (folder / "images.toml").write_text(MANIFEST)
    return folder


def test_a_new_task_is_one_package(installed, folder):
    def isl(*words: str) -> str:
        return outside(installed, installed / "isl", *words, folder=folder)

    assert "  brightness " in isl("--help")
    made = isl("train", "brightness.toml", "--workdir", "run", "--device", "cpu")
    assert made.strip() == "run/model"
    assert "brightness in candela" in isl("inspect", "run/model")

    isl("brightness", "1.png", "7.png", "--out", "out", "--model", "run/model")
    predicted, truth = (brightness_in(folder / f) for f in ("out/brightness.csv", "images.csv"))
    expected = {name: truth[name] for name in ("1.png", "7.png")}
    assert predicted == pytest.approx(expected, abs=0.02)

    judge = 'task = "brightness"\nmodel = "run/model"\ndataset = "images.toml"\n'
    (folder / "judge.toml").write_text(judge)
    isl("eval", "judge.toml", "--out", "judged", "--device", "cpu")
    assert "mean absolute error 0.0" in (folder / "judged" / "report.html").read_text()

    # A model that comes with the package is listed, and known by its name.
    place = "import isl_toy; print(isl_toy.__path__[0])"
    package = Path(outside(installed, installed / "python", "-c", place, folder=folder).strip())
    shutil.copytree(folder / "run" / "model", package / "models" / "lamp")
    assert "lamp" in isl("models")
    isl("brightness", "1.png", "--out", "by-name", "--model", "lamp")
    assert brightness_in(folder / "by-name" / "brightness.csv").keys() == {"1.png"}


def brightness_in(table: Path) -> dict[str, float]:
    with table.open(newline="") as file:
        return {row["image"]: float(row["brightness"]) for row in csv.DictReader(file)}
