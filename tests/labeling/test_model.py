"""Model folders: what is saved is loaded, and what is damaged is refused by name."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.labeling import bins
from isl.labeling.kind import summary
from isl.labeling.model import load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.model_folder import bundled_models, model_directory, stored_shapes

ARCHITECTURE = UNetConfig(levels=2, width=4)
LABELS = ("NUCLEI", "MEMBRANE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = build_network(
        ARCHITECTURE, planes=3, labels=LABELS, autoencode=True, rngs=nnx.Rngs(1)
    )
    config = ModelConfig(
        name="small",
        labels=LABELS,
        autoencode=True,
        architecture=ARCHITECTURE,
        input=InputContract(planes=3, modality="DIC", pixel_size=0.3),
    )
    save_model(tmp_path / "small", network, config, "# A card\n")
    return tmp_path / "small"


def test_a_loaded_model_predicts_what_the_saved_network_does(folder: Path) -> None:
    network = build_network(
        ARCHITECTURE, planes=3, labels=LABELS, autoencode=True, rngs=nnx.Rngs(1)
    )
    network.eval()
    model = load_model(folder)
    assert (model.name, model.labels, model.card) == ("small", LABELS, "# A card\n")
    assert model.config.input.modality == "DIC"
    batch = np.random.default_rng(0).random((1, 20, 24, 3), np.float32)
    expected = network.label_logits(network.embed(batch))
    np.testing.assert_allclose(model.logits(batch, LABELS), expected, rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_the_logits_for_the_labels_asked_for(folder: Path) -> None:
    model = load_model(folder)
    batch = np.random.default_rng(0).random((2, 28, 20, 3), np.float32)
    labels = ("MEMBRANE", "NUCLEI")
    expected = bins.statistics(model.logits(batch, labels))
    given = model.statistics(batch, labels, bins.STATISTICS)
    for name in bins.STATISTICS:
        assert given[name].shape == (2, 12, 4, 2)
        np.testing.assert_allclose(given[name], expected[name], atol=1e-5)
    alone = model.statistics(batch, ("NUCLEI",), ("mean",))["mean"]
    np.testing.assert_allclose(alone[..., 0], given["mean"][..., 1], atol=1e-6)


def test_logits_and_statistics_are_at_the_temperatures_of_the_labels_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    plain = load_model(folder)
    config = plain.config.model_copy(update={"temperature": {"MEMBRANE": 2.5}})
    save_model(tmp_path / "warm", plain.network, config, "# A card\n")
    warm = load_model(tmp_path / "warm")
    assert warm.config.temperature == {"MEMBRANE": 2.5}
    batch = np.random.default_rng(0).random((1, 20, 24, 3), np.float32)
    for labels in (("NUCLEI", "MEMBRANE"), ("MEMBRANE", "NUCLEI"), ("MEMBRANE",)):
        by_label = np.array([2.5 if label == "MEMBRANE" else 1.0 for label in labels], np.float32)
        expected = plain.logits(batch, labels) / by_label.reshape(1, 1, 1, -1, 1)
        np.testing.assert_allclose(warm.logits(batch, labels), expected, rtol=1e-5, atol=1e-6)
        given = warm.statistics(batch, labels, ("standard_deviation", "median"))
        wanted = bins.statistics(expected, ("standard_deviation", "median"))
        for name, values in wanted.items():
            np.testing.assert_allclose(given[name], values, atol=1e-5)


def test_a_model_with_temperatures_is_told_from_the_one_without(
    folder: Path, tmp_path: Path
) -> None:
    plain = load_model(folder)
    assert plain.hash == plain.config.sha256["weights.safetensors"]
    hashes = {plain.hash}
    for index, temperature in enumerate(({"NUCLEI": 2.0}, {"NUCLEI": 2.5}, {"MEMBRANE": 2.0})):
        config = plain.config.model_copy(update={"temperature": temperature})
        save_model(tmp_path / f"warm{index}", plain.network, config, "# A card\n")
        hashes.add(load_model(tmp_path / f"warm{index}").hash)
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("NUCLEI = 0.0", "temperature.NUCLEI"),
        ("NUCLEI = -1.0", "temperature.NUCLEI"),
        ("NUCLEI = inf", "temperature.NUCLEI"),
        ("NUCLEUS = 1.0", "'NUCLEUS', which is no label"),
    ],
)
def test_temperatures_that_mean_nothing_are_refused(
    folder: Path, table: str, complaint: str
) -> None:
    path = folder / "model.toml"
    path.write_text(path.read_text().replace("[temperature]", f"[temperature]\n{table}"))
    with pytest.raises(InputError, match=complaint):
        load_model(folder)


def test_an_existing_folder_is_kept_unless_told_otherwise(folder: Path) -> None:
    model = load_model(folder)
    with pytest.raises(InputError, match="already exists"):
        save_model(folder, model.network, model.config, "# Another card\n")
    assert load_model(folder).card == "# A card\n"
    save_model(folder, model.network, model.config, "# Another card\n", overwrite=True)
    assert load_model(folder).card == "# Another card\n"
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_shapes_can_be_read_without_loading(folder: Path) -> None:
    assert stored_shapes(folder)["body/down/0/first/kernel"] == (3, 3, 3, 4)


@pytest.mark.parametrize("name", ["weights.safetensors", "card.md"])
def test_missing_and_damaged_files_are_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"!")
    with pytest.raises(InputError, match=rf"{name}: is damaged or was changed"):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: is missing"):
        load_model(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("width = 4", "width = 6"))
    with pytest.raises(InputError, match=r"variable '.*' has another shape \(.*expected.*and"):
        load_model(folder)


def test_surplus_variables_are_refused(folder: Path) -> None:
    model = load_model(folder)
    arrays = safetensors.numpy.load_file(folder / "weights.safetensors")
    from isl.model_folder import fill

    with pytest.raises(InputError, match="'stray' belongs to no part of this network"):
        fill(model.network, {**arrays, "stray": np.zeros(1)}, source="here")


def test_unknown_keys_and_wrong_types_are_refused(folder: Path) -> None:
    text = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(text.replace("levels = 2", "level = 2"))
    with pytest.raises(InputError, match=r"did you mean .architecture.*levels."):
        load_model(folder)
    (folder / "model.toml").write_text(text.replace("levels = 2", "levels = 'two'"))
    with pytest.raises(InputError, match="levels"):
        load_model(folder)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown model 'nothing'"):
        model_directory("nothing")
    with pytest.raises(InputError, match="is not a model folder"):
        model_directory(tmp_path)


def test_a_model_says_how_many_planes_it_takes() -> None:
    said = {name: summary(bundled_models()[name]) for name in ("phantom", "nuclei-brightfield")}
    assert "from 13 planes of" in said["phantom"]
    assert "from any number of planes of brightfield" in said["nuclei-brightfield"]


@pytest.mark.parametrize(
    "name", ["phantom", "neurons-phase", "neurons-towers", "nuclei-brightfield"]
)
def test_bundled_models_load_and_have_cards(name: str) -> None:
    model = load_model(bundled_models()[name])
    assert model.name == name
    for heading in ("Trained on", "Held-out", "not be used"):
        assert heading in model.card
