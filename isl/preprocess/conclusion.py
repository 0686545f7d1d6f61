"""What a run comes to: which fields are kept, who learns from them, and the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from isl.data.splits import Split
from isl.errors import InputError
from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest
from isl.preprocess import estimate_files
from isl.preprocess.config import PreprocessConfig
from isl.preprocess.field import FIELDS, files_of
from isl.preprocess.plan import Plan
from isl.preprocess.quality import Decision, decided_by_hand, judge
from isl.preprocess.raw_units import of_the_set, write_normalization
from isl.preprocess.record import FieldRecord
from isl.preprocess.report import write_report
from isl.preprocess.run_folder import MANIFEST, NORMALIZATION, REPORT, write_table
from isl.preprocess.split import split_groups


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a run came to.

    Attributes:
        records: The fields that are done.
        decisions: Which of them are kept.
        failed: Fields that could not be done, each with its reason.
        manifest: The dataset; None where no field is kept.
        report: The report.
    """

    records: tuple[FieldRecord, ...]
    decisions: tuple[Decision, ...]
    failed: tuple[tuple[str, str], ...]
    manifest: Path | None
    report: Path


def conclude(
    plan: Plan,
    config: PreprocessConfig,
    out: Path,
    records: Sequence[FieldRecord],
    failed: Sequence[tuple[str, str]],
    by_hand: Mapping[str, bool],
) -> Outcome:
    """Judges the fields and writes the manifest, the table of decisions and the report.

    Args:
        plan: What was found.
        config: What was done.
        out: The run's folder.
        records: Of the fields that are done.
        failed: Fields that are not, each with its reason.
        by_hand: What a person decided, by field.

    Raises:
        InputError: The fields that are kept make no split; all but the dataset is written then.
    """
    measures = [record.measures for record in records]
    judged = (
        judge(measures, config.quality)
        if config.runs("quality")
        else tuple(Decision(field=record.name, keep=True) for record in records)
    )
    decisions = decided_by_hand(judged, by_hand)
    write_table(out, decisions, measures)
    kept = [record for record, each in zip(records, decisions, strict=True) if each.keep]
    split, problem = _split_of(kept, config)
    manifest = out / MANIFEST if split else None
    _write_dataset(kept if split else (), split, config, out)
    write_report(
        out / REPORT,
        config=config,
        records=records,
        decisions=decisions,
        failed=failed,
        estimates={
            channel.name: estimate_files.load_estimates(out / estimate_files.FOLDER, channel.name)
            for channel in plan.channels
        },
        split=split,
        folder=out / FIELDS,
        manifest=manifest,
    )
    if problem is not None:
        raise InputError(
            f"{problem} ({len(kept)} of {plan.count} fields are kept, see {out / REPORT}; change "
            "'split', 'quality' or 'decisions' and run again, which redoes no field)"
        ) from problem
    return Outcome(
        records=tuple(records),
        decisions=decisions,
        failed=tuple(failed),
        manifest=manifest,
        report=out / REPORT,
    )


def split_of(groups: Sequence[str], config: PreprocessConfig) -> dict[str, Split]:
    """Who is for training, validation and test.

    Raises:
        InputError: The groups make no such split.
    """
    split = config.split
    shares: dict[str, float] = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    return split_groups(groups, shares, split.seed, split.groups)


def _split_of(
    kept: Sequence[FieldRecord], config: PreprocessConfig
) -> tuple[dict[str, Split], InputError | None]:
    """The split of the fields that are kept; or none, and why."""
    if not kept:
        return {}, None
    groups = [record.group for record in kept]
    # Of groups that were put somewhere by hand, some may have no field left.
    left = {group: split for group, split in config.split.groups.items() if group in groups}
    config = config.model_copy(update={"split": config.split.model_copy(update={"groups": left})})
    try:
        split = split_of(groups, config)
        _check_region(kept, config)
    except InputError as error:
        return {}, error
    return split, None


def _check_region(kept: Sequence[FieldRecord], config: PreprocessConfig) -> None:
    region = config.split.region
    for record in kept:
        if region is not None and (region[1] > record.size[0] or region[3] > record.size[1]):
            raise InputError(
                f"split.region {list(region)} reaches beyond field '{record.name}', which has "
                f"{record.size[0]} x {record.size[1]} pixels"
            )


def _write_dataset(
    kept: Sequence[FieldRecord], split: Mapping[str, Split], config: PreprocessConfig, out: Path
) -> None:
    """Writes the manifest and what undoes the set's normalization, or takes old ones away."""
    if not kept:
        for name in (MANIFEST, NORMALIZATION):
            (out / name).unlink(missing_ok=True)
        return
    fields = tuple(_manifest_field(record, split, config, out) for record in kept)
    write_manifest(out / MANIFEST, Manifest(fields=fields), overwrite=True)
    labels = dict.fromkeys(label for record in kept for label in record.registration)
    write_normalization(out / NORMALIZATION, of_the_set(kept, tuple(labels)))


def _manifest_field(
    record: FieldRecord, split: Mapping[str, Split], config: PreprocessConfig, out: Path
) -> Field:
    files = files_of(Path(FIELDS), record.name)
    labels = tuple(record.registration)
    masked = (out / files.measured).exists()
    return Field(
        name=record.name,
        group=record.group,
        split=split[record.group],
        transmitted=(files.stack,),
        labels={label: LabelFile(file=files.labels, channel=label) for label in labels},
        masks=dict.fromkeys(labels, files.measured) if masked else {},
        validation_region=config.split.region,
        modality=config.modality,
        condition=record.condition,
    )
