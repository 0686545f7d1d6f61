"""Importing published variables: names, folded masks, and refusals that name the variable."""

from pathlib import Path

import numpy as np
import pytest

from isl.errors import InputError
from isl.labeling import published_weights
from isl.labeling.model import load_model
from isl.labeling.model_config import InputContract, ModelConfig, network_of, read_model_config
from isl.labeling.published_weights import export_weights, import_weights, published_names
from isl.labeling.towers import TowersConfig
from isl.model_folder import abstract_arrays, arrays_of

PLANES = 3
LABELS = ("DAPI_CONFOCAL", "NEURITE_CONFOCAL")


def _variables(base_depth: int = 12, features: int = PLANES) -> dict[str, np.ndarray]:
    """Random variables under their published names."""
    config = ModelConfig(
        name="made",
        labels=LABELS,
        architecture=TowersConfig(base_depth=base_depth),
        input=InputContract(planes=features),
    )
    rng = np.random.default_rng(0)
    variables = {}
    shapes = abstract_arrays(network_of(config))
    for ours, theirs in published_names(config).items():
        shape = shapes[ours].shape
        shape = (1, 1, *shape) if ours.endswith("linear/kernel") else shape
        variables[theirs] = rng.normal(size=shape).astype(np.float32)
    return variables


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    return _variables()


def _write(path: Path, variables: dict[str, np.ndarray]) -> Path:
    np.savez(path, **variables)
    return path


@pytest.mark.parametrize("prefix", ["", "var/"])
def test_variables_become_a_model_folder(
    tmp_path: Path, variables: dict[str, np.ndarray], prefix: str
) -> None:
    named = {f"{prefix}{name}": array for name, array in variables.items()}
    slots = {f"{prefix}global_step": np.array(7), f"{prefix}Conv/weights/Adam": np.zeros(3)}
    file = _write(tmp_path / "published.npz", named | slots)
    model = load_model(import_weights(file, PLANES, tmp_path / "model"))
    assert model.config.stitch == "exact"
    assert model.labels == LABELS
    assert model.config.input.planes == PLANES
    arrays = arrays_of(model.network)
    for ours, theirs in published_names(model.config).items():
        np.testing.assert_array_equal(arrays[ours], variables[theirs].reshape(arrays[ours].shape))


def test_what_was_imported_is_exported_as_it_was(
    tmp_path: Path, variables: dict[str, np.ndarray]
) -> None:
    file = _write(tmp_path / "published.npz", variables)
    model = import_weights(file, PLANES, tmp_path / "model")
    exported = export_weights(model, tmp_path / "out")
    with np.load(exported) as found:
        assert set(found.files) == set(variables)
        for name, array in variables.items():
            np.testing.assert_array_equal(found[name], array)
    with pytest.raises(InputError, match="exists already"):
        export_weights(model, tmp_path / "out")


def test_the_bundled_towers_are_the_published_network(tmp_path: Path) -> None:
    """They go out under its names and come back with every weight."""
    bundled = load_model("neurons-towers")
    assert bundled.config.architecture.kind == "towers"
    file = export_weights("neurons-towers", tmp_path / "out")
    again = load_model(import_weights(file, bundled.config.input.planes, tmp_path / "model"))
    given, found = arrays_of(bundled.network), arrays_of(again.network)
    assert given.keys() == found.keys()
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_what_the_published_code_has_not_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model 'phantom': the published code has towers alone"):
        export_weights("phantom", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_towers_deeper_than_an_import_looks_for_are_not_exported(
    tmp_path: Path, variables: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write(tmp_path / "published.npz", variables)
    model = import_weights(file, PLANES, tmp_path / "model")
    depth = read_model_config(model).architecture.base_depth
    monkeypatch.setattr(published_weights, "_LARGEST_BASE_DEPTH", depth - 1)
    with pytest.raises(InputError, match=f"base depth {depth} is more than the {depth - 1}"):
        export_weights(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_base_depth_is_the_largest_that_gives_the_same_depths(tmp_path: Path) -> None:
    """37 to 40 give equal shapes (specification, section 5)."""
    file = _write(tmp_path / "published.npz", _variables(base_depth=37))
    model = load_model(import_weights(file, PLANES, tmp_path / "model"))
    assert model.config.architecture.model_dump()["base_depth"] == 40


def test_features_of_masks_are_folded_into_the_bias(tmp_path: Path) -> None:
    doubled = _variables(features=2 * PLANES)
    file = _write(tmp_path / "published.npz", doubled)
    model = load_model(import_weights(file, PLANES, tmp_path / "model"))
    projection = model.network.body.projection
    planes = np.random.default_rng(1).random((1, 1, 1, PLANES), np.float32)
    with_masks = np.stack([planes, np.ones_like(planes)], axis=-1).reshape(1, 1, 1, -1)
    expected = with_masks @ doubled["Conv/weights"][0, 0] + doubled["Conv/biases"]
    np.testing.assert_allclose(projection(planes), expected, rtol=1e-5, atol=1e-5)


def test_autoencoding_heads_are_taken_in_the_order_of_planes(
    tmp_path: Path, variables: dict[str, np.ndarray]
) -> None:
    head = "head/MAXPROJECT/DAPI_CONFOCAL/"
    extended = dict(variables)
    for z in (10, 2, 1):
        for name, array in variables.items():
            if name.startswith(head):
                extended[name.replace(head, f"head/{z}/TRANSMISSION/")] = array + z
    file = _write(tmp_path / "published.npz", extended)
    model = load_model(import_weights(file, PLANES, tmp_path / "model"))
    bias = extended["head/MAXPROJECT/DAPI_CONFOCAL/residual_v2_conv/Conv/biases"]
    for z, plane_head in zip((1, 2, 10), model.network.plane_heads, strict=True):
        np.testing.assert_allclose(plane_head.linear.bias[...], bias + z)


NAME = "lower_scale_3_recursion_2/reduce_rv2/Conv/weights"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop(NAME), f"variable '{NAME}' is missing"),
        (lambda v: v.pop("Conv/biases"), "variable 'Conv/biases' is missing"),
        (
            lambda v: v.update({"stray/weights": np.zeros(2, np.float32)}),
            "variable 'stray/weights' belongs to no part",
        ),
        (
            lambda v: v.update({NAME: v[NAME][..., :-1]}),
            rf"variable '{NAME}' has another shape \(.*expected",
        ),
        (
            lambda v: v.update({"Conv/weights": np.zeros((1, 1, 5, 16), np.float32)}),
            "takes 5 input features; `planes=3` fits 3 or 6",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, variables: dict[str, np.ndarray], change, message: str
) -> None:
    changed = dict(variables)
    change(changed)
    file = _write(tmp_path / "published.npz", changed)
    with pytest.raises(InputError, match=message):
        import_weights(file, PLANES, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        import_weights(tmp_path / "missing.npz", PLANES, tmp_path / "model")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        import_weights(text, PLANES, tmp_path / "model")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"cannot be read as \.npz"):
        import_weights(pickled, PLANES, tmp_path / "model")
    headless = _write(tmp_path / "headless.npz", {"Conv/weights": np.zeros((1, 1, 3, 16))})
    with pytest.raises(InputError, match="no label heads"):
        import_weights(headless, PLANES, tmp_path / "model")


def test_a_checkpoint_needs_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "model.ckpt.index").touch()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match="needs tensorflow"):
        import_weights(tmp_path / "model.ckpt", PLANES, tmp_path / "model")
