"""What a frozen, pretrained picture network sees in each key frame, by itself.

Every frame is enlarged, shown in gray, and of each of the encoder's five resolutions the mean of
every channel over the frame is kept. That is computed once for a frame, however often a network
that looks at time (`isl.viability.network.FrameSequence`) is trained on it or asked.
"""

import functools
import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isl.backbones.efficientnet_lite import PYRAMID_DEPTHS, imagenet_input
from isl.backbones.efficientnet_weights import EncoderFolderConfig, load_encoder
from isl.errors import InputError
from isl.files.whole import written_whole
from isl.model_folder import WEIGHTS_FILE, model_directory, read_folder_config

DEPTH = sum(PYRAMID_DEPTHS)
"""Features of a frame."""

_AT_ONCE = 32
_DIGEST = 16
# Given to every frame's brightness in [0, 1], which is otherwise up to lamps and cameras.
_MEAN, _DEVIATION = 0.5, 0.2
# Frames whose features are kept at hand unless more are asked for, of 2 KiB each.
_KEPT = 250_000
_NOT_SEEN = -1.0
_LAST_HOUR = 120.0


class FrameEncoder:
    """A pretrained network with its weights, and the features that it has computed.

    Attributes:
        side: Rows and columns that frames are enlarged to.
        identity: Of its weights and its side: equal ones give equal features.
        limit: Frames whose features are kept at hand; beyond it all are forgotten.
    """

    def __init__(self, name: str, side: int) -> None:
        """Loads a bundled encoder by its name, or an encoder's folder.

        Args:
            name: Of either.
            side: As above.

        Raises:
            InputError: There is none, or it is damaged.
        """
        self.side = side
        self.limit = _KEPT
        config = read_folder_config(model_directory(name), EncoderFolderConfig)
        # "alone": each frame is seen by itself; before that, features depended on the whole film.
        self.identity = f"{config.sha256[WEIGHTS_FILE]} {side} alone"
        network = load_encoder(name)
        network.eval()
        graph, self._state = nnx.split(network)
        self._maps = jax.jit(functools.partial(_maps, graph, side))
        self._known: dict[bytes, np.ndarray] = {}

    def __len__(self) -> int:
        """Frames whose features are at hand."""
        return len(self._known)

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Features of frames, each by itself.

        Args:
            pictures: uint8 [K, Y, X].

        Returns:
            float32 [K, 512].
        """
        keys = [_key(picture) for picture in pictures]
        new = {key: picture for key, picture in zip(keys, pictures, strict=True)}
        missing = [key for key in new if key not in self._known]
        if len(self._known) + len(missing) > self.limit:
            self._known.clear()
            missing = list(new)
        for first in range(0, len(missing), _AT_ONCE):
            portion = missing[first : first + _AT_ONCE]
            maps = self.maps(np.stack([new[key] for key in portion]))
            means = np.concatenate([each.mean(axis=(1, 2)) for each in maps], axis=-1)
            self._known.update(zip(portion, means, strict=True))
        return np.stack([self._known[key] for key in keys])

    def remember(self, path: Path) -> None:
        """Takes in features that `write_down` kept, where there are any of this encoder.

        Raises:
            InputError: The file is damaged.
        """
        if not path.is_file():
            return
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if str(arrays["encoder"]) == self.identity:
                    keys = [key.tobytes() for key in arrays["keys"]]
                    self._known.update(zip(keys, arrays["features"], strict=True))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path}: cannot be read as features of frames ({error}); remove it"
            ) from error

    def write_down(self, path: Path) -> None:
        """Keeps all features at hand in a file, so that they need not be computed again."""
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, _DIGEST)
        with written_whole(path, overwrite=True) as unfinished, unfinished.open("wb") as file:
            np.savez(
                file,
                encoder=np.array(self.identity),
                keys=keys,
                features=np.stack(list(self._known.values())),
            )

    def maps(self, pictures: np.ndarray) -> list[np.ndarray]:
        """What the features are means of: five maps float32 [K, y, x, depth], finest first."""
        full = np.zeros((-(-len(pictures) // _AT_ONCE) * _AT_ONCE, *pictures.shape[1:]), np.float32)
        full[: len(pictures)] = relit(pictures)
        parts = [
            self._maps(self._state, jnp.asarray(full[first : first + _AT_ONCE]))
            for first in range(0, len(full), _AT_ONCE)
        ]
        return [
            np.concatenate([np.asarray(part) for part in level])[: len(pictures)]
            for level in zip(*parts, strict=True)
        ]


def sequence_input(features: np.ndarray, hours: np.ndarray, count: int) -> np.ndarray:
    """Features and hours as a network takes them.

    Args:
        features: float32 [K, features].
        hours: float32 [K], after insemination.
        count: How many frames the network takes, K or more.

    Returns:
        float32 [count, features + 1]: the hour last, 1 at 120 h. Frames that are not seen are 0,
        their hour is -1.
    """
    made = np.zeros((count, features.shape[1] + 1), np.float32)
    made[:, -1] = _NOT_SEEN
    made[: len(features), :-1] = features
    made[: len(features), -1] = hours / _LAST_HOUR
    return made


@functools.cache
def frame_encoder(name: str, side: int) -> FrameEncoder:
    """The encoder of a name and a side, loaded once."""
    return FrameEncoder(name, side)


def relit(pictures: np.ndarray) -> np.ndarray:
    """Frames [K, Y, X] of one mean and deviation each; flat ones of the mean. float32."""
    values = pictures.astype(np.float32)
    values = values - values.mean(axis=(1, 2), keepdims=True)
    deviation = np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-3)
    return values / deviation * _DEVIATION + _MEAN


def _maps(graph: nnx.GraphDef, side: int, state: nnx.State, pictures: jax.Array) -> list[jax.Array]:
    enlarged = jax.image.resize(pictures[..., None], (pictures.shape[0], side, side, 1), "linear")
    colours = jnp.repeat(imagenet_input(enlarged), 3, axis=-1)
    return nnx.merge(graph, state).pyramid(colours)


def _key(picture: np.ndarray) -> bytes:
    content = repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()
