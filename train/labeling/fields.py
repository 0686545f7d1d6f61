"""The fields of a labeling experiment: crops are drawn from them, networks judged on them."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import grain
import jax
import numpy as np

from isl.errors import InputError, unknown
from isl.labeling import losses
from isl.labeling.dataset import load_manifest
from isl.labeling.losses import Sums
from isl.tiling.memory import memory_budget

from ..data import endless
from ..task import Batch, Evaluation
from .augment import AugmentConfig, augment
from .config import LabelingConfig
from .crops import Cropper
from .ground import Ground, load_ground, with_planes
from .validation import PredictTile, validate
from .warp import draw_warp


class Fields:
    """All fields of an experiment, in memory or in files.

    Attributes:
        ground: The fields.
        label_weights: float32 [L], of the mean over labels.
        cropper: What crops are drawn by.
    """

    def __init__(self, config: LabelingConfig, folder: Path) -> None:
        """Reads the fields.

        Args:
            config: The experiment.
            folder: Where its file lies; paths in it are relative to this.

        Raises:
            InputError: Something in the configuration does not fit the data or the network.
        """
        check_crop(config)
        memory = config.training.memory
        manifest = load_manifest(folder / config.dataset).without(config.leave_out)
        self.ground: Ground = load_ground(
            with_planes(manifest, config.planes, config.planes_of),
            config.labels,
            config.normalization,
            config.label_scale,
            config.label_moments,
            None if memory is None else memory_budget(memory),
        ).part(config.ground_share, config.seed)
        labels, weights = self.ground.labels, config.loss.label_weights
        for label in weights:
            if label not in labels:
                raise unknown("label in loss.label_weights", label, labels)
        self.label_weights = np.array([weights.get(label, 1.0) for label in labels], np.float32)
        self._config = config
        self._augment = self.ground.settled(config.augment)
        self.cropper = Cropper(
            self.ground.training,
            config.training_geometry,
            config.training.crop,
            config.training.toward_light,
        )

    def summary(self) -> str:
        """How many there are, in words; of several experiments, how they differ."""
        return "\n".join((*self.ground.experiments, self._sizes(), *self._light()))

    def _sizes(self) -> str:
        ground = self.ground
        if ground.kept_in is None:
            where = "in memory (each worker process holds its own copy)"
        else:
            where = f"in files, read as they are looked at, in {ground.kept_in}"
        return (
            f"{len(ground.training)} training and {len(ground.validation)} validation fields, "
            f"{ground.nbytes / 2**30:.2f} GiB {where}"
        )

    def _light(self) -> list[str]:
        auto = "auto" in (self._config.augment.flip, self._config.augment.rotate)
        if self.ground.side_of_light is None:
            return ["no side shows that light comes from: crops are turned"] if auto else []
        if not (auto or self._augment.all_ways):
            return []
        said = "light comes from one side in these images"
        if self._augment.all_ways:
            return [
                f"{said}, and crops are turned so that it comes from all: if it always comes from "
                "there, augment.rotate = false and augment.flip = false teach more"
            ]
        return [f"{said}: crops are not turned, and the model will expect it there"]

    def examples(self, seed: int) -> grain.MapDataset:
        """Augmented crops without end."""
        return endless(self.draw, seed)

    @property
    def draw(self) -> Callable[[np.random.Generator], Mapping[str, np.ndarray]]:
        """Draws one augmented crop; picklable, so that worker processes can have it."""
        return functools.partial(draw_crop, cropper=self.cropper, config=self._augment)

    def names_in(self, batch: Batch) -> str:
        """Names of the fields in a batch."""
        names = {self.ground.training[int(index)].name for index in np.asarray(batch["field"])}
        return f"field{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}"

    def judge(self, predict_tile: PredictTile, *, pictures: bool) -> Evaluation:
        """Predicts held-out ground and compares it label by label."""
        if not self.ground.validation:
            return Evaluation(metrics={}, pictures={})
        geometry = self._config.predicting_geometry
        narrowest = geometry.output_size(geometry.input_size(geometry.step))
        return validate(
            predict_tile,
            geometry,
            self.ground.validation,
            self.ground.labels,
            tile=max(self._config.validation.tile, narrowest, geometry.whole),
            pictures=pictures,
        )

    def pixel_subset(
        self, key: jax.Array, shape: tuple[int, ...]
    ) -> Callable[[jax.Array], jax.Array]:
        """A function that takes [B, y, x, C] to the same pixels of every example, [B, N, C]."""
        _, height, width, _ = shape
        if self._config.loss.window:
            return self._window(key, (height, width))
        wanted = self._config.loss.pixels_per_crop
        if wanted == 0 or wanted >= height * width:
            return _all_pixels
        chosen = jax.random.permutation(key, height * width)[:wanted]
        return lambda array: _all_pixels(array)[:, chosen]

    def _window(self, key: jax.Array, size: tuple[int, int]) -> Callable[[jax.Array], jax.Array]:
        """Every so many pixels of a square at a random place."""
        loss = self._config.loss
        low = jax.numpy.zeros(2, int)
        top, left = jax.random.randint(key, (2,), low, jax.numpy.array(size) - loss.window + 1)

        def cut(array: jax.Array) -> jax.Array:
            rows = jax.lax.dynamic_slice_in_dim(array, top, loss.window, axis=1)
            square = jax.lax.dynamic_slice_in_dim(rows, left, loss.window, axis=2)
            every = loss.window_stride
            return _all_pixels(square[:, ::every, ::every])

        return cut

    def of_windows(
        self, logits: jax.Array, targets: jax.Array, measured: jax.Array
    ) -> list[tuple[float, Sums]]:
        """Losses, with their weights, of pixels [B, N, L] that `pixel_subset` cut as windows."""
        loss = self._config.loss
        width = -(-loss.window // loss.window_stride)
        arrays = [
            a.reshape(a.shape[0], width, width, *a.shape[2:]) for a in (logits, targets, measured)
        ]
        weighed = (
            (loss.local_error, losses.local_error),
            (loss.correlation, losses.correlation),
        )
        return [(w, of(*arrays, width=loss.local_width)) for w, of in weighed if w]

    def by_label(
        self, name: str, sums: jax.Array, counts: jax.Array
    ) -> dict[str, tuple[jax.Array, jax.Array]]:
        """Sums and counts [L] as diagnostics of every label."""
        labels = enumerate(self.ground.labels)
        return {f"{name}/{label}": (sums[index], counts[index]) for index, label in labels}


def draw_crop(
    rng: np.random.Generator, *, cropper: Cropper, config: AugmentConfig
) -> Mapping[str, np.ndarray]:
    """One crop, augmented as a settled configuration says; see `Cropper.draw`."""
    warp = draw_warp(
        rng,
        turn=config.turn,
        zoom=config.zoom,
        elastic=config.elastic,
        mirror_axis=config.mirror_axis,
    )
    return augment(cropper.draw(rng, warp), config, rng)


def _all_pixels(array: jax.Array) -> jax.Array:
    return array.reshape(array.shape[0], -1, array.shape[-1])


def check_crop(config: LabelingConfig) -> None:
    """Refuses crops that do not pass through the network.

    Raises:
        InputError: Names the widths that do.
    """
    geometry, crop = config.training_geometry, config.training.crop
    if not geometry.is_valid(crop):
        above = geometry.input_size(max(1, crop - 2 * geometry.margin))
        below = max(above - geometry.step, geometry.smallest)
        raise InputError(
            f"training.crop {crop} does not fit the network: widths are {geometry.smallest} + "
            f"m * {geometry.step}; the nearest are {below} and {above}"
        )
