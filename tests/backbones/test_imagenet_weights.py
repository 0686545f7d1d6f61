"""ImageNet weights: names, layouts, a forward pass stored from PyTorch, and refusals."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from made_up_weights import images, made_up, save, timm_shapes, torchvision_shapes

from isl.backbones.imagenet_weights import imagenet_config, load_imagenet_weights
from isl.backbones.resnet import ResNet, ResNetConfig, abstract_resnet
from isl.errors import InputError
from isl.model_folder import arrays_of

GOLDEN = Path(__file__).parents[1] / "golden" / "resnet_torch.npz"
SHAPES = {True: timm_shapes, False: torchvision_shapes}
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def state_dict(*, depth: int = 10, preactivation: bool = True, width: int = 2) -> dict:
    shapes = SHAPES[preactivation](BLOCKS[depth], width, bottleneck=depth in (26, 50))
    return made_up(shapes)


def loaded(file: Path, *, channels: int = 3, average_stem: bool = False, **settings) -> ResNet:
    """The network that a file is of, with the file's weights, in evaluation."""
    config = imagenet_config(file).model_copy(update=settings)
    network = abstract_resnet(config, channels)
    load_imagenet_weights(network, file, average_stem=average_stem)
    network.eval()
    return network


def features(network: ResNet, x: np.ndarray) -> np.ndarray:
    graph, state = nnx.split(network)
    compute = jax.jit(lambda state, x: nnx.merge(graph, state).features(x))
    return np.asarray(compute(state, jnp.asarray(x)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The weights of a small pre-activation network."""
    return save(state_dict(), tmp_path / "weights.safetensors")


@pytest.mark.parametrize("preactivation", [True, False])
@pytest.mark.parametrize("depth", BLOCKS)
def test_a_file_tells_its_network(depth: int, preactivation: bool, tmp_path: Path) -> None:
    arrays = state_dict(depth=depth, preactivation=preactivation)
    file = save(arrays, tmp_path / "weights.safetensors")
    assert imagenet_config(file) == ResNetConfig(
        depth=depth, width=2, preactivation=preactivation, stem_norm=not preactivation
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stem/kernel", "stem.conv.weight"),
        ("stages/0/0/norms/0/scale", "stages.0.blocks.0.norm1.weight"),
        ("stages/2/5/norms/2/bias", "stages.2.blocks.5.norm3.bias"),
        ("stages/1/0/convs/1/kernel", "stages.1.blocks.0.conv2.weight"),
        ("stages/3/0/shortcut/kernel", "stages.3.blocks.0.downsample.conv.weight"),
        ("final_norm/mean", "norm.running_mean"),
        ("final_norm/var", "norm.running_var"),
    ],
)
def test_places_of_timm(ours: str, theirs: str, tmp_path: Path) -> None:
    check_place(ours, theirs, state_dict(depth=50), tmp_path)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("stem/kernel", "conv1.weight"),
        ("stem_norm/scale", "bn1.weight"),
        ("stages/0/1/convs/0/kernel", "layer1.1.conv1.weight"),
        ("stages/3/1/norms/1/var", "layer4.1.bn2.running_var"),
        ("stages/1/0/shortcut/kernel", "layer2.0.downsample.0.weight"),
        ("stages/1/0/shortcut_norm/bias", "layer2.0.downsample.1.bias"),
    ],
)
def test_places_of_torchvision(ours: str, theirs: str, tmp_path: Path) -> None:
    check_place(ours, theirs, state_dict(depth=18, preactivation=False), tmp_path)


def check_place(ours: str, theirs: str, arrays: dict, folder: Path) -> None:
    """Kernels are [out, in, Y, X] there and [Y, X, in, out] here."""
    network = loaded(save(arrays, folder / "weights.safetensors"))
    array = arrays[theirs]
    expected = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    np.testing.assert_array_equal(arrays_of(network)[ours], expected)


@pytest.mark.parametrize(("depth", "preactivation"), [(50, True), (18, False)])
def test_every_array_finds_its_place(depth: int, preactivation: bool, tmp_path: Path) -> None:
    """All made-up numbers differ, so that equal sums mean equal arrays, none of them twice."""
    arrays = state_dict(depth=depth, preactivation=preactivation)
    network = loaded(save(arrays, tmp_path / "weights.safetensors"), input_norm=False)
    used = [
        array
        for name, array in arrays.items()
        if not name.endswith("num_batches_tracked") and "fc." not in name
    ]
    own = arrays_of(network).values()
    assert sorted(map(_total, own)) == pytest.approx(sorted(map(_total, used)))


def _total(array: np.ndarray) -> float:
    return float(array.astype(np.float64).sum())


@pytest.mark.parametrize(
    ("name", "depth", "preactivation"),
    [("timm_resnetv2_50", 50, True), ("torchvision_resnet18", 18, False)],
)
def test_features_stored_from_pytorch(
    name: str, depth: int, preactivation: bool, tmp_path: Path
) -> None:
    """To 1e-4 of the largest: float32 added in another order, through up to 50 layers."""
    arrays = state_dict(depth=depth, preactivation=preactivation)
    network = loaded(save(arrays, tmp_path / "weights.safetensors"))
    with np.load(GOLDEN) as stored:
        expected = stored[name]
    found = features(network, images(1, 65, 78))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())


def test_first_norm_becomes_the_identity(file: Path) -> None:
    x = images(1, 32, 32)
    with_norm, without = loaded(file), loaded(file, input_norm=False)
    assert with_norm.input_norm is not None
    np.testing.assert_allclose(jax.jit(with_norm.input_norm)(x), x, rtol=1e-6)
    np.testing.assert_allclose(features(with_norm, x), features(without, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_averaged_stem_sees_grey_as_three_equal_colours(file: Path, channels: int) -> None:
    grey = images(1, 40, 40, channels=1)
    expected = features(loaded(file), np.repeat(grey, 3, axis=-1))
    averaged = loaded(file, channels=channels, average_stem=True)
    found = features(averaged, np.repeat(grey, channels, axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_colours_are_not_averaged_unasked(file: Path) -> None:
    with pytest.raises(InputError, match=r"'stem.conv.weight' takes 3 channels, the network 2;"):
        loaded(file, channels=2)


def test_the_head_need_not_be_there(tmp_path: Path) -> None:
    arrays = {name: array for name, array in state_dict().items() if not name.startswith("head.")}
    network = loaded(save(arrays, tmp_path / "weights.safetensors"))
    kernel = network.stem.kernel[...]
    np.testing.assert_array_equal(kernel, arrays["stem.conv.weight"].transpose(2, 3, 1, 0))


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    arrays = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in state_dict().items()
    }
    network = loaded(save(arrays, tmp_path / "weights.safetensors"))
    assert {str(array.dtype) for array in arrays_of(network).values()} == {"float32"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages.1.blocks.0.conv2.weight": None}, r"'stages.1.blocks.0.conv2.weight' is missing"),
        ({"norm.running_var": None}, r"'norm.running_var' is missing"),
        ({"stem.norm.weight": (2,)}, r"'stem.norm.weight' belongs to no part of this network"),
        ({"norm.weight": (3,)}, r"'norm.weight' has another shape \(\[3\], expected \[16\]\)"),
        (
            {"stages.0.blocks.0.conv1.weight": (3, 3, 2, 2)},
            r"'stages.0.blocks.0.conv1.weight' has another shape "
            r"\(\[3, 3, 2, 2\], expected \[2, 2, 3, 3\]\)",
        ),
        ({"stages.3.blocks.1.conv1.weight": (16, 16, 3, 3)}, "stages of 1, 1, 1, 2 basic blocks"),
        ({"stem.conv.weight": None}, "holds neither 'stem.conv.weight'"),
    ],
)
def test_arrays_that_do_not_fit(
    change: dict[str, Sequence[int] | None], message: str, tmp_path: Path
) -> None:
    arrays = state_dict()
    for name, shape in change.items():
        arrays.pop(name, None)
        if shape is not None:
            arrays[name] = np.zeros(shape, np.float32)
    file = save(arrays, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=message) as refused:
        loaded(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 18}, "depth = 10, but this one has depth = 18; set depth = 10"),
        ({"width": 64}, "width = 2, but this one has width = 64; set width = 2"),
        ({"preactivation": False, "stem_norm": True}, "set preactivation = true"),
        ({"stem": "small"}, 'set stem = "imagenet"'),
        ({"stem_norm": True}, "set stem_norm = false"),
    ],
)
def test_a_network_of_another_kind(file: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loaded(file, **settings)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"PK\x03\x04 pickled, as PyTorch's own files are")
    for file in (tmp_path / "none.safetensors", damaged):
        with pytest.raises(InputError, match="cannot be read as weights"):
            imagenet_config(file)
