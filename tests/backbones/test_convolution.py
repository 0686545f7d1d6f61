"""The blocked convolution against XLA's own, and both against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isl.backbones import convolution
from isl.backbones.convolution import blocked_convolution, native_convolution


def test_values_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(3, 3, 3, 4))
    expected = np.zeros((2, 4, 3, 4))
    for y in range(4):
        for column in range(3):
            patch = x[:, y : y + 3, column : column + 3]
            expected[:, y, column] = np.einsum("bijc,ijcd->bd", patch, kernel)
    given = blocked_convolution(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("image_numbers", [0, 10**6])
@pytest.mark.parametrize(("size", "patch_numbers"), [(3, 100), (3, 8000), (2, 10**6), (4, 500)])
def test_values_and_gradients_are_those_of_xla(
    size: int, patch_numbers: int, image_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows and by images; singly, in blocks that do not divide them, and all in one block."""
    monkeypatch.setattr(convolution, "_PATCH_NUMBERS", patch_numbers)
    monkeypatch.setattr(convolution, "_FORWARD_NUMBERS", patch_numbers)
    monkeypatch.setattr(convolution, "_IMAGE_NUMBERS", image_numbers)
    key = jax.random.split(jax.random.key(size), 2)
    x = jax.random.normal(key[0], (3, 17, 11, 5))
    kernel = jax.random.normal(key[1], (size, size, 5, 6))

    def blocked(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(blocked_convolution(x, kernel)))

    def native(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(native_convolution(x, kernel)))

    given = jax.value_and_grad(blocked, argnums=(0, 1))(x, kernel)
    np.testing.assert_allclose(blocked(x, kernel), given[0], rtol=1e-4)
    expected = jax.value_and_grad(native, argnums=(0, 1))(x, kernel)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), given, expected
    )
