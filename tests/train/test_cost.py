"""What a run costs, against sums by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from line_task import NetworkLine, line_experiment
from simulated_fields import write_dataset

from isl.config import parse
from isl_train.check import try_start
from isl_train.cost import cost_of, operations
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.task import LabelingTask


def counted(function, *shapes: tuple[int, ...]) -> int:
    arrays = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return operations(jax.make_jaxpr(function)(*arrays).jaxpr)


def test_matrix_products() -> None:
    product = 2 * 3 * 4 * 5
    assert counted(jnp.matmul, (3, 4), (4, 5)) == product
    assert counted(jnp.matmul, (7, 3, 4), (7, 4, 5)) == 7 * product
    assert counted(jax.jit(jnp.matmul), (3, 4), (4, 5)) == product
    looped = counted(lambda a, b: jax.lax.map(lambda row: row @ b, a), (6, 3, 4), (4, 5))
    assert looped == 6 * product


def test_convolutions() -> None:
    def convolved(image, kernel, groups=1, **options):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            *(image, kernel, options.pop("strides", (1, 1)), "VALID"),
            dimension_numbers=numbers,
            feature_group_count=groups,
            **options,
        )

    plain = counted(convolved, (2, 10, 10, 4), (3, 3, 4, 6))
    assert plain == 2 * (2 * 8 * 8 * 6) * (3 * 3 * 4)
    grouped = counted(lambda a, k: convolved(a, k, 4), (2, 10, 10, 4), (3, 3, 1, 8))
    assert grouped == 2 * (2 * 8 * 8 * 8) * (3 * 3)


def test_branches_and_custom_gradients() -> None:
    def either(a, b):
        return jax.lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: a @ b @ b)

    assert counted(either, (3, 4), (4, 4)) == 2 * (2 * 3 * 4 * 4)

    @jax.custom_vjp
    def product(a, b):
        return a @ b

    product.defvjp(lambda a, b: (a @ b, (a, b)), lambda _, g: (g, g))
    assert counted(product, (3, 4), (4, 5)) == 2 * 3 * 4 * 5


def test_lines_of_a_network_task() -> None:
    experiment = line_experiment()
    task = NetworkLine(experiment)
    pixels, checkpoints, arithmetic = cost_of(task, experiment, *task.initial(jax.random.key(0)))
    training = experiment.training
    assert pixels.startswith(f"{training.steps:,} updates of {training.batch_size} x ")
    assert "GiB each" in checkpoints
    assert "FLOP an update" in arithmetic


@pytest.mark.parametrize(("steps", "seen"), [(3, "9.6 kpixels"), (3_000_000, "9.6 Gpixels")])
def test_check_says_what_a_labeling_run_costs(tmp_path: Path, steps: int, seen: str) -> None:
    write_dataset(tmp_path, {"a": ["DAPI"]}, validation_region=(0, 20, 0, 20))
    given = {
        "task": "labeling",
        "dataset": "manifest.toml",
        "network": {"kind": "unet", "levels": 2, "width": 4},
        "training": {"steps": steps, "batch_size": 2, "crop": 40},
    }
    experiment = parse(given, LabelingConfig, source="test")
    task = LabelingTask(experiment, tmp_path)
    lines = "\n".join(try_start(task, experiment))
    assert f"{steps:,} updates of 2 x 1,600 pixels: {seen} seen" in lines
    assert "the last and the best are kept" in lines
    assert "FLOP an update" in lines
