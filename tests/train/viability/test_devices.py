"""Two simulated devices learn what one learns."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys

sys.path[:0] = sys.argv[1:]
import jax
import numpy as np
from jax.sharding import AxisType
from isl_train.optimizer import OptimizerConfig, build_optimizer
from isl_train.state import initial_state
from isl_train.step import make_update, replicate
from isl_train.viability.task import ViabilityTask
from simulated_development import NETWORK
from test_task import CASES, experiment

assert jax.device_count() == 2
random = NETWORK.model_copy(update={"stochastic_depth": 0.3, "dropout": 0.3})
task = ViabilityTask(experiment(network=random), CASES, say=lambda _: None)
params, _ = task.initial(jax.random.key(0))
optimizer = build_optimizer(OptimizerConfig(kind="sgd", learning_rate=0.1), params, steps=10)
drawn = task.examples(0)
found = []
for devices in (1, 2):
    mesh = jax.make_mesh((devices,), ("batch",), axis_types=(AxisType.Auto,),
        devices=jax.devices()[:devices])
    params, model_state = task.initial(jax.random.key(0))
    state = initial_state(params, model_state, optimizer.init(params), jax.random.key(1),
        average=False)
    state = replicate(state, mesh)
    update = make_update(task, optimizer, mesh)
    for step in range(2):
        examples = [drawn[8 * step + i] for i in range(8)]
        batch = {name: np.stack([each[name] for each in examples]) for name in examples[0]}
        assert (batch["outcomes"][:4] >= 0).sum() != (batch["outcomes"][4:] >= 0).sum() or step
        state, sums = update(state, batch, 0.1)
    assert all(len(leaf.sharding.device_set) == devices for leaf in jax.tree.leaves(state.params))
    found.append((jax.tree.map(np.asarray, state.params), float(sums["loss"][0])))
(one, loss), (two, other) = found
np.testing.assert_allclose(other, loss, rtol=1e-5)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, two)
"""


def test_two_devices_equal_one() -> None:
    """Outcomes are known unevenly in the halves, and training leaves parts of films out."""
    here = Path(__file__).parent
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, str(here), str(here.parents[1] / "viability")]
    done = subprocess.run(
        command, env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
