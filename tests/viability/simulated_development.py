"""Simulated recordings, a little model with made-up weights, and films without pictures."""

from pathlib import Path

import numpy as np
from flax import nnx

from isl.backbones.video_swin import VideoSwinConfig
from isl.phantom.development.biology import draw_development, draw_patient
from isl.phantom.development.look import CLINICS, draw_frame, draw_look, photograph
from isl.viability.films import FilmConfig, KeyFilm
from isl.viability.model import TargetConfig, ViabilityConfig, save_viability_model
from isl.viability.network import NetworkConfig, build_network
from isl.viability.recording import Place, Recording

FILM = FilmConfig(count=8, size=24)
NETWORK = VideoSwinConfig(
    width=8, depths=(2,), heads=(2,), patch=(2, 8, 8), window=(2, 3, 3), dropout=0.0
)


def embryo_frames(hours: np.ndarray, *, seed: int = 0, size: int = 64) -> np.ndarray:
    """uint8 [T, Y, X], one embryo in its well."""
    rng = np.random.default_rng(seed)
    development, look = draw_development(draw_patient(rng), rng), draw_look(rng)
    frames = [
        photograph(draw_frame(development, look, float(h), size), CLINICS["first"], 0.0, rng)
        for h in hours
    ]
    return np.stack(frames)


def recording(frames: np.ndarray, hours: np.ndarray, **place) -> Recording:
    """Frames as if they had been read."""
    return Recording(
        place=Place(name="embryo", path=Path("embryo.mp4"), **place),
        frame_names=tuple(f"frame {t}" for t in range(len(frames))),
        hours=np.asarray(hours, float),
        read=frames.__getitem__,
    )


def film(seed: int = 0, count: int = 8, size: int = 24) -> KeyFilm:
    """Noise, in order of time."""
    rng = np.random.default_rng(seed)
    return KeyFilm(
        name=f"film {seed}",
        pictures=rng.integers(0, 255, (count, size, size)).astype(np.uint8),
        hours=np.linspace(2, 119, count).astype(np.float32),
        indices=np.arange(count),
        why=("sharpest",) * count,
    )


def write_model(
    folder: Path,
    *,
    members: int = 3,
    targets: tuple[str, ...] = ("heartbeat", "euploid"),
    unwanted: tuple[str, ...] = (),
    network: NetworkConfig = NETWORK,
    **config,
) -> Path:
    """A model folder whose weights were drawn."""
    networks = [
        build_network(network, 2, 2 * len(targets), rngs=nnx.Rngs(seed)) for seed in range(members)
    ]
    stated = ViabilityConfig(
        name="little",
        targets=tuple(TargetConfig(name=each, unwanted=each in unwanted) for each in targets),
        film=FILM,
        network=network,
        members=members,
        **{"patients": ("p1",), **config},
    )
    save_viability_model(folder, networks, stated, "# little\n")
    return folder
