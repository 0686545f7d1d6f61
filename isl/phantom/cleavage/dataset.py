"""A dataset of simulated cleavage-stage embryos: pictures, masks, shares, grades, one manifest."""

import dataclasses
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image

from isl.files.whole import write_text
from isl.phantom.cleavage.anatomy import MOST_SHARE, make_embryo, moved_on
from isl.phantom.cleavage.scene import FRAGMENT, labels_of, make_scene, show

# How often embryos have which share: many with few fragments, as in clinics.
_SHARES = ((0.0, 0.0, 0.2), (0.005, 0.1, 0.35), (0.1, 0.25, 0.25), (0.25, MOST_SHARE, 0.2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleavagePlan:
    """What is simulated.

    Attributes:
        embryos: How many for training, validation and test.
        frames: Of every embryo.
        size: Width and height of a frame, pixels.
        masks: Share of the training embryos whose masks are given.
        grades: Whether those without masks have grades (as bounds of their share).
        bounds: Shares between two grades.
        seed: Everything follows from it.
    """

    embryos: tuple[int, int, int] = (120, 40, 60)
    frames: int = 3
    size: int = 256
    masks: float = 1.0
    grades: bool = True
    bounds: tuple[float, ...] = (0.10, 0.25, 0.50)
    seed: int = 0


def frames_of(number: int, plan: CleavagePlan, split: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The frames of one embryo: picture and labels, uint8 [Y, X], each.

    Args:
        number: Of the embryo within its split.
        plan: What is simulated.
        split: 0, 1, 2.
    """
    rng = np.random.default_rng([plan.seed, split, number])
    kind = rng.choice(len(_SHARES), p=[chance for _, _, chance in _SHARES])
    low, high, _ = _SHARES[kind]
    cells = int(rng.integers(1, 9))
    share = float(rng.uniform(low, high))
    embryo = make_embryo(cells, share, rng)
    scene = make_scene(plan.size, embryo, rng)
    found = []
    for _ in range(plan.frames):
        found.append((show(embryo, scene, rng), labels_of(embryo, scene)))
        cells = min(10, cells + int(rng.integers(0, 3)))
        share = float(np.clip(share + rng.normal(0, 0.04) * (share > 0), 0, MOST_SHARE))
        embryo = moved_on(embryo, cells, share, rng)
    return found


def write_dataset(folder: Path, plan: CleavagePlan) -> Path:
    """Writes pictures and masks as PNG, and `dataset.toml`, which is returned.

    Groups are embryos. Of the training embryos, the first `masks` have masks; the others have the
    grade of their share as a range, or nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    for split, count in enumerate(plan.embryos):
        name_of_split = ("train", "validation", "test")[split]
        for number in range(count):
            name = f"{name_of_split}_{number:04d}"
            with_mask = split > 0 or number < round(plan.masks * count)
            for t, (picture, labels) in enumerate(frames_of(number, plan, split)):
                file = f"{name}_{t}.png"
                Image.fromarray(picture).save(folder / file)
                entry: dict[str, object] = {"image": file, "group": name, "split": name_of_split}
                if with_mask:
                    mask = f"{name}_{t}_mask.png"
                    Image.fromarray(labels).save(folder / mask)
                    entry["mask"] = mask
                elif plan.grades:
                    entry["range"] = list(_range_of(labels, plan.bounds))
                examples.append(entry)
    path = folder / "dataset.toml"
    write_text(path, tomli_w.dumps({"example": examples}), overwrite=True)
    return path


def _range_of(labels: np.ndarray, bounds: tuple[float, ...]) -> tuple[float, float]:
    share = (labels == FRAGMENT).sum() / max(1, (labels > 0).sum())
    edges = (0.0, *bounds, 1.0)
    place = int(np.searchsorted(bounds, share, side="right"))
    return edges[place], edges[place + 1]
