"""The forward pass and its gradient agree with torchvision's own Video Swin Transformers.

Weights are made up, under torchvision's names. `python tests/torchvision/test_video_swin.py` writes
what tests/golden holds of a small one.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

try:
    import torch
    from torchvision.models import video
    from torchvision.models.video.swin_transformer import PatchMerging, SwinTransformer3d
except ImportError as error:
    raise ImportError(
        "tests/torchvision compares with torchvision, which is not installed: pip install "
        "torch==2.14.1 torchvision==0.29.1"
    ) from error

sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

from made_up_weights import made_up, numbers, save

from isl.backbones.video_swin import VIDEO_SWIN_SIZES, abstract_video_swin
from isl.backbones.video_swin_weights import load_video_swin_weights, video_swin_config

GOLDEN = Path(__file__).parents[1] / "golden" / "video_swin_torch.npz"
GOLDEN_SIZES = {"full": (16, 56, 56), "clamped": (6, 20, 20), "odd": (7, 45, 61)}
"""Frames, rows and columns: whole windows, fewer positions than a window, and borders to fill."""


def films(batch: int, frames: int, rows: int, columns: int) -> np.ndarray:
    """float32 [B, T, Y, X, 3] in [-2, 2)."""
    return (4 * numbers(7, (batch, frames, rows, columns, 3)) - 2).astype(np.float32)


def small() -> SwinTransformer3d:
    """Two stages, so that windows shift and patches merge."""
    return SwinTransformer3d(
        [2, 4, 4],
        12,
        [2, 2],
        [2, 4],
        [8, 7, 7],
        num_classes=5,
        downsample_layer=PatchMerging,
    )


def with_made_up_weights(model: torch.nn.Module, file: Path) -> torch.nn.Module:
    """The model with weights that its file, too, holds; its indices are its own."""
    own = {name: array.numpy() for name, array in model.state_dict().items()}
    fixed = {name: array for name, array in own.items() if name.endswith("position_index")}
    shapes = {name: array.shape for name, array in own.items() if name not in fixed}
    arrays = made_up(shapes)
    for name in arrays:
        if name.endswith("bias_table"):
            # As far apart as distances may put two positions after training.
            arrays[name] = (4 * numbers(3, arrays[name].shape) - 2).astype(np.float32)
    save(arrays | fixed, file)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in (arrays | fixed).items()})
    return model.eval()


def theirs(model: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(x).permute(0, 4, 1, 2, 3)).numpy()


def ours(file: Path, x: np.ndarray, outputs: int) -> np.ndarray:
    network = abstract_video_swin(video_swin_config(file), 3, outputs)
    load_video_swin_weights(network, file)
    return np.asarray(nnx.jit(lambda network, x: network(x))(network, jnp.asarray(x)))


@pytest.mark.parametrize("size", GOLDEN_SIZES.values(), ids=GOLDEN_SIZES)
def test_small_network_agrees(tmp_path: Path, size: tuple[int, int, int]) -> None:
    file = tmp_path / "small.safetensors"
    model, x = with_made_up_weights(small(), file), films(2, *size)
    expected = theirs(model, x)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(ours(file, x, 5), expected, atol=1e-4)


def test_gradient_of_the_film_agrees(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    model, x = with_made_up_weights(small(), file), films(1, *GOLDEN_SIZES["odd"])
    theirs = torch.from_numpy(x).permute(0, 4, 1, 2, 3).requires_grad_()
    model(theirs)[0, 1].backward()
    network = abstract_video_swin(video_swin_config(file), 3, 5)
    load_video_swin_weights(network, file)
    gradient = jax.jit(jax.grad(lambda x: network(x)[0, 1]))(jnp.asarray(x))
    assert theirs.grad is not None
    expected = theirs.grad.permute(0, 2, 3, 4, 1).numpy()
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("name", VIDEO_SWIN_SIZES)
def test_published_networks_agree(tmp_path: Path, name: str) -> None:
    """With all their 400 classes, on films of fewer positions than a window and of more."""
    file = tmp_path / f"{name}.safetensors"
    build = getattr(video, f"swin3d_{name.lower()}")
    model = with_made_up_weights(build(weights=None), file)
    assert video_swin_config(file).depths == VIDEO_SWIN_SIZES[name].depths
    x = films(1, 10, 72, 64)
    np.testing.assert_allclose(ours(file, x, 400), theirs(model, x), atol=1e-4)


def golden(folder: Path) -> dict[str, np.ndarray]:
    """Logits of the small network by size, and what its weights are."""
    file = folder / "small.safetensors"
    model = with_made_up_weights(small(), file)
    return {name: theirs(model, films(2, *size)) for name, size in GOLDEN_SIZES.items()}


def test_golden_is_what_torchvision_says(tmp_path: Path) -> None:
    stored = np.load(GOLDEN)
    for name, logits in golden(tmp_path).items():
        np.testing.assert_allclose(stored[name], logits, atol=1e-5)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        np.savez_compressed(GOLDEN, **golden(Path(folder)))
