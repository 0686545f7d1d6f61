"""Embryos of a few pixels, in memory and on disk: discs whose Ezrin gathers at the rim."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from isl.polarity.embryo import Embryo

SIZE = 48
LABELING = """
task = "labeling"
dataset = "manifest.toml"
[network]
kind = "unet"
levels = 1
width = 2
[training]
steps = 2
batch_size = 2
crop = 16
batch_norm_decay = 0.5
[loss]
autoencoding = 0.0
labels = 1.0
"""
POLARITY = """
task = "polarity"
dataset = "manifest.toml"
members = 1
symmetries = false
[ezrin]
experiment = "ezrin.toml"
folds = 2
model = "ezrin-aif"
[backbone]
kind = "encoder"
unet = { levels = 1, width = 2 }
[sight]
size = 16
[training]
steps = 2
batch_size = 2
reestimate_batches = 1
"""


def draw_frames(after: Sequence[int], seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """uint8 DIC and Ezrin [T, Y, X]: spread over the disc before the onset, at its rim after."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(y, x)
    disc = radius < 0.3 * size
    rim = disc & (radius > 0.22 * size)
    light, ezrin = [], []
    for polarized in after:
        light.append(np.where(disc, rng.normal(140, 40, disc.shape), 120))
        bright = np.where(rim, 220, 60) if polarized else np.full(disc.shape, 130)
        ezrin.append(np.where(disc, bright, 10) + rng.normal(0, 4, disc.shape))
    dic, label = (np.clip(images, 0, 255).astype(np.uint8) for images in (light, ezrin))
    return dic, label


def make_embryo(
    name: str, onset: int | None, *, frames: int = 6, measured: bool = True, group: str = ""
) -> Embryo:
    """One in memory."""
    after = np.arange(frames) >= (frames if onset is None else onset)
    dic, ezrin = draw_frames(after.tolist(), seed=sum(name.encode()))
    return Embryo(
        name=name,
        group=group or name,
        split="train",
        dic=dic.astype(np.float32) / 255,
        measured=ezrin.astype(np.float32) / 255 if measured else None,
        after=after,
        onset=onset,
    )


def write_embryos(
    folder: Path,
    labels: Mapping[str, Sequence[int]],
    *,
    compacted: Mapping[str, Sequence[int]] | None = None,
    more: Mapping[str, str] | None = None,
    planes: int = 1,
    first: int = 5,
) -> Path:
    """A manifest of time-lapses, their table, and `ezrin.toml` and `polarity.toml` beside it.

    Args:
        folder: Where everything is written.
        labels: For every embryo 0 or 1 of each frame.
        compacted: Likewise; a column of the table where it is given.
        more: Lines of the manifest for single embryos.
        planes: Of every DIC stack; all are alike.
        first: The first frame's number.
    """
    rows = ["embryo,t,polarized" + ("" if compacted is None else ",compacted")]
    tables = []
    for seed, (name, after) in enumerate(labels.items()):
        dic, ezrin = draw_frames(after, seed)
        for kind in ("dic", "ezrin"):
            (folder / kind / name).mkdir(parents=True)
        for t, value in enumerate(after):
            number = f"t{first + t}"
            ending = "png" if planes == 1 else "tif"
            save_frame(folder / "dic" / name / f"{number}.{ending}", dic[t], planes)
            save_frame(folder / "ezrin" / name / f"{number}.{ending}", ezrin[t], 1)
            beside = "" if compacted is None else f",{compacted[name][t]}"
            rows.append(f"{name},{first + t},{value}{beside}")
        tables.append(
            f'[[time_lapse]]\nname = "{name}"\nframes = "dic/{name}"\n'
            f'labels = {{ EZRIN = "ezrin/{name}" }}\nannotation = {{ table = "labels.csv" }}\n'
            f'modality = "DIC"\n{(more or {}).get(name, "")}\n'
        )
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "manifest.toml").write_text("\n".join(tables), encoding="utf-8")
    (folder / "ezrin.toml").write_text(LABELING, encoding="utf-8")
    (folder / "polarity.toml").write_text(POLARITY, encoding="utf-8")
    return folder / "manifest.toml"


def save_frame(path: Path, frame: np.ndarray, planes: int = 1) -> None:
    """A frame, or a stack of equal planes."""
    if path.suffix == ".png":
        Image.fromarray(frame).save(path)
        return
    axes = "ZYX" if planes > 1 else "YX"
    pixels = np.stack([frame] * planes) if planes > 1 else frame
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata={"axes": axes})
