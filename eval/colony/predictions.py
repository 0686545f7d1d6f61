"""What trained models say of images they never saw: made once, kept, and read again."""

import dataclasses
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax.numpy as jnp
import numpy as np

from isl.colony.model import ColonyConfig, ColonyModel, load_colony_model, softmax
from isl.colony.network import without_backbone
from isl.errors import InputError
from isl.files.whole import written_whole
from isl_train.colony.ground import Ground
from isl_train.colony.heads import Head
from isl_train.colony.images import Images
from isl_train.colony.split import Split

FILE = "predictions.npz"
_KEY = "made_from"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One model's word on N held-out images of a known class.

    Attributes:
        truth: int [N].
        logits: float [M, K], of M >= N patches.
        image: int [M], which of the N images a patch is of.
        names: N names.
        groups: N groups.
        temperature: The model's, from its validation images.
        confusion: float [K, K], likewise; rows are true classes. Empty: not measured.
    """

    truth: np.ndarray
    logits: np.ndarray
    image: np.ndarray
    names: np.ndarray
    groups: np.ndarray
    temperature: float
    confusion: np.ndarray

    def probabilities(self, patches: int, *, calibrated: bool = True) -> np.ndarray:
        """Mean over the first few patches of each image, float64 [N, K]."""
        scaled = self.logits / (self.temperature if calibrated else 1.0)
        each = softmax(scaled).reshape(len(self.truth), -1, scaled.shape[1])
        return each[:, :patches].mean(axis=1)


def predict(model_folder: Path, images: Images, which: np.ndarray, patches: int) -> Predictions:
    """What a model says of some images.

    Args:
        model_folder: The model.
        images: All images.
        which: Indices of those that are judged; each has a class. Where images have vectors, these
            are looked at: the model's backbone made them.
        patches: How many are looked at of each.
    """
    model: ColonyModel = load_colony_model(model_folder)
    nothing = np.zeros(0, int)
    ground = Ground(
        images=images,
        split=Split(labelled=nothing, validation=nothing, unlabelled=nothing),
        patch=model.config.patch,
    )
    fixed = ground.fixed(which, patches)
    if images.vectors is None:
        logits = model.logits(fixed)
    else:
        logits = np.asarray(without_backbone(model.network)(jnp.asarray(fixed[:, 0])))
    return _of(images, which, patches, logits, model.config)


def said_by(head: Head, which: np.ndarray, patches: int) -> Predictions:
    """What a head behind a frozen backbone says of some images; see `predict`."""
    images = head.task.ground.images
    return _of(images, which, patches, head.logits(which, patches), head.config())


def _of(
    images: Images, which: np.ndarray, patches: int, logits: np.ndarray, config: ColonyConfig
) -> Predictions:
    return Predictions(
        truth=images.labels[which],
        logits=logits,
        image=np.repeat(np.arange(len(which)), patches),
        names=np.array(images.names)[which],
        groups=np.array(images.groups)[which],
        temperature=config.temperature,
        confusion=np.array(config.confusion),
    )


def save(path: Path, predictions: Predictions, key: str) -> None:
    """Writes predictions, whole or not at all.

    Args:
        path: The file.
        predictions: What is written.
        key: Hash of all that they follow from.
    """
    arrays: dict[str, Any] = {**dataclasses.asdict(predictions), _KEY: np.array(key)}
    with written_whole(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(path: Path, key: str) -> Predictions:
    """Reads what `save` wrote.

    Raises:
        InputError: It is damaged, or follows from something else than `key` is the hash of.
    """
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it") from error
    if str(arrays.pop(_KEY, "")) != key:
        raise InputError(
            f"{path}: was made from other settings or images; remove it, or name another `out`"
        )
    return Predictions(**{**arrays, "temperature": float(arrays["temperature"])})
