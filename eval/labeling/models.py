"""What is judged on labeled ground: models, ensembles, and images predicted elsewhere."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from isl.data.splits import Split
from isl.errors import InputError
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.masks import size_text
from isl.imaging.normalize import normalize_label
from isl.labeling.label_scale import LabelScale
from isl.labeling.mixture import AnyModel
from isl.labeling.model import load_models
from isl.labeling.model_config import ModelConfig, learned_from

from .config import LabelingEvaluation
from .ground import Ground, GroundField

ENDINGS = (".ome.tif", ".tif", ".tiff")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One column of every comparison.

    Attributes:
        name: What it is called in the report.
        labels: What it predicts.
        identity: What its predictions depend on, beside the field: hashes of weights.
        model: A model, or an ensemble; None: images lie in `folder`.
        folder: Where images that were predicted elsewhere lie.
        members: What each member's `model.toml` says; () for images.
        cards: Each member's card.
        hashes: Each member's hash.
    """

    name: str
    labels: tuple[str, ...]
    identity: str
    model: AnyModel | None = None
    folder: Path | None = None
    members: tuple[ModelConfig, ...] = ()
    cards: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()

    @property
    def trained_on(self) -> frozenset[str]:
        """Groups that any member says it was trained on."""
        return frozenset(group for each in self.members for group in each.trained_on or ())

    @property
    def chosen_on(self) -> frozenset[str]:
        """Groups that chose which of any member's weights were kept."""
        return frozenset(group for each in self.members for group in each.chosen_on)

    @property
    def silent(self) -> bool:
        """Whether nothing says what it was trained on."""
        return not self.members or any(each.trained_on is None for each in self.members)


def common_scale(contenders: Sequence[Contender]) -> Mapping[str, LabelScale]:
    """The unit that all contenders predict in, by label; {}: their images' own.

    Raises:
        InputError: They predict in several units, which no one truth can judge.
    """
    for each in contenders:
        if each.model and any(member.label_scales for member in each.members):
            raise InputError(
                f"'{each.name}' learned from several experiments, each brought to one unit "
                "(label_scales in model.toml); judge it on images of that unit that were predicted "
                "elsewhere (predictions = ...), or train without label_moments and label_scale"
            )
    units = [each.model.config.label_scale if each.model else {} for each in contenders]
    for contender, unit in zip(contenders, units, strict=True):
        if unit != units[0]:
            raise InputError(
                f"'{contenders[0].name}' and '{contender.name}' predict in different units "
                "(label_scale in model.toml); judge them one by one, or images of models that "
                "stretch their labels without `original_unit`"
            )
    return units[0] if units else {}


def find_contenders(config: LabelingEvaluation, folder: Path) -> tuple[Contender, ...]:
    """Loads models, beside the configuration first and then the bundled ones.

    Args:
        config: What was asked for.
        folder: Where its file lies.

    Raises:
        InputError: A model is not there or damaged, or two contenders have one name.
    """
    found: dict[str, Contender] = {}

    def add(contender: Contender, otherwise: str) -> None:
        name = contender.name if contender.name not in found else otherwise
        if name in found:
            raise InputError(
                f"'{name}' is judged twice; name it once, or rename the entry in 'predictions'"
            )
        found[name] = dataclasses.replace(contender, name=name)

    for members in config.model:
        # Two models of one name are distinguished by what they were asked for as.
        add(_of_models(members, folder), otherwise=" and ".join(members))
    for name, images in config.predictions.items():
        add(_of_images(name, folder / images), otherwise=name)
    return tuple(found.values())


def check_images(contenders: Iterable[Contender], ground: Ground) -> None:
    """That every field was predicted, where images were predicted elsewhere.

    Raises:
        InputError: A field has no image.
    """
    for contender in contenders:
        if contender.folder is not None:
            for field in ground.fields:
                _image_file(contender.folder, field.name)


def check_unseen(
    contenders: Iterable[Contender],
    ground: Ground,
    splits: Mapping[Split, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Refuses groups that a contender's members say they were trained on.

    Args:
        contenders: Whom it is asked of.
        ground: What they would be judged on.
        splits: Groups on each side of the manifest's splits, one of which may be named instead.

    Raises:
        InputError: Names the groups and the model, and a split that it can be judged on.
    """
    for contender in contenders:
        shared = seen_groups(contender, ground)
        if shared:
            several = len(shared) > 1
            listed = ", ".join(f"'{group}'" for group in shared[:5])
            more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
            known = contender.trained_on
            apart = [split for split, held in splits.items() if held and known.isdisjoint(held)]
            named = f'judge it by split = "{apart[0]}", ' if apart else ""
            raise InputError(
                f"model '{contender.name}' was trained on group{'s' if several else ''} {listed}"
                f"{more}, as its model.toml says, and would be judged on "
                f"{'them' if several else 'it'}; {named}name {'them' if several else 'it'} in "
                "leave_out, "
                "rename groups that are others, or set allow_seen = true"
            )


def seen_groups(contender: Contender, ground: Ground) -> tuple[str, ...]:
    """Groups of the ground that a contender was trained on."""
    return learned_from(ground.groups, contender.trained_on)


def read_prediction(contender: Contender, field: GroundField) -> dict[str, np.ndarray]:
    """Images of a field that were predicted elsewhere: float32 [Y, X] in [0, 1], by label.

    Raises:
        InputError: There is none, it cannot be read, or is of another size than the field.
    """
    assert contender.folder is not None
    path = _image_file(contender.folder, field.name)
    image = read_fluorescence(path)
    if image.channels.ndim != 3:
        raise InputError(f"{path}: is a movie; give one image for each field")
    size = field.truth.shape[1:]
    if image.channels.shape[1:] != size:
        raise InputError(
            f"{path}: is {size_text(image.channels[0])} pixels, but field '{field.name}' is "
            f"{size[0]} x {size[1]}; predict the field as it is, without `border=valid`"
        )
    channels = normalize_label(image.channels, source=path)
    return dict(zip(image.labels, channels, strict=True))


def _of_models(members: Sequence[str], folder: Path) -> Contender:
    places = [folder / name if (folder / name).is_dir() else name for name in members]
    model = load_models(places)
    parts = model.members
    return Contender(
        name=model.name if len(parts) == 1 else f"mean of {model.name.replace(',', ', ')}",
        labels=model.labels,
        identity=model.hash,
        model=model,
        members=tuple(part.config for part in parts),
        cards=tuple(part.card for part in parts),
        hashes=tuple(part.hash for part in parts),
    )


def _of_images(name: str, folder: Path) -> Contender:
    if not folder.is_dir():
        raise InputError(f"predictions.{name}: {folder} is no folder")
    # Fields of an included experiment lie in a folder of its name.
    files = sorted(path for path in folder.rglob("*.tif*") if path.name.endswith(ENDINGS))
    if not files:
        raise InputError(f"predictions.{name}: {folder} holds no {' or '.join(ENDINGS)} file")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    labels = read_fluorescence(files[0]).labels
    return Contender(name=name, labels=labels, identity=digest.hexdigest(), folder=folder)


def _image_file(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise InputError(f"{folder}: holds no {name}{ENDINGS[0]} for field '{name}'; predict it first")
