"""Several devices give what one gives."""

import os
import subprocess
import sys

PROGRAM = """
import jax
import numpy as np
from flax import nnx
from isl.imaging.image import ZStack
from isl.imaging.normalize import normalize
from isl.labeling.model import Model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.options import check_options
from isl.labeling.plan import plan_field
from isl.labeling.predict import predict
from isl.labeling.source import field_of
from isl.backbones.unet import UNetConfig

architecture = UNetConfig(levels=2, width=4)
network = build_network(architecture, planes=2, labels=("A", "B"), rngs=nnx.Rngs(0))
network.eval()
config = ModelConfig(
    name="m", architecture=architecture, labels=("A", "B"), input=InputContract(planes=2)
)
model = Model(config=config, card="", directory="m", network=network)

many = jax.device_put(np.random.default_rng(0).random((8, 26, 26, 2), np.float32))
given = model.statistics(many, ("B",), ("mean",))["mean"]
assert len(given.sharding.device_set) == 4, given.sharding
alone = [model.statistics(many[i : i + 1], ("B",), ("mean",))["mean"] for i in range(8)]
np.testing.assert_allclose(given, np.concatenate(alone), atol=1e-6)
embedding = model.embed(many)
assert len(embedding.sharding.device_set) == 4

stack = ZStack(name="f", planes=np.random.default_rng(1).random((2, 50, 41), np.float32))
field = field_of(stack)
plan = plan_field(config, field, check_options(config, tile=12))
assert plan.batch % 4 == 0, plan.batch
wide = plan_field(config, field_of(ZStack(name="f", planes=np.zeros((2, 300, 300)))),
    check_options(config))
assert len(wide.tiles) >= 4
tiled = predict(model, stack, statistics=["mean"], tile=12).statistics["mean"]
margin = model.geometry.margin
planes, _ = normalize(stack.planes)
padded = np.pad(planes, ((0, 0), (margin, margin), (margin, margin + 1)), mode="reflect")
whole = model.statistics(np.moveaxis(padded, 0, -1)[None], ("A", "B"), ("mean",))["mean"]
assert len(whole.sharding.device_set) == 1
np.testing.assert_allclose(tiled, np.moveaxis(np.asarray(whole)[0, :50, :41], -1, 0), atol=2e-5)
"""


def test_four_devices_share_the_tiles_and_give_the_same_image() -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(
        command,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
