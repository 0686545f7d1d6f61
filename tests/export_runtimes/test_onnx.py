"""ONNX as onnxruntime computes it, against JAX: every network, odd sizes, several images."""

import bioimageio.core as core
import jax
import jax.export
import numpy as np
import onnxruntime
import pytest
from flax import nnx

import isl
from isl.backbones.deeplab import DeepLabConfig
from isl.backbones.encoder_unet import EncoderUNetConfig
from isl.backbones.unet import UNetConfig
from isl.errors import InputError
from isl.export.formats import compared, write_export
from isl.export.onnx_graph import onnx_model
from isl.export.program import Wanted, program_of
from isl.labeling import bins
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.towers import TowersConfig

TOLERANCE = 1e-4


def session_of(program):
    content = onnx_model(program).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def saved(folder, architecture):
    """A model with weights that are not zero."""
    # Nothing holds what a hundred fresh modules of the towers make in range.
    heads = 0.0005 if architecture.kind == "towers" else 0.02
    network = build_network(architecture, planes=2, labels=("A", "B"), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)

    def moved(array):
        # Heads are drawn as zeros, norms as ones; convolutions keep what keeps signals in range. Of
        # logits in the hundreds, as larger heads would give, the last digits of float32 show.
        noise = rng.standard_normal(array.shape, np.float32)
        return array + {1: 0.05, 2: heads}.get(array.ndim, 0.0) * noise

    drawn = jax.tree.map(moved, nnx.state(network))
    nnx.update(network, drawn)
    config = ModelConfig(
        name="tiny", architecture=architecture, labels=("A", "B"), input=InputContract(planes=2)
    )
    save_model(folder, network, config, "# tiny\n")
    return folder


@pytest.mark.parametrize(
    "architecture",
    [
        UNetConfig(levels=3, width=4),
        UNetConfig(levels=2, width=4, stem=2),
        DeepLabConfig(depth=10, width=4, context=4, decoder=4),
        EncoderUNetConfig(decoder=(4, 4, 4, 4)),
        TowersConfig(),
    ],
    ids=lambda architecture: f"{architecture.kind}",
)
def test_every_network_agrees_at_every_size(tmp_path, architecture):
    names = ("mean", "standard_deviation", "distribution")
    program = program_of(saved(tmp_path / "tiny", architecture), Wanted(statistics=names))
    session = session_of(program)
    rng = np.random.default_rng(1)
    for shape in ((1, 2, 37, 50), (2, 2, 41, 29)):
        given = rng.random(shape, np.float32)
        found = session.run(None, {"transmitted": given})
        expected = program.call(given)
        for name, other in zip(names, found, strict=True):
            assert other.std() > 0
            np.testing.assert_allclose(other, expected[name], atol=TOLERANCE)


@pytest.mark.parametrize("model", ["phantom", "neurons-phase", "ezrin-aif"])
def test_bundled_labeling_models_give_what_predict_gives(model):
    program = program_of(model, Wanted(statistics=("mean", "entropy")))
    stack = np.random.default_rng(2).random((program.input.shape[1], 53, 70), np.float32)
    mean, entropy = session_of(program).run(None, {"transmitted": stack[None]})
    ours = isl.load_model(model).predict(
        stack, axes="ZYX", statistics=("mean", "entropy"), allow_mismatch=True
    )
    np.testing.assert_allclose(mean[0], ours.statistics["mean"], atol=TOLERANCE)
    np.testing.assert_allclose(entropy[0], ours.statistics["entropy"], atol=TOLERANCE)


def test_every_statistic_is_exported_within_the_tolerance_and_only_steps_may_jump():
    further = tuple(name for name in bins.FURTHER_STATISTICS if name != bins.SAMPLE)
    names = (*bins.STATISTICS, *further)
    program = program_of("phantom", Wanted(statistics=names))
    assert [port.name for port in program.outputs if port.stepped] == ["mode"]
    model = onnx_model(program).SerializeToString()
    assert compared(program, model) < TOLERANCE


def test_one_number_that_differs_is_refused(monkeypatch):
    program = program_of("phantom", Wanted(statistics=("mean",)))
    model = onnx_model(program).SerializeToString()
    moved = {name: array.copy() for name, array in program.call(program.trial).items()}
    moved["mean"][0, 0, 3, 4] += 0.01
    monkeypatch.setattr(type(program), "call", lambda self, given: moved)
    with pytest.raises(InputError, match=r"'mean' differs between .* by up to 0\.01"):
        compared(program, model)


def test_colony_gives_its_own_probabilities():
    program = program_of("colony")
    patches = np.random.default_rng(3).random((3, *program.trial.shape[1:]), np.float32)
    (found,) = session_of(program).run(None, {"patch": patches})
    ours = isl.load_model("colony").probabilities(np.moveaxis(patches, 1, -1))
    np.testing.assert_allclose(found, ours, atol=TOLERANCE)


def test_fragmentation_gives_its_first_look():
    model = isl.load_model("fragmentation")
    program = program_of("fragmentation")
    probability, share = session_of(program).run(None, {"frame": program.trial})
    (ours,) = model._look([program.trial[0, 0]], 1)
    np.testing.assert_allclose(
        np.moveaxis(probability[0], 0, -1), ours.probabilities, atol=TOLERANCE
    )
    areas = [(ours.labels == label).sum() for label in (1, 2)]
    np.testing.assert_allclose(share[0, 0], areas[1] / sum(areas), atol=TOLERANCE)


def test_polarity_calls_frames_as_its_members_do():
    model = isl.load_model("polarity")
    frames = np.random.default_rng(4).random((2, 1, 224, 224), np.float32)
    (found,) = session_of(program_of("polarity")).run(None, {"frame": frames})
    logits = model.logits_of_views(np.moveaxis(frames, 1, -1))
    after = np.mean(1 / (1 + np.exp(logits[..., 0] - logits[..., 1])), axis=0)
    np.testing.assert_allclose(found[:, 0], after, atol=TOLERANCE)


def test_bioimageio_core_passes_the_package(tmp_path):
    program = program_of("phantom", Wanted(statistics=("mean", "standard_deviation")))
    write_export(program, tmp_path / "out", "bioimageio")
    summary = core.test_model(tmp_path / "out" / "phantom.bioimageio.zip", weight_format="onnx")
    assert summary.status == "passed", summary.display()


def test_stablehlo_has_no_size_and_no_isl(tmp_path):
    program = program_of(
        saved(tmp_path / "tiny", UNetConfig(levels=2, width=3)), Wanted(statistics=("mean",))
    )
    write_export(program, tmp_path / "out", "stablehlo")
    artifact = (tmp_path / "out" / "tiny.stablehlo").read_bytes()
    loaded = jax.export.deserialize(bytearray(artifact))
    for size in ((17, 30), (26, 21)):
        given = np.random.default_rng(1).random((1, 2, *size), np.float32)
        expected = program.call(given)["mean"]
        np.testing.assert_allclose(loaded.call(given)["mean"], expected, atol=1e-5)
