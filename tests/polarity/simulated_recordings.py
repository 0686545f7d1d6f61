"""Recordings of a granular disc in a well, and an ensemble that reads when it polarized off them.

A frame after onset has a bright patch in its upper left corner, which is all the ensemble looks at,
so a test can tell which frames it was given, in which order, and at which brightness.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tifffile
from flax import nnx
from PIL import Image

from isl.backbones.unet import UNetConfig
from isl.labeling.model import Model, load_model, save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network
from isl.labeling.options import Options
from isl.labeling.predict import Prediction
from isl.labeling.source import TransmittedField
from isl.polarity.recording import Recording

SIZE = (96, 112)
_PATCH = 6


def recording_of(frames: np.ndarray, **others) -> Recording:
    """Frames [T, Y, X] or [T, Z, Y, X] of an embryo E1, in order and without gaps."""
    count = len(frames)
    given = {
        "name": "E1",
        "numbers": tuple(range(count)),
        "frame_names": tuple(f"t{t}.png" for t in range(count)),
        "steps": tuple(range(count)),
        "source": "E1",
    }
    return Recording(frames=frames if frames.ndim == 4 else frames[:, None], **given | others)


def make_frames(
    count: int = 8,
    *,
    onset: int | None = 5,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    drift: float = 0.0,
) -> np.ndarray:
    """uint8 [T, Y, X]; the disc moves to the right by `drift` pixels a frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    frames = rng.normal(120, 1, (count, *size))
    grain = rng.normal(0, 25, (2 * size[0], 6 * size[1]))
    for t, frame in enumerate(frames):
        middle = size[1] / 2 + drift * t
        inside = np.hypot(y - size[0] / 2, x - middle) < 0.3 * size[0]
        shifted = grain[y, x + 3 * size[1] - round(middle)]
        frame[inside] += shifted[inside]
        after = onset is not None and t >= onset
        # Both ends of the range are in every frame, as in frames that were stretched.
        frame[:_PATCH, :_PATCH] = 255 if after else 0
        frame[-1, -2:] = 0, 255
    return np.clip(frames, 0, 255).astype(np.uint8)


def write_frames(
    folder: Path, frames: np.ndarray, *, first: int = 13, pattern: str = "t{:03d}.png"
) -> Path:
    """A folder of PNGs, one a frame."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / pattern.format(number))
    return folder


def write_movie(path: Path, frames: np.ndarray, axes: str, interval: float | None = None) -> Path:
    """An OME-TIFF; `interval` in minutes."""
    metadata = {"axes": axes}
    if interval is not None:
        metadata |= {"TimeIncrement": interval, "TimeIncrementUnit": "min"}
    tifffile.imwrite(path, frames, ome=True, photometric="minisblack", metadata=metadata)
    return path


class PatchEnsemble:
    """Members that see the patch, each `shifts[m]` frames late; see `PolarityModel`.

    Attributes:
        given: What it was asked about last: frames and EZRIN.
        called: The calls that maps were asked for last.
        difference: Whether they were to be of the weights' difference.
    """

    name = "patches"
    hash = "1" * 64
    card = "# Patches\nMade for tests & <nothing> else."

    def __init__(
        self,
        shifts: tuple[int, ...] = (0, 0, 0),
        *,
        ezrin: Model | None = None,
        arm: str = "dic+ezrin",
    ) -> None:
        self.config = SimpleNamespace(
            arm=arm,
            combine="mean",
            rule="smoothed",
            threshold=0.5,
            centred=True,
            embryos=("E1-of-training",),
            for_intervals={},
        )
        self.refused: str | None = None
        self.shifts = shifts
        self.given: tuple[np.ndarray, np.ndarray] | None = None
        self.pixel_size: float | None = None
        self.called, self.difference = np.zeros(0, bool), False
        self._ezrin = ezrin

    def ezrin_model(self) -> Model:
        assert self._ezrin is not None
        return self._ezrin

    def member_logits(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> np.ndarray:
        self.given, self.pixel_size = (dic, ezrin), pixel_size
        after = dic[:, :_PATCH, :_PATCH].mean(axis=(1, 2)) > 0.5
        count = len(after)
        logits = np.zeros((len(self.shifts), count, 2), np.float32)
        for member, shift in enumerate(self.shifts):
            late = after[np.clip(np.arange(count) - shift, 0, count - 1)]
            logits[member, :, 1] = np.where(late, 3, -3)
        return logits

    def unfamiliar(
        self, dic: np.ndarray, ezrin: np.ndarray, pixel_size: float | None = None
    ) -> str | None:
        return self.refused

    def activation_maps(
        self,
        dic: np.ndarray,
        ezrin: np.ndarray,
        called: np.ndarray,
        *,
        difference: bool = False,
        pixel_size: float | None = None,
    ) -> np.ndarray:
        """Speaks for the call on the left, and against it on the right."""
        self.called, self.difference = called, difference
        maps = np.ones((len(dic), 4, 4), np.float32)
        maps[..., 2:] = -1
        return maps


def predict_quickly(
    model: Model,
    field: TransmittedField,
    options: Options,
    progress: Callable[[int, int], None] | None,
    *,
    budget: int | None,
) -> Prediction:
    """Stands in for `predict_field` where nobody looks at EZRIN: first planes, and a constant."""
    del model, budget
    if progress is not None:
        progress(1, 1)
    planes = [field.read(t, 0, slice(None), slice(None)) for t in range(field.shape[0])]
    seen = np.stack(planes)[:, None].astype(np.float32)
    statistics = options.statistics
    return Prediction(
        name=field.name,
        labels=options.labels,
        statistics={statistics[0]: seen, statistics[1]: np.full_like(seen, 0.25)},
        offset=0,
        pixel_size=field.pixel_size,
        interval=field.interval,
        times=field.times,
        planes=(0,),
        normalization=(),
        renormalization=(),
        tiles=1,
        tile_size=SIZE,
        options=options,
        warnings=(),
        source=field.source,
    )


def tiny_ezrin_model(folder: Path, *, planes: int = 1) -> Model:
    """A labeling model with weights as drawn."""
    architecture = UNetConfig(levels=2, width=4)
    network = build_network(architecture, planes=planes, labels=("EZRIN",), rngs=nnx.Rngs(0))
    config = ModelConfig(
        name="tiny-ezrin",
        labels=("EZRIN",),
        architecture=architecture,
        input=InputContract(planes=planes, modality="DIC"),
    )
    save_model(folder, network, config, "# A card")
    return load_model(folder)
