"""The wheel holds all that predicting needs: built, installed away from the checkout, and run."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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

    Its .pth file adds the packages of this environment as plain folder, in which the .pth file of
    the editable installation is not read: isl can only come from the wheel.
    """
    home = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-c", ask).strip())
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", "--disable-pip-version-check", wheel,
    )  # fmt: skip
    dependencies = run(sys.executable, "-c", ask).strip()
    (site_packages / "dependencies.pth").write_text(dependencies + "\n")
    return home / "bin"


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
    assert expected - held == set()
    foreign = {name for name in held if not name.startswith(("isl/", "isl_train/", "isl_eval/"))}
    assert {name for name in foreign if ".dist-info/" not in name} == set()
    assert any(name.endswith("/licenses/LICENSE") for name in held)


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
