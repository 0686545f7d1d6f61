import resource
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from isl.errors import InputError
from isl_train.checkpoint import Checkpoints, Progress
from isl_train.disk import writing_to
from isl_train.state import TrainState, initial_state
from isl_train.task import Selection


def _state(value: float) -> TrainState:
    params = {"kernel": jnp.full((64, 64), value), "inner": {"0": jnp.arange(3.0)}}
    state = initial_state(params, {}, optax.adam(1.0).init(params), jax.random.key(7), average=True)
    return jax.device_put(state, jax.devices()[0])


def _open(folder: Path, selection: Selection | None = None, **identity: str) -> Checkpoints:
    words = {"identity": "a network", "optimizer": "adam", **identity}
    return Checkpoints(folder, selection=selection, **words)


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    progress = Progress(update=5, batches_drawn=10, best=0.25, best_update=3)
    with _open(tmp_path) as checkpoints:
        checkpoints.save(_state(2.0), progress, value=None)
    with _open(tmp_path) as checkpoints:
        restored, found = checkpoints.restore(_state(0.0))
    assert found == progress
    assert restored.key.dtype == _state(0.0).key.dtype
    for mine, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(_state(2.0)), strict=True):
        if jnp.issubdtype(mine.dtype, jax.dtypes.prng_key):
            mine, theirs = jax.random.key_data(mine), jax.random.key_data(theirs)
        np.testing.assert_array_equal(mine, theirs)
    assert jax.tree.structure(restored) == jax.tree.structure(_state(0.0))


def test_a_disk_that_refuses_is_named_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    with _open(tmp_path) as checkpoints:
        checkpoints.save(_state(2.0), Progress(update=5), value=None)

    def save_on_a_small_disk() -> None:
        free = resource.getrlimit(resource.RLIMIT_FSIZE)
        with _open(tmp_path) as checkpoints:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, free[1]))
            try:
                checkpoints.save(_state(3.0), Progress(update=6), value=None)
                checkpoints.save(_state(4.0), Progress(update=7), value=None)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, free)

    with pytest.raises(InputError, match=r"cannot be written there \(File too large\); make room"):
        save_on_a_small_disk()
    with _open(tmp_path) as checkpoints:
        restored, found = checkpoints.restore(_state(0.0))
    assert found.update == 5
    np.testing.assert_array_equal(restored.params["kernel"], np.full((64, 64), 2.0))


def test_the_number_that_tensorstore_gives_is_said_in_words(tmp_path: Path) -> None:
    said = "RESOURCE_EXHAUSTED: Failed to write 9 bytes to file 14 [os_error_code='28']"
    with pytest.raises(InputError, match=r"No space left on device\); make room"):
        with writing_to(tmp_path):
            raise ValueError(said)
    with pytest.raises(ValueError, match="shapes differ"), writing_to(tmp_path):
        raise ValueError("shapes differ")


def test_a_state_may_be_donated_while_it_is_written(tmp_path: Path) -> None:
    spoil = jax.jit(lambda state: jax.tree.map(lambda x: x * 0 - 1, state), donate_argnums=0)
    state = _state(3.0)
    with _open(tmp_path) as checkpoints:
        checkpoints.save(state, Progress(update=1), value=None)
        for _ in range(20):
            state = TrainState(**{**vars(state), "params": spoil(state.params), "ema_params": None})
    with _open(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(_state(0.0))
    np.testing.assert_array_equal(restored.params["kernel"], np.full((64, 64), 3.0))


@pytest.mark.parametrize(("higher_is_better", "best"), [(True, 2), (False, 3)])
def test_the_best_and_the_last_are_kept(tmp_path: Path, higher_is_better: bool, best: int) -> None:
    selection = Selection(metric="score", higher_is_better=higher_is_better)
    with _open(tmp_path, selection) as checkpoints:
        for update, value in enumerate([0.5, 0.9, 0.1, 0.4, None], start=1):
            checkpoints.save(_state(update), Progress(update=update), value=value)
    with _open(tmp_path, selection) as checkpoints:
        assert checkpoints.updates == [best, 5]
        restored, _ = checkpoints.restore(_state(0.0), best)
    assert restored.params["kernel"][0, 0] == best


@pytest.mark.parametrize("file", ["state/_METADATA", "_CHECKPOINT_METADATA"])
@pytest.mark.parametrize("content", ["", "\0", '{"custom_metadata": {"network": "a network"}}'])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, file: str, content: str) -> None:
    with _open(tmp_path) as checkpoints:
        checkpoints.save(_state(1.0), Progress(update=1), value=None)
    (tmp_path / "1" / file).write_text(content, encoding="utf-8")
    with _open(tmp_path) as checkpoints, pytest.raises(InputError, match="1: the checkpoint"):
        checkpoints.restore(_state(0.0))


def test_another_network_or_optimizer_is_refused(tmp_path: Path) -> None:
    with _open(tmp_path) as checkpoints:
        checkpoints.save(_state(1.0), Progress(update=1), value=None)
    with (
        _open(tmp_path, identity="another one") as checkpoints,
        pytest.raises(InputError, match=r"network a network, but .* says another one"),
    ):
        checkpoints.restore(_state(0.0))
    with (
        _open(tmp_path, optimizer="adamw") as checkpoints,
        pytest.raises(InputError, match=r"optimizer adam, but .* says adamw"),
    ):
        checkpoints.restore(_state(0.0))
