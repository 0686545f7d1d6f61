"""The record of a labeling evaluation: every number, as one file."""

from typing import Any

from isl.files.provenance import versions
from isl.files.records import plain

from .blocks import BLOCK, FEWEST_GROUPS
from .findings import Findings, field_figures
from .judge import SAMPLES, LabelScores
from .models import Contender
from .points import PointScores


def metrics_record(findings: Findings) -> dict[str, Any]:
    """Every number, as JSON can hold it; what is undefined is null."""
    ground, settings = findings.ground, findings.settings
    return plain(
        {
            "made_by": "isl eval",
            "task": "labeling",
            "title": findings.title,
            "headlines": findings.headlines,
            "held_out": _held_out(findings),
            "seen": findings.seen,
            "ground": {
                "split": ground.split,
                "groups": ground.groups,
                "fields": [
                    {
                        "name": f.name,
                        "group": f.group,
                        "condition": f.condition,
                        "size": f.size,
                        "pixels": f.pixels,
                        "hash": f.fingerprint,
                    }
                    for f in ground.fields
                ],
                "notes": ground.notes,
            },
            "intervals": {
                "level": settings["level"],
                "replicates": settings["replicates"],
                "seed": settings["seed"],
                "over": f"groups, or blocks of {BLOCK} pixels where there are fewer than "
                f"{FEWEST_GROUPS}",
            },
            "contenders": {each.name: _contender_record(each) for each in findings.contenders},
            "labels": {
                label: {each.contender: _scores_record(each) for each in findings.of_label(label)}
                for label in ground.labels
            },
            "comparisons": findings.comparisons,
            "points": [_point_record(each) for each in findings.points],
            "familiarity": {
                name: {field: each.record for field, each in found.items()}
                for name, found in findings.familiarity.items()
            },
            "warnings": findings.warnings,
            "versions": versions(),
            "settings": settings,
        }
    )


def _held_out(findings: Findings) -> bool | None:
    """Whether the ground had no part in making any contender; None where one does not say."""
    groups = set(findings.ground.groups)
    if findings.seen or any(groups & each.chosen_on for each in findings.contenders):
        return False
    return None if any(each.silent for each in findings.contenders) else True


def _scores_record(each: LabelScores) -> dict[str, Any]:
    return {
        "figures": each.figures,
        "over": each.over,
        "units": each.units,
        "pearson_sampled": each.pearson_sampled,
        "samples": SAMPLES,
        "by_condition": each.by_condition,
        "by_group": each.by_group,
        "fields": [
            {
                "name": field.field,
                "group": field.group,
                "figures": field_figures(field),
                "pixels": field.pixels.pixels,
                "spectral": field.spectral,
                "objects": field.objects.figures if field.objects else None,
                "shift": field.shift,
                "notes": field.pixels.notes,
            }
            for field in each.fields
        ],
        "distribution": each.distribution,
        "heat_map": each.heat_map,
        "risk_coverage": each.risk,
        "objects": each.objects,
        "notes": each.notes,
    }


def _point_record(each: PointScores) -> dict[str, Any]:
    return {
        "label": each.label,
        "of": each.of,
        "kind": each.kind,
        "fields": each.fields,
        "predicted_rates": each.predicted_rates,
        "annotator_rates": each.annotator_rates,
    }


def _contender_record(each: Contender) -> dict[str, Any]:
    return {
        "labels": each.labels,
        "images_in": str(each.folder) if each.folder else None,
        "members": [
            {
                "name": member.name,
                "sha256": digest,
                "trained_on": member.trained_on,
                "chosen_on": member.chosen_on,
            }
            for member, digest in zip(each.members, each.hashes, strict=True)
        ],
    }
