"""A dataset of simulated cleavage-stage embryos: pictures, masks, shares, grades, one manifest."""

from pathlib import Path

import numpy as np
import pydantic
import tomli_w
from PIL import Image

from isl.config import Config
from isl.data.splits import SPLITS
from isl.errors import InputError
from isl.files.whole import write_text, written_whole
from isl.phantom.cleavage.anatomy import MOST_SHARE, OTHERS, make_embryo, make_other, moved_on
from isl.phantom.cleavage.scene import FRAGMENT, labels_of, make_scene, show
from isl.phantom.dataset import new_manifest
from isl.phantom.kinds import PhantomKind

CLEAVAGE = "cleavage"

# How often embryos have which share: many with few fragments, as in clinics.
_SHARES = ((0.0, 0.0, 0.2), (0.005, 0.1, 0.35), (0.1, 0.25, 0.25), (0.25, MOST_SHARE, 0.2))


class CleavageConfig(Config):
    """What is simulated of every embryo.

    Attributes:
        frames: Of every embryo.
        size: Width and height of a frame, pixels.
        masks: Share of the training embryos whose masks are given.
        grades: Whether those without masks have grades (as bounds of their share).
        bounds: Shares between two grades.
        test: How many of the embryos are for testing.
        stages: Whether every second embryo is an oocyte, zygote, morula or blastocyst in turn, the
            others have 2 to 8 cells, and every example says at which stage it is.
    """

    frames: int = pydantic.Field(default=3, ge=1)
    size: int = pydantic.Field(default=256, ge=32)
    masks: float = pydantic.Field(default=1.0, ge=0, le=1)
    grades: bool = True
    bounds: tuple[float, ...] = (0.10, 0.25, 0.50)
    test: int = pydantic.Field(default=0, ge=0)
    stages: bool = False


def frames_of(
    number: int, config: CleavageConfig, seed: int, split: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The frames of one embryo: picture and labels, uint8 [Y, X], each.

    Args:
        number: Of the embryo within its split.
        config: What is simulated.
        seed: Of the dataset.
        split: 0, 1, 2: training, validation, test.
    """
    rng = np.random.default_rng([seed, split, number])
    if config.stages and (stage := stage_of(number)) != CLEAVAGE:
        embryo = make_other(stage, rng)
        scene = make_scene(config.size, embryo, rng)
        return [(show(embryo, scene, rng), labels_of(embryo, scene)) for _ in range(config.frames)]
    kind = rng.choice(len(_SHARES), p=[chance for _, _, chance in _SHARES])
    low, high, _ = _SHARES[kind]
    cells = int(rng.integers(2 if config.stages else 1, 9))
    share = float(rng.uniform(low, high))
    embryo = make_embryo(cells, share, rng)
    scene = make_scene(config.size, embryo, rng)
    found = []
    for _ in range(config.frames):
        found.append((show(embryo, scene, rng), labels_of(embryo, scene)))
        cells = min(10, cells + int(rng.integers(0, 3)))
        share = float(np.clip(share + rng.normal(0, 0.04) * (share > 0), 0, MOST_SHARE))
        embryo = moved_on(embryo, cells, share, rng)
    return found


def stage_of(number: int) -> str:
    """The stage of an embryo by its number within a split, where stages are simulated."""
    return OTHERS[number // 2 % len(OTHERS)] if number % 2 else CLEAVAGE


def write_cleavage(
    folder: Path,
    count: int,
    config: CleavageConfig,
    seed: int,
    *,
    validation: int = 0,
    overwrite: bool = False,
) -> Path:
    """Simulates embryos and writes pictures and masks as PNG, and `dataset.toml`, which comes last.

    Groups are embryos. Of the training embryos, the first `masks` have masks; the others have the
    grade of their share as a range, or nothing.

    Args:
        folder: Made if missing.
        count: Number of embryos.
        config: What is simulated.
        seed: A number from 0.
        validation: How many of the embryos are for validation; `config.test` are for testing, and
            the others for training.
        overwrite: Whether files already there may be replaced.

    Returns:
        The manifest's path.

    Raises:
        InputError: The numbers make no dataset, or a file exists or cannot be written.
    """
    path = new_manifest(folder, count, seed, validation, overwrite)
    train = count - validation - config.test
    if train < 0:
        raise InputError(
            f"{folder}: {validation} embryos for validation and {config.test} for testing are more "
            f"than {count}; give a larger `count`"
        )
    examples = []
    for split, embryos in enumerate((train, validation, config.test)):
        name_of_split = SPLITS[split]
        for number in range(embryos):
            name = f"{name_of_split}_{number:04d}"
            with_mask = split > 0 or number < round(config.masks * embryos)
            for t, (picture, labels) in enumerate(frames_of(number, config, seed, split)):
                file = f"{name}_{t}.png"
                _write(folder / file, picture, overwrite)
                entry: dict[str, object] = {"image": file, "group": name, "split": name_of_split}
                if config.stages:
                    entry["stage"] = stage_of(number)
                if with_mask:
                    mask = f"{name}_{t}_mask.png"
                    _write(folder / mask, labels, overwrite)
                    entry["mask"] = mask
                elif config.grades:
                    entry["range"] = list(_range_of(labels, config.bounds))
                examples.append(entry)
    write_text(path, tomli_w.dumps({"example": examples}), overwrite=overwrite)
    return path


def _write(path: Path, picture: np.ndarray, overwrite: bool) -> None:
    with written_whole(path, overwrite) as unfinished:
        Image.fromarray(picture).save(unfinished, "PNG")


def _range_of(labels: np.ndarray, bounds: tuple[float, ...]) -> tuple[float, float]:
    share = (labels == FRAGMENT).sum() / max(1, (labels > 0).sum())
    edges = (0.0, *bounds, 1.0)
    place = int(np.searchsorted(bounds, share, side="right"))
    return edges[place], edges[place + 1]


KIND = PhantomKind(
    about="stills of embryos of 1 to 10 cells with fragments, their masks and grades",
    config=CleavageConfig,
    write=lambda folder, count, config, seed, validation, overwrite: write_cleavage(
        folder, count, config, seed, validation=validation, overwrite=overwrite
    ),
)
