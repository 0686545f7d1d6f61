"""Datasets: a TOML manifest of fields, their labels, where those were measured, and who sees what.

A manifest names fields of view. Each has transmitted-light planes and label images, belongs to a
group (a well, an embryo, a patient) and to a split. Splits are by group, because fields of one
group resemble each other: a group that stands on two sides is refused.

    root = "${ISL_DATA}/plate7"      # of the paths below; relative to the manifest's own folder

    [[field]]
    name = "A4"
    folder = "A4"                    # published single-plane PNGs: planes, labels and masks

    [[field]]
    name = "B2-1"
    group = "B2"                     # the field's own name unless given
    split = "validation"             # "train" unless given; or "test"
    transmitted = "B2-1.tif"         # one stack, or a list of single-plane files, bottom first
    pixel_size = 0.3                 # micrometres; overrides what the file says, like z_step
    modality = "PHASE_CONTRAST"
    [field.labels]
    DAPI = "B2-1-dapi.tif"
    MAP2 = { file = "B2-1-fluorescence.ome.tif", channel = "MAP2" }
    [field.masks]                    # 1 or full scale: measured; 0: not
    MAP2 = "B2-1-map2-measured.tif"

`condition` says what was done to a field's cells; `condition_weights = { drug = 2.0 }`, above all
fields, multiplies the weights of all that have it.

A [[time_lapse]] is a folder of such fields, one a frame: see `isl.labeling.timelapse`.

Reading a manifest checks its structure and that its files exist; pixels are read field by field, by
`isl.labeling.fields`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
import tomli_w

from isl import config
from isl.data.splits import Split, check_groups, check_names, without_groups
from isl.errors import InputError, unknown
from isl.files.whole import write_text
from isl.imaging.formats.published import TRANSMITTED, is_published_folder, parse_name
from isl.labeling.timelapse import TimeLapse, frame_fields


def _file_table(given: Any) -> Any:
    return {"file": given} if isinstance(given, str | Path) else given


def _several(given: Any) -> Any:
    return (given,) if isinstance(given, str | Path) else given


Weight = Annotated[pydantic.PositiveFloat, pydantic.Field(allow_inf_nan=False)]


class LabelFile(config.Config):
    """Where a label's image lies.

    Attributes:
        file: The image file.
        channel: Which of its channels, by name; channels a file does not name are channel_1,
            channel_2, ... None: the only one, or the one named like the label.
        axes: Its axes, e.g. "CYX", where it does not say them.
        frame: The time point, from 0, of a movie; None: it is none.
    """

    file: Path
    channel: str | None = None
    axes: str | None = None
    frame: pydantic.NonNegativeInt | None = None


class Field(config.Config):
    """One field of view as the manifest states it.

    Attributes:
        name: Name of the field, once in a manifest.
        folder: Folder of published single-plane PNGs; or else:
        transmitted: One stack, or single-plane files, bottom plane first.
        axes: Axes of the transmitted file, where it does not say them.
        channel: The transmitted channel, by name, where the file holds several.
        frame: The time point of the transmitted file, from 0, where that is a movie; None: it is
            none.
        planes: Which planes to take, by index, in this order; None: all.
        planes_of: How many planes there must be, where that was said; None: any number.
        labels: The label images.
        masks: Images that say where a label was measured; a label without one: everywhere.
        use_labels: Which labels to take, in this order; None: all.
        group: Well, embryo or patient; the field's name unless given.
        split: Which side of the splits the group is on.
        validation_region: Rows and columns [y0, y1, x0, x1] of a training field that training never
            sees and validation does. For sets of one group only: neighbouring ground of one field
            resembles what was trained on, so scores on it are optimistic.
        pixel_size: Micrometres, instead of what the file says.
        z_step: Micrometres between planes, instead of what the file says.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD" or "DIC", instead of what the file says.
        weight: How likely training draws a crop of it, relative to its ground.
        condition: What was done to its cells, such as a drug; "" where nothing says.
        experiment: Which included manifest it comes from, filled in by `load_manifest`.
        recording: The time-lapse that it is a frame of, likewise; "": of none.
    """

    name: str = pydantic.Field(min_length=1)
    folder: Path | None = None
    transmitted: Annotated[tuple[Path, ...], pydantic.BeforeValidator(_several)] = ()
    axes: str | None = None
    channel: str | None = None
    frame: pydantic.NonNegativeInt | None = None
    planes: tuple[pydantic.NonNegativeInt, ...] | None = None
    planes_of: pydantic.PositiveInt | None = None
    labels: dict[str, Annotated[LabelFile, pydantic.BeforeValidator(_file_table)]] = pydantic.Field(
        default_factory=dict
    )
    masks: dict[str, Path] = pydantic.Field(default_factory=dict)
    use_labels: tuple[str, ...] | None = None
    group: str = ""
    split: Split = "train"
    validation_region: tuple[int, int, int, int] | None = None
    pixel_size: pydantic.PositiveFloat | None = None
    z_step: pydantic.PositiveFloat | None = None
    modality: str | None = None
    weight: Weight = 1.0
    condition: str = ""
    experiment: str = ""
    recording: str = ""


class Include(config.Config):
    """Another manifest whose fields belong to this one; its names and groups are kept apart.

    Attributes:
        manifest: The file, relative to the one that includes it.
        name: Of the experiment, which stands before the names and groups of its fields; the name
            of the manifest's folder unless given.
        weight: Multiplies the weights of its fields.
        condition: Of its fields that do not say theirs.
        planes: Which planes its fields have, instead of what it says of them.
        split: Where all of its fields are, instead of where it puts them.
    """

    manifest: Path
    name: str = pydantic.Field(default="", pattern=r"^[^/]*$")
    weight: Weight = 1.0
    condition: str = ""
    planes: tuple[pydantic.NonNegativeInt, ...] | None = None
    split: Split | None = None


def _include_table(given: Any) -> Any:
    return {"manifest": given} if isinstance(given, str) else given


class _ManifestFile(config.Config):
    include: tuple[Annotated[Include, pydantic.BeforeValidator(_include_table)], ...] = ()
    root: str = "."
    condition_weights: dict[str, Weight] = pydantic.Field(default_factory=dict)
    field: tuple[Field, ...] = ()
    time_lapse: tuple[TimeLapse, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A dataset: its fields, with paths that can be opened.

    Attributes:
        fields: The fields, in the manifest's order; frames of time-lapses after the others.
        time_lapses: The time-lapses whose frames are among the fields.
        root: What relative paths start from, as the manifest says it.
        path: The manifest's file, None for one that was never written.
    """

    fields: tuple[Field, ...]
    time_lapses: tuple[TimeLapse, ...] = ()
    root: str = "."
    path: Path | None = None

    def without(self, groups: Iterable[str]) -> "Manifest":
        """The dataset without the fields and time-lapses of some groups.

        Raises:
            InputError: There is no such group.
        """
        left_out = frozenset(groups)
        return dataclasses.replace(
            self,
            fields=without_groups(self.path, self.fields, left_out),
            time_lapses=tuple(each for each in self.time_lapses if each.group not in left_out),
        )

    def fields_for(self, split: Split) -> tuple[Field, ...]:
        """The fields that hold ground for `split`; a field with a validation region holds two."""
        return tuple(
            field
            for field in self.fields
            if field.split == split
            or (split == "validation" and field.validation_region is not None)
        )

    def labels(self) -> tuple[str, ...]:
        """Every label that some field holds, in order of appearance."""
        return tuple(dict.fromkeys(label for field in self.fields for label in labels_of(field)))

    def require_labels(self, labels: Iterable[str]) -> None:
        """Refuses labels that no field holds.

        Raises:
            InputError: The first such label, with the nearest one that is held.
        """
        known = self.labels()
        for label in labels:
            if label not in known:
                raise InputError(f"{self.path or 'the dataset'}: {unknown('label', label, known)}")


def load_manifest(path: Path) -> Manifest:
    """Reads a manifest and checks all that can be checked without reading pixels.

    Args:
        path: The manifest, a TOML file.

    Raises:
        InputError: Unknown or missing keys, files that are missing, names used twice, masks
            without their label, or a group on two sides of the splits.
    """
    return _loaded(Path(path), ())


def _loaded(path: Path, including: tuple[Path, ...]) -> Manifest:
    """A manifest, included by others that are not to be included again."""
    if path.resolve() in including:
        raise InputError(f"{path}: includes itself, by way of {including[-1].name}; take one out")
    stated = config.load_toml(path, _ManifestFile)
    included = _included(path, stated.include, (*including, path.resolve()))
    root = config.folder_named(stated.root, path.parent, source=f"{path}: root")
    if not stated.field and not stated.time_lapse and not included:
        raise InputError(f"{path}: has no field; a dataset needs at least one [[field]]")
    for field in stated.field:
        _check_keys(path, field)
    time_lapses = tuple(time_lapse.rooted(root) for time_lapse in stated.time_lapse)
    fields = (
        *included,
        *(_resolved(field, root) for field in stated.field),
        *(Field(**table) for time_lapse in time_lapses for table in frame_fields(time_lapse)),
    )
    check_names(path, "field", fields)
    check_groups(path, "field", fields)
    _check_regions(path, fields)
    for field in fields:
        _check_files(path, field)
    fields = _weighed(path, fields, stated.condition_weights)
    return Manifest(fields=fields, time_lapses=time_lapses, root=stated.root, path=path)


def _weighed(
    path: Path, fields: tuple[Field, ...], weights: Mapping[str, float]
) -> tuple[Field, ...]:
    """The fields with their weights multiplied by those of their conditions."""
    known = dict.fromkeys(field.condition for field in fields if field.condition)
    for condition in weights:
        if condition not in known:
            raise InputError(
                f"{path}: condition_weights: {unknown('condition', condition, list(known))}"
            )
    return tuple(
        field.model_copy(update={"weight": field.weight * weights.get(field.condition, 1.0)})
        for field in fields
    )


def _included(
    path: Path, includes: Sequence[Include], including: tuple[Path, ...]
) -> tuple[Field, ...]:
    """The fields of other manifests, each named and grouped by its experiment."""
    fields: list[Field] = []
    names: set[str] = set()
    for include in includes:
        file = path.parent / include.manifest
        name = include.name or file.resolve().parent.name
        if name in names:
            raise InputError(
                f"{path}: includes two experiments called '{name}'; give them names: "
                f'include = [{{ manifest = "{include.manifest}", name = "..." }}]'
            )
        names.add(name)
        fields += [
            _of_experiment(field, name, include) for field in _loaded(file, including).fields
        ]
    return tuple(fields)


def _of_experiment(field: Field, name: str, include: Include) -> Field:
    beside = f"/{field.experiment}" if field.experiment else ""
    changed: dict[str, Any] = {
        "name": f"{name}/{field.name}",
        "group": f"{name}/{field.group}",
        "experiment": f"{name}{beside}",
        "weight": field.weight * include.weight,
        "condition": field.condition or include.condition,
    }
    if field.recording:
        changed["recording"] = f"{name}/{field.recording}"
    if include.planes is not None:
        changed["planes"] = include.planes
    if include.split is not None:
        changed["split"] = include.split
        if include.split != "train":
            changed["validation_region"] = None
    return field.model_copy(update=changed)


def write_manifest(path: Path, manifest: Manifest, *, overwrite: bool = False) -> None:
    """Writes a manifest that `load_manifest` reads back.

    Args:
        path: The TOML file.
        manifest: The dataset; frames of its time-lapses are no fields of its own. Paths inside its
            root are written relative to it; relative ones are taken to be that already.
        overwrite: Whether a file already there may be replaced.

    Raises:
        InputError: The file exists or cannot be written, or names or groups contradict each other.
    """
    path = Path(path)
    frames = {f"{lapse.name}/" for lapse in manifest.time_lapses}
    if any(field.name.startswith(tuple(frames)) for field in manifest.fields if frames):
        raise ValueError(
            "frames of time-lapses are written with them, and as no fields of their own"
        )
    for field in manifest.fields:
        _check_keys(path, field)
    named = tuple(_resolved(field, Path()) for field in manifest.fields)
    check_names(path, "field", named)
    check_groups(path, "field", named)
    _check_regions(path, named)
    root = config.folder_named(manifest.root, path.parent, source=f"{path}: root")
    stated = {
        "root": manifest.root,
        "field": [_field_table(field, root) for field in manifest.fields],
        "time_lapse": [_time_lapse_table(lapse, root) for lapse in manifest.time_lapses],
    }
    stated = {key: value for key, value in stated.items() if value or key == "root"}
    write_text(path, tomli_w.dumps(stated), overwrite=overwrite)


def labels_of(field: Field) -> tuple[str, ...]:
    """Names of the labels that a field of a loaded manifest holds, without reading pixels."""
    if field.use_labels is not None:
        return field.use_labels
    return _all_labels_of(field)


def _resolved(field: Field, root: Path) -> Field:
    """The field with its paths made absolute and its group filled in."""
    return field.model_copy(
        update={
            "folder": root / field.folder if field.folder is not None else None,
            "transmitted": tuple(root / file for file in field.transmitted),
            "labels": {
                label: place.model_copy(update={"file": root / place.file})
                for label, place in field.labels.items()
            },
            "masks": {label: root / file for label, file in field.masks.items()},
            "group": field.group or field.name,
        }
    )


def _check_keys(path: Path, field: Field) -> None:
    """Keys of one field that contradict each other."""
    where = f"{path}: field '{field.name}'"
    if (field.folder is None) == (not field.transmitted):
        raise InputError(f"{where} needs either 'folder' or 'transmitted'")
    if field.folder is not None:
        beside = ("axes", "channel", "frame", "labels", "masks")
        for key in beside:
            if getattr(field, key) not in (None, {}):
                raise InputError(
                    f"{where}: '{key}' does not go with 'folder', which brings its own"
                )
    for label in field.masks:
        if label not in field.labels:
            raise InputError(f"{where}: mask of {unknown('label', label, field.labels)}")
    if field.folder is None:
        _check_use_labels(where, field, tuple(field.labels))
    if field.planes is not None and not field.planes:
        raise InputError(f"{where}: 'planes' is empty; leave it out to take all planes")
    if field.validation_region is not None:
        y0, y1, x0, x1 = field.validation_region
        if not (0 <= y0 < y1 and 0 <= x0 < x1):
            raise InputError(
                f"{where}: validation_region {list(field.validation_region)} is empty; "
                "give [y0, y1, x0, x1] with y0 < y1 and x0 < x1"
            )
        if field.split != "train":
            raise InputError(
                f"{where}: validation_region is for fields of split 'train', this one is in "
                f"'{field.split}'"
            )


def _check_use_labels(where: str, field: Field, known: tuple[str, ...]) -> None:
    for label in field.use_labels or ():
        if label not in known:
            raise InputError(f"{where}: use_labels: {unknown('label', label, known)}")


def _check_regions(path: Path, fields: Sequence[Field]) -> None:
    regions = [field for field in fields if field.validation_region is not None]
    if regions and any(field.split == "validation" for field in fields):
        raise InputError(
            f"{path}: field '{regions[0].name}' has a validation_region though other fields are in "
            "split 'validation'; keep one of the two"
        )


def _check_files(path: Path, field: Field) -> None:
    where = f"{path}: field '{field.name}'"
    files = [*field.transmitted, *(place.file for place in field.labels.values())]
    for file in [*files, *field.masks.values()]:
        if not file.is_file():
            raise InputError(f"{where}: there is no file {file}")
    if field.folder is not None:
        if not field.folder.is_dir():
            raise InputError(f"{where}: there is no folder {field.folder}")
        if not is_published_folder(field.folder):
            raise InputError(f"{where}: {field.folder} holds no published single-plane PNGs")
        _check_use_labels(where, field, _all_labels_of(field))


def _all_labels_of(field: Field) -> tuple[str, ...]:
    """As `labels_of`, before any selection."""
    if field.folder is None:
        return tuple(field.labels)
    names = filter(None, map(parse_name, field.folder.iterdir()))
    return tuple(
        sorted(
            {
                name.channel
                for name in names
                if not (name.is_mask or name.predicted or name.channel.upper() in TRANSMITTED)
            }
        )
    )


def _field_table(field: Field, root: Path) -> dict[str, Any]:
    """What TOML says of one field: only what differs from the defaults."""
    stated = field.model_dump(exclude_defaults=True, exclude={"experiment", "recording"})
    if stated.get("group") == field.name:
        del stated["group"]
    if field.folder is not None:
        stated["folder"] = _relative(field.folder, root)
    if field.transmitted:
        files = [_relative(file, root) for file in field.transmitted]
        stated["transmitted"] = files[0] if len(files) == 1 else files
    for label, place in field.labels.items():
        beside = place.model_dump(exclude_none=True, exclude={"file"})
        file = _relative(place.file, root)
        stated["labels"][label] = {"file": file, **beside} if beside else file
    for label, file in field.masks.items():
        stated["masks"][label] = _relative(file, root)
    return stated


def _time_lapse_table(lapse: TimeLapse, root: Path) -> dict[str, Any]:
    """What a manifest says of a time-lapse: what it has, with paths relative to the root."""
    table = lapse.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    table["frames"] = _relative(lapse.frames, root)
    if lapse.labels:
        table["labels"] = {label: _relative(at, root) for label, at in lapse.labels.items()}
    if lapse.annotation is not None:
        table["annotation"]["table"] = _relative(lapse.annotation.table, root)
    return table


def _relative(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()
