"""EZRIN is predicted from what its network was trained on, by `isl train` and by `isl polarity`."""

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from isl.backbones.resnet import ResNetConfig
from isl.backbones.unet import UNetConfig
from isl.labeling.dataset import load_manifest
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.polarity.assess import assess
from isl.polarity.classifier import build_classifier
from isl.polarity.embryo import load_embryos
from isl.polarity.model import (
    EZRIN_FOLDER,
    PolarityConfig,
    load_polarity_model,
    save_polarity_model,
)
from isl.polarity.recording import read_recording
from isl_train.labeling.ground import load_ground
from isl_train.polarity.crossfit import predicted_ezrin, seen_by_labeling

FULL = 2**16 - 1


@pytest.fixture
def recording(tmp_path):
    """A folder of 16-bit frames: normal ones as stored, but not once stretched, and a faint one."""
    noise = np.random.default_rng(0).normal(size=(4, 64, 64))
    contrasts = 0.125 * np.array([1, 1, 1, 0.3])[:, None, None]
    frames = np.clip(np.rint(FULL * (0.5 + contrasts * noise)), 0, FULL).astype(np.uint16)
    frames[:, 0, 0] = FULL
    for kind in ("dic", "ezrin"):
        (tmp_path / kind / "A").mkdir(parents=True)
        for t, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / kind / "A" / f"t{t:03d}.png")
    rows = "".join(f"A,{t},{t > 1:d}\n" for t in range(4))
    (tmp_path / "labels.csv").write_text(f"embryo,t,polarized\n{rows}")
    (tmp_path / "set.toml").write_text(
        '[[time_lapse]]\nname = "A"\nframes = "dic/A"\nlabels = { EZRIN = "ezrin/A" }\n'
        'annotation = { table = "labels.csv" }\n'
    )
    return tmp_path


@pytest.fixture
def model(tmp_path):
    backbone = ResNetConfig(depth=10, width=4, stem="small")
    member = build_classifier(backbone, 1, rngs=nnx.Rngs(0))
    config = PolarityConfig(
        name="tiny", arm="ezrin", backbone=backbone, members=1, size=16, window=0.8
    )
    save_polarity_model(tmp_path / "tiny", [member], config, "# Tiny")
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=1, labels=("EZRIN",), rngs=nnx.Rngs(0))
    kernel = network.label_heads["EZRIN"].linear.kernel
    kernel[...] = np.random.default_rng(1).normal(size=kernel[...].shape).astype(np.float32)
    ezrin = ModelConfig(
        name="tiny-ezrin",
        labels=("EZRIN",),
        architecture=architecture,
        input=InputContract(planes=1, modality="DIC", normalized_by="recording"),
    )
    save_model(tmp_path / "tiny" / EZRIN_FOLDER, network, ezrin, "# Tiny")
    return load_polarity_model(tmp_path / "tiny")


def test_training_and_assessing_give_the_network_the_same(recording, model):
    manifest = load_manifest(recording / "set.toml")
    (embryo,) = load_embryos(manifest)
    ezrin = model.ezrin_model()
    found = assess(read_recording(recording / "dic" / "A"), model, ezrin)
    in_training = predicted_ezrin(ezrin, embryo)
    np.testing.assert_array_equal(found.ezrin.statistics["mean"][:, 0], in_training)
    assert in_training.std() > 1e-3
    # What it learned from, by the record of what was done to each frame.
    learned = load_ground(manifest).training
    stored = seen_by_labeling(1, embryo)[:, 0] / np.float32(FULL)
    for field, frame, (record,) in zip(learned, stored, found.ezrin.normalization, strict=True):
        mapped = np.clip(frame * record.scale + record.offset, 0, 1)
        np.testing.assert_allclose(field.transmitted[..., 0], mapped, atol=1e-6)
    # The faint frame is not normal, so none is left as it is.
    assert not any(record.kept for (record,) in found.ezrin.normalization)
