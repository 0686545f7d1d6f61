"""Model folders of any kind: whole or not at all, checked by their hashes, kinds told apart."""

import hashlib
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from isl import model_folder
from isl.config import load_toml
from isl.errors import InputError
from isl.model_folder import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    FolderConfig,
    arrays_of,
    bundled_models,
    check_folder,
    check_shapes,
    fill,
    model_directory,
    model_kind,
    read_folder_config,
    read_weights,
    save_folder,
    stored_shapes,
)


class ScaleConfig(FolderConfig):
    # Frozen, which pyright cannot see: a narrower type is sound.
    kind: Literal["scale"] = "scale"  # pyright: ignore[reportIncompatibleVariableOverride]
    steps: int = 3


class Scale(nnx.Module):
    """A network of two arrays, one of them a batch statistic."""

    def __init__(self, depth: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.inner = nnx.List([nnx.BatchNorm(depth, rngs=nnx.Rngs(0))])
        self.factor = nnx.Param(jnp.asarray(rng.normal(size=depth).astype(np.float32)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    directory = tmp_path / "made" / "scale"
    save_folder(directory, Scale(), ScaleConfig(name="scale"), "# A card: µm\n")
    return directory


def test_what_is_saved_is_read_back_bit_for_bit(folder):
    config = read_folder_config(folder, ScaleConfig)
    assert (config.name, config.kind, config.steps) == ("scale", "scale", 3)
    assert check_folder(folder, config) == "# A card: µm\n"
    arrays = arrays_of(Scale())
    assert set(arrays) == {
        "factor",
        "inner/0/scale",
        "inner/0/bias",
        "inner/0/mean",
        "inner/0/var",
    }
    stored = read_weights(folder / WEIGHTS_FILE)
    fresh = Scale(seed=1)
    fill(fresh, stored, source="here")
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored[name], array)
        np.testing.assert_array_equal(arrays_of(fresh)[name], array)
    assert stored_shapes(folder)["factor"] == (3,)


def test_hashes_are_those_of_the_files(folder):
    hashes = load_toml(folder / CONFIG_FILE, ScaleConfig).sha256
    assert hashes == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (WEIGHTS_FILE, CARD_FILE)
    }


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CARD_FILE])
def test_changed_or_missing_files_are_refused_by_name(folder, name):
    config = read_folder_config(folder, ScaleConfig)
    damaged = bytearray((folder / name).read_bytes())
    damaged[-1] ^= 1
    (folder / name).write_bytes(damaged)
    with pytest.raises(InputError, match=f"{name}: is damaged or was changed"):
        check_folder(folder, config)
    hashes = {key: value for key, value in config.sha256.items() if key != name}
    without = config.model_copy(update={"sha256": hashes})
    with pytest.raises(InputError, match=rf"model\.toml: gives no sha256 for {name}"):
        check_folder(folder, without)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: is missing from the model folder"):
        check_folder(folder, config)


def test_weights_that_are_none_are_refused(folder):
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    for read in (read_weights, lambda path: stored_shapes(path.parent)):
        with pytest.raises(InputError, match=r"weights\.safetensors: cannot be read as weights"):
            read(folder / WEIGHTS_FILE)


def test_kernels_of_half_the_size_are_read_as_float32(tmp_path):
    network = nnx.Linear(300, 70, rngs=nnx.Rngs(0))
    for kernels in ("float32", "float16"):
        save_folder(tmp_path / kernels, network, ScaleConfig(name="s"), "", kernels=kernels)
    stored = read_weights(tmp_path / "float16" / WEIGHTS_FILE)
    assert (stored["kernel"].dtype, stored["bias"].dtype) == (np.float16, np.float32)
    whole, half = (
        (tmp_path / kind / WEIGHTS_FILE).stat().st_size for kind in ("float32", "float16")
    )
    assert whole / half == pytest.approx(2, rel=0.01)
    read = nnx.Linear(300, 70, rngs=nnx.Rngs(1))
    fill(read, stored, source="test")
    assert read.kernel.dtype == np.float32
    np.testing.assert_allclose(read.kernel[...], network.kernel[...], rtol=1e-3, atol=1e-6)


def test_an_existing_folder_is_kept_unless_asked(folder):
    before = (folder / WEIGHTS_FILE).read_bytes()
    other = Scale(seed=1)
    with pytest.raises(InputError, match="already exists; name another folder or remove it"):
        save_folder(folder, other, ScaleConfig(name="other"), "# Other")
    assert (folder / WEIGHTS_FILE).read_bytes() == before
    save_folder(folder, other, ScaleConfig(name="other"), "# Other", overwrite=True)
    assert read_folder_config(folder, ScaleConfig).name == "other"
    assert [path.name for path in folder.parent.iterdir()] == ["scale"]


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: m cannot be written there"):
        save_folder(tmp_path / "file" / "m", Scale(), ScaleConfig(name="m"), "")

    def full(path, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder.Path, "write_text", full)
    with pytest.raises(InputError, match=r"m cannot be written there \(No space left on device\)"):
        save_folder(tmp_path / "sub" / "m", Scale(), ScaleConfig(name="m"), "")
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_model_of_another_kind_is_refused(folder, tmp_path):
    class OtherConfig(FolderConfig):
        # As above.
        kind: Literal["other"] = "other"  # pyright: ignore[reportIncompatibleVariableOverride]

    with pytest.raises(InputError, match="is a model of kind 'scale', not 'other'"):
        read_folder_config(folder, OtherConfig)
    assert model_kind(folder) == "scale"
    (tmp_path / CONFIG_FILE).write_text('name = "old"\n')
    assert model_kind(tmp_path) == "labeling"


def test_models_are_found_by_name_or_folder(folder, monkeypatch):
    monkeypatch.setattr(model_folder, "BUNDLED", folder.parent)
    assert bundled_models() == {"scale": folder}
    assert model_directory("scale") == model_directory(folder) == folder
    with pytest.raises(InputError, match="runs/scale: there is no such folder; give a model"):
        model_directory("runs/scale")
    with pytest.raises(InputError, match="unknown model 'scales'; did you mean 'scale'"):
        model_directory("scales")
    with pytest.raises(InputError, match=r"is not a model folder: it holds no model\.toml"):
        model_directory(folder.parent)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": (2,)}, "here: variable 'b' is missing, and 1 more"),
        ({"a": (2,), "b": (3,), "c": (1,), "d": ()}, "'d' belongs to no part of this network"),
        ({"a": (2,), "b": (4,), "c": (1,)}, r"'b' has another shape \(\[4\], expected \[3\]\)"),
    ],
)
def test_arrays_that_do_not_fit_are_named(given, message):
    wanted = {"a": (2,), "b": (3,), "c": (1,)}
    check_shapes(wanted, dict(wanted), source="here")
    with pytest.raises(InputError, match=message):
        check_shapes(wanted, given, source="here")


def test_a_network_is_not_filled_in_part():
    network, arrays = Scale(), arrays_of(Scale(seed=1))
    before = arrays_of(network)
    with pytest.raises(InputError, match="variable 'factor' has another shape"):
        fill(network, {**arrays, "factor": np.zeros(4, np.float32)}, source="here")
    for name, array in arrays_of(network).items():
        np.testing.assert_array_equal(array, before[name])


def test_nothing_is_executed_by_loading(folder):
    """A weights file holds arrays and nothing else."""
    assert set(safetensors.numpy.load_file(folder / WEIGHTS_FILE)) == set(arrays_of(Scale()))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".toml", ".md"}
