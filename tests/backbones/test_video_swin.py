"""Video Swin: sizes, windows and masks against slow loops, and what training may leave out."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from made_up_weights import made_up, numbers, save
from pydantic import ValidationError
from scipy.special import erf, softmax

from isl.backbones.networks import Compute, count_parameters
from isl.backbones.video_swin import (
    VIDEO_SWIN_SIZES,
    LayerNorm,
    PatchMerging,
    SwinBlock,
    VideoSwin,
    VideoSwinConfig,
    abstract_video_swin,
    clamped,
    draw_truncated,
    from_windows,
    relative_positions,
    shifted_regions,
    to_patches,
    to_windows,
)
from isl.backbones.video_swin_weights import (
    load_video_swin_weights,
    published_name,
    video_swin_config,
)
from isl.errors import InputError
from isl.model_folder import abstract_arrays, arrays_of

GOLDEN = Path(__file__).parents[1] / "golden" / "video_swin_torch.npz"
GOLDEN_SIZES = {"full": (16, 56, 56), "clamped": (6, 20, 20), "odd": (7, 45, 61)}
SMALL = VideoSwinConfig(width=8, depths=(2, 2), heads=(2, 4), window=(2, 3, 3), patch=(2, 4, 4))


def small(**settings) -> VideoSwin:
    config = SMALL.model_copy(update=settings.pop("config", {}))
    return draw_truncated(abstract_video_swin(config, 1, 2, **settings), nnx.Rngs(0))


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@nnx.jit
def logits(network: VideoSwin, films: jax.Array, key: jax.Array | None = None) -> jax.Array:
    return network(films, key)


@pytest.mark.parametrize(
    ("name", "parameters"), [("T", 28_158_070), ("S", 49_816_678), ("B", 88_048_984)]
)
def test_parameters_with_400_classes(name: str, parameters: int) -> None:
    """As torchvision counts them (its documentation of swin3d_t, swin3d_s, swin3d_b)."""
    network = abstract_video_swin(VIDEO_SWIN_SIZES[name], 3, 400)
    assert count_parameters(network) == parameters


def test_bias_table_of_the_published_window() -> None:
    network = abstract_video_swin(VIDEO_SWIN_SIZES["T"], 3, 1)
    tables = [
        shape.shape
        for path, shape in abstract_arrays(network).items()
        if path.endswith("bias_table")
    ]
    assert tables[0] == (15 * 13 * 13, 3)
    assert tables[-1] == (15 * 13 * 13, 24)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 24, 24), (4, 3, 3)), ((7, 25, 17), (4, 4, 3)), ((1, 4, 4), (1, 1, 1))],
)
def test_sizes_of_features(size: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    network = abstract_video_swin(SMALL, 1, 2)
    maps = nnx.eval_shape(VideoSwin.features, network, jnp.zeros((2, *size, 1)))
    assert maps.shape == (2, *expected, 16)


def test_windows_are_a_plain_loop_and_back() -> None:
    x, window = np.asarray(noise(2, 4, 6, 9, 3)), (2, 3, 3)
    windows = np.asarray(to_windows(jnp.asarray(x), window))
    found = 0
    for t, y, c in itertools.product(range(2), range(2), range(3)):
        part = x[:, 2 * t : 2 * t + 2, 3 * y : 3 * y + 3, 3 * c : 3 * c + 3]
        np.testing.assert_array_equal(windows[:, found], part.reshape(2, 18, 3))
        found += 1
    assert windows.shape[1] == found
    np.testing.assert_array_equal(from_windows(jnp.asarray(windows), (4, 6, 9), window), x)


def test_patches_are_a_plain_loop() -> None:
    x = np.asarray(noise(1, 3, 6, 5, 2))
    found = np.asarray(to_patches(jnp.asarray(x), (2, 4, 4)))
    padded = np.pad(x, ((0, 0), (0, 1), (0, 2), (0, 3), (0, 0)))
    assert found.shape == (1, 2, 2, 2, 64)
    for t, y, c in itertools.product(range(2), range(2), range(2)):
        part = padded[:, 2 * t : 2 * t + 2, 4 * y : 4 * y + 4, 4 * c : 4 * c + 4]
        np.testing.assert_array_equal(found[:, t, y, c], part.reshape(1, -1))


@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        ((16, 14, 14), (8, 7, 7), (4, 3, 3)),
        ((8, 14, 21), (8, 7, 7), (0, 3, 3)),
        ((4, 6, 6), (2, 3, 3), (1, 1, 1)),
        ((4, 3, 3), (2, 3, 3), (1, 0, 0)),
    ],
)
def test_masks_are_seams(
    size: tuple[int, int, int], window: tuple[int, int, int], shift: tuple[int, int, int]
) -> None:
    """Two positions of a rolled window see each other if no seam of the film lies between them."""
    regions = np.asarray(shifted_regions(size, window, shift))
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    rolled = np.roll(places, [-by for by in shift], axis=(0, 1, 2))
    windows = np.asarray(to_windows(jnp.asarray(rolled[None]), window))[0]
    for own, members in zip(regions, windows, strict=True):
        apart = np.abs(members[:, None] - members[None])
        neighbours = np.all(apart < np.array(window), axis=-1)
        np.testing.assert_array_equal(own[:, None] == own[None], neighbours)


def test_windows_clamp_and_then_do_not_shift() -> None:
    assert clamped((8, 7, 20), (8, 7, 7), (4, 3, 3)) == ((8, 7, 7), (0, 0, 3))
    assert clamped((3, 2, 8), (8, 7, 7), (4, 3, 3)) == ((3, 2, 7), (0, 0, 3))


def test_relative_positions_are_a_slow_loop() -> None:
    window = (2, 3, 2)
    index = relative_positions(window)
    places = list(itertools.product(*map(range, window)))
    for i, first in enumerate(places):
        for j, second in enumerate(places):
            t, y, x = (a - b + size - 1 for a, b, size in zip(first, second, window, strict=True))
            assert index[i, j] == (t * 5 + y) * 3 + x
    assert index.max() == 3 * 5 * 3 - 1


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(4, 6, 6), (2, 3, 3), (1, 2, 5), (3, 4, 5)])
def test_block_is_a_slow_loop(size: tuple[int, int, int], shifted: bool) -> None:
    """Position by position, head by head, in NumPy; whole, clamped and odd sizes."""
    block = SwinBlock(6, 2, SMALL, Compute(), shifted=shifted, left_out=0.0)
    rng = np.random.default_rng(1)
    for _, variable in nnx.to_flat_state(nnx.state(block)):
        variable.set_value(jnp.asarray(rng.normal(0, 0.5, variable.shape), jnp.float32))
    x = np.asarray(noise(1, *size, 6))
    np.testing.assert_allclose(
        jax.jit(lambda x: block(x, None))(jnp.asarray(x))[0], _slow_block(block, x[0]), atol=2e-5
    )


def _slow_block(block: SwinBlock, x: np.ndarray) -> np.ndarray:
    arrays = {path: array.astype(float) for path, array in arrays_of(block).items()}
    window, shift = clamped(x.shape[:3], block.window, block.shift)
    normed = _slow_norm(x, arrays, "norm1")
    padding = [(0, -n % w) for n, w in zip(x.shape[:3], window, strict=True)]
    padded = np.pad(normed, (*padding, (0, 0)))
    qkv = padded @ arrays["attention/qkv/kernel"] + arrays["attention/qkv/bias"]
    q, k, v = np.split(qkv, 3, axis=-1)
    size, places = padded.shape[:3], list(itertools.product(*map(range, padded.shape[:3])))
    rows = {p: i for i, p in enumerate(itertools.product(*map(range, window)))}
    index = relative_positions(block.window)
    mixed = np.zeros_like(padded)
    for place in places:
        at = [(p - s) % n for p, s, n in zip(place, shift, size, strict=True)]
        corner = [a // w * w for a, w in zip(at, window, strict=True)]
        seen = []
        for inside in rows:
            other_at = [c + i for c, i in zip(corner, inside, strict=True)]
            other = tuple((o + s) % n for o, s, n in zip(other_at, shift, size, strict=True))
            apart = any(abs(a - b) >= w for a, b, w in zip(place, other, window, strict=True))
            seen.append((other, rows[inside], apart))
        own = rows[tuple(a - c for a, c in zip(at, corner, strict=True))]
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            score = [
                q[place][part] @ k[other][part] / np.sqrt(3)
                + arrays["attention/bias_table"][index[own, row], head]
                + (-100.0 if apart else 0.0)
                for other, row, apart in seen
            ]
            values = np.stack([v[other][part] for other, _, _ in seen])
            mixed[place][part] = softmax(score) @ values
    attended = mixed @ arrays["attention/projection/kernel"] + arrays["attention/projection/bias"]
    x = x + attended[: x.shape[0], : x.shape[1], : x.shape[2]]
    hidden = _slow_norm(x, arrays, "norm2") @ arrays["expand/kernel"] + arrays["expand/bias"]
    hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
    return x + hidden @ arrays["contract/kernel"] + arrays["contract/bias"]


def _slow_norm(x: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    centered = x - x.mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return scaled * arrays[f"{name}/scale"] + arrays[f"{name}/bias"]


def test_merging_is_a_plain_loop() -> None:
    """Rows before columns: [0, 0], [1, 0], [0, 1], [1, 1]; odd borders are filled with 0."""
    merge = PatchMerging(2, Compute())
    draw_truncated(merge, nnx.Rngs(0))
    x = np.asarray(noise(1, 2, 3, 4, 2))
    found = merge(jnp.asarray(x))
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 0)))
    assert found.shape == (1, 2, 2, 2, 4)
    norm, kernel = LayerNorm(8), np.asarray(merge.reduction.kernel[...])
    for t, y, c in itertools.product(range(2), range(2), range(2)):
        four = [padded[0, t, 2 * y + i, 2 * c + j] for i, j in [(0, 0), (1, 0), (0, 1), (1, 1)]]
        expected = np.asarray(norm(jnp.asarray(np.concatenate(four))[None])) @ kernel
        np.testing.assert_allclose(found[0, t, y, c], expected[0], atol=1e-6)


@pytest.mark.parametrize("size", GOLDEN_SIZES.values(), ids=GOLDEN_SIZES)
def test_torchvision_said_the_same(
    tmp_path: Path, size: tuple[int, int, int], request: pytest.FixtureRequest
) -> None:
    """Golden logits of torchvision 0.29.1; 1e-4 is float32's rounding over two stages."""
    file = small_torchvision_file(tmp_path)
    network = abstract_video_swin(video_swin_config(file), 3, 5)
    load_video_swin_weights(network, file)
    x = (4 * numbers(7, (2, *size, 3)) - 2).astype(np.float32)
    expected = np.load(GOLDEN)[request.node.callspec.id]
    np.testing.assert_allclose(logits(network, jnp.asarray(x)), expected, atol=1e-4)


def small_torchvision_file(folder: Path) -> Path:
    """The state dict of a small network, under torchvision's names and in its order."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (12, 3, 2, 4, 4),
        "patch_embed.proj.bias": (12,),
        **_norm("patch_embed.norm", 12),
    }
    for stage, (depth, heads) in enumerate([(12, 2), (24, 4)]):
        for block in range(2):
            name = f"features.{2 * stage}.{block}"
            shapes |= _norm(f"{name}.norm1", depth)
            shapes[f"{name}.attn.relative_position_bias_table"] = (15 * 13 * 13, heads)
            shapes |= _dense(f"{name}.attn.qkv", depth, 3 * depth)
            shapes |= _dense(f"{name}.attn.proj", depth, depth)
            shapes |= _norm(f"{name}.norm2", depth)
            shapes |= _dense(f"{name}.mlp.0", depth, 4 * depth)
            shapes |= _dense(f"{name}.mlp.3", 4 * depth, depth)
        if not stage:
            shapes["features.1.reduction.weight"] = (24, 48)
            shapes |= _norm("features.1.norm", 48)
    shapes |= _norm("norm", 24) | _dense("head", 24, 5)
    arrays = made_up(shapes)
    for name, array in arrays.items():
        if name.endswith("bias_table"):
            arrays[name] = (4 * numbers(3, array.shape) - 2).astype(np.float32)
    index = relative_positions((8, 7, 7)).reshape(-1)
    for stage, block in itertools.product(range(2), repeat=2):
        arrays[f"features.{2 * stage}.{block}.attn.relative_position_index"] = index
    return save(arrays, folder / "small.safetensors")


def _norm(name: str, depth: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (depth,), f"{name}.bias": (depth,)}


def _dense(name: str, depth_in: int, depth: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (depth, depth_in), f"{name}.bias": (depth,)}


def test_every_array_has_a_name_of_its_own() -> None:
    names = [published_name(path) for path in abstract_arrays(abstract_video_swin(SMALL, 3, 2))]
    assert len(set(names)) == len(names)
    assert {"features.1.norm.weight", "features.2.1.mlp.3.bias", "head.weight"} <= set(names)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = small_torchvision_file(tmp_path)
    config = video_swin_config(file)
    wider = config.model_copy(update={"width": 24})
    with pytest.raises(InputError, match=r"width = 12, but this one has width = 24"):
        load_video_swin_weights(abstract_video_swin(wider, 3, 5), file)
    with pytest.raises(InputError, match="takes 3 channels, the network 1"):
        load_video_swin_weights(abstract_video_swin(config, 1, 5), file)
    with pytest.raises(InputError, match=r"'head\.bias' has another shape"):
        load_video_swin_weights(abstract_video_swin(config, 3, 2), file)
    save({"weight": np.zeros(3)}, file)
    with pytest.raises(InputError, match=r"holds no 'patch_embed\.proj\.weight'"):
        video_swin_config(file)


def test_grey_films_and_a_head_of_ones_own(tmp_path: Path) -> None:
    """A grey film through averaged colours is what three equal colours are."""
    file = small_torchvision_file(tmp_path)
    config = video_swin_config(file)
    colour = draw_truncated(abstract_video_swin(config, 3, 2), nnx.Rngs(0))
    grey = draw_truncated(abstract_video_swin(config, 1, 2), nnx.Rngs(0))
    load_video_swin_weights(colour, file, keep_head=True)
    load_video_swin_weights(grey, file, keep_head=True, average_colours=True)
    x = noise(1, 4, 16, 16, 1)
    np.testing.assert_allclose(
        logits(grey, x), logits(colour, jnp.repeat(x, 3, axis=-1)), atol=1e-5
    )


def test_checkpointing_changes_no_gradient() -> None:
    films, key = noise(2, 4, 24, 24, 1), jax.random.key(1)
    found = []
    for checkpoint in (False, True):
        network = small(checkpoint=checkpoint)
        graph, params = nnx.split(network)
        gradient = jax.jit(
            jax.grad(lambda p, graph=graph: jnp.sum(nnx.merge(graph, p)(films, key) ** 2))
        )
        found.append((gradient(params), str(jax.make_jaxpr(gradient)(params))))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found[0][0], found[1][0])
    # Without it, attention alone is computed once more.
    assert found[1][1].count("remat") > found[0][1].count("remat")


def test_every_parameter_has_a_gradient() -> None:
    network = small()
    graph, params = nnx.split(network)
    films = noise(2, 8, 24, 24, 1)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(nnx.merge(graph, p)(films)[:, 0])))(params)
    for path, array in nnx.to_flat_state(gradient):
        assert np.all(np.isfinite(array[...])), path
        # The second output is not asked for; keys' offsets move all scores of a position alike.
        assert np.any(array[...] != 0), path


def test_without_a_key_nothing_is_left_out() -> None:
    """With one, films are treated each in their own way, and on average keep their size."""
    network = small(config={"stochastic_depth": 0.5, "dropout": 0.5})
    films = jnp.repeat(noise(1, 4, 24, 24, 1), 8, axis=0)
    same = np.asarray(logits(network, films))
    np.testing.assert_allclose(same, np.repeat(same[:1], 8, axis=0), atol=1e-6)
    other = np.asarray(logits(network, films, jax.random.key(0)))
    assert len(np.unique(other[:, 0])) > 4
    np.testing.assert_array_equal(other, logits(network, films, jax.random.key(0)))


def test_activation_maps_add_up_to_the_logits() -> None:
    network = small()
    network.head.bias[...] = jnp.asarray([0.5, -1.0])
    found, maps = nnx.jit(VideoSwin.activation_maps)(network, noise(2, 4, 24, 24, 1))
    assert maps.shape == (2, 2, 3, 3, 2)
    np.testing.assert_allclose(
        maps.mean(axis=(1, 2, 3)) + network.head.bias[...][None], found, atol=1e-6
    )


def test_order_of_frames_counts() -> None:
    films = noise(1, 8, 24, 24, 1)
    forward, backward = (logits(small(), x) for x in (films, films[:, ::-1]))
    assert np.abs(forward - backward).max() > 1e-5


def test_bfloat16_computes_near_float32() -> None:
    films = noise(1, 4, 24, 24, 1)
    exact = small()
    rough = small(compute=Compute(precision="bfloat16"))
    assert logits(rough, films).dtype == jnp.float32
    np.testing.assert_allclose(logits(rough, films), logits(exact, films), atol=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": (3, 6)}, "2 heads but 4 depths"),
        ({"width": 97}, "97 channels, which 3 heads cannot share"),
        ({"window": (0, 7, 7)}, "greater than 0"),
        ({"depths": (), "heads": ()}, "at least 1 item"),
    ],
)
def test_configurations_that_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VideoSwinConfig(**settings)
