"""`isl eval` of a viability model: predictions.csv, metrics.json and report.html."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from isl.calibration import calibration
from isl.config import load_as_typed
from isl.errors import InputError, unknown
from isl.files.records import as_csv, as_json, plain
from isl.files.whole import write_text
from isl.viability.model import ViabilityModel, check_apart, load_viability_model
from isl_train.viability.ground import UNKNOWN, Case, keep_features, load_cases

from ..statistics.bootstrap import Interval, bootstrap, bootstrap_one
from ..statistics.classification import auc, average_precision
from .config import ViabilityEvaluation
from .decision import decision_curve
from .predictions import last_frame, logits_of, seen_until
from .report import evaluation_page
from .transfers import PUBLISHED, SELECTION, cohort_table, orders

STORE = "key_frames"
# Of outcomes, for the calibration error that chance alone makes.
_DRAWS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Embryos with known outcomes and what was said of them; N of them.

    Attributes:
        cases: The embryos.
        truth: bool [N].
        logits: float [M, N], of whole films.
        temperature: The model's, of this target.
    """

    cases: tuple[Case, ...]
    truth: np.ndarray
    logits: np.ndarray
    temperature: float

    @property
    def probability(self) -> np.ndarray:
        """Of the mean logit, at the temperature; float [N]."""
        return expit(self.logits.mean(axis=0) / self.temperature)

    @property
    def patients(self) -> np.ndarray:
        """Whose each is."""
        return np.array([case.patient for case in self.cases])

    def column(self, name: str) -> np.ndarray:
        """A column of the table, as texts.

        Raises:
            InputError: There is none.
        """
        if name not in self.cases[0].row:
            raise unknown("column", name, self.cases[0].row)
        return np.array([case.row[name] for case in self.cases])


def evaluate_viability(config: Path, overrides: list[str], out: Path) -> None:
    """Judges a model as a TOML file says, and leaves a report.

    Raises:
        InputError: The model knew some of the patients, has no such target, or there is no outcome.
    """
    settings = load_as_typed(config, ViabilityEvaluation, overrides)
    folder = config.parent
    model = load_viability_model(_model(settings.model, folder))
    judged = _judge(settings, model, folder, out)
    found = figures_of(settings, model, judged, _chances(settings, folder))
    write_text(out / "predictions.csv", as_csv(_COLUMNS, _rows(judged)), overwrite=True)
    write_text(out / "metrics.json", as_json(plain(found)), overwrite=True)
    write_text(out / "report.html", evaluation_page(settings, model, found), overwrite=True)


def figures_of(
    settings: ViabilityEvaluation,
    model: ViabilityModel,
    judged: Judged,
    chances: Mapping[str, float],
) -> dict[str, Any]:
    """Every figure of the report, by name."""
    target = _target(settings, model)
    resampled = {"replicates": settings.replicates, "level": settings.level}
    films = [case.film for case in judged.cases]

    def interval_of(score: np.ndarray) -> Interval:
        """AUROC of a score, its interval by patient."""
        return bootstrap_one(
            auc,
            [judged.truth, score],
            groups=judged.patients,
            rng=np.random.default_rng(settings.seed),
            **resampled,
        )

    score = judged.logits.mean(axis=0)
    p = judged.probability
    raw = expit(score)
    found: dict[str, Any] = {
        "target": model.targets[target],
        "embryos": len(judged.cases),
        "patients": len(set(judged.patients)),
        "share of 1": float(judged.truth.mean()),
        "auroc": interval_of(score),
        "average precision": bootstrap_one(
            average_precision,
            [judged.truth, score],
            groups=judged.patients,
            rng=np.random.default_rng(settings.seed),
            **resampled,
        ),
        "cross-entropy": _cross_entropy(judged.truth, p),
        "cross-entropy before temperature": _cross_entropy(judged.truth, raw),
        "calibration": {
            "before temperature": calibration(judged.truth, raw),
            "after": calibration(judged.truth, p),
        },
        "calibration error of right ones": chance_error(p, np.random.default_rng(settings.seed)),
        "decision curve": decision_curve(judged.truth, p),
        "members": [interval_of(own) for own in judged.logits],
        "without pictures": {
            name: interval_of(own) for name, own in without_pictures(judged.cases).items()
        },
    }
    found["by hour"] = {
        hour: interval_of(
            logits_of(model, [seen_until(film, hour) for film in films], target).mean(axis=0)
        )
        for hour in settings.hours
    }
    found["by hour"][float(max(film.hours[-1] for film in films))] = found["auroc"]
    if settings.controls:
        shuffled = logits_of(model, films, target, seed=settings.seed).mean(axis=0)
        alone = logits_of(model, [last_frame(film) for film in films], target).mean(axis=0)
        found["controls"] = {
            "frames in random order": interval_of(shuffled),
            "last frame alone": interval_of(alone),
        }
    if chances:
        found["best reachable"] = _best(judged, chances, interval_of)
    found["by group"] = {
        column: _by_group(judged, column, score, settings) for column in settings.groups
    }
    found["transfers"] = _transfers(settings, judged, score)
    found["words"] = [SELECTION, PUBLISHED]
    return found


def chance_error(probability: np.ndarray, rng: np.random.Generator) -> Mapping[str, float]:
    """Expected calibration error of so many outcomes that come true as often as announced.

    It is not 0, since few outcomes fall into a bin: an error within these bounds says nothing
    against the probabilities.

    Args:
        probability: float [N].
        rng: Draws the outcomes, 1,000 times.

    Returns:
        Mean, and the bounds of 95 %.
    """
    errors = [
        calibration(rng.random(len(probability)) < probability, probability).error
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(errors, [0.025, 0.975])
    return {"mean": float(np.mean(errors)), "low": float(low), "high": float(high)}


def without_pictures(cases: Sequence[Case]) -> dict[str, np.ndarray]:
    """Scores that need no picture: hours covered, size of the cohort, the patient's other embryos.

    The last one knows outcomes of the same patient's other embryos, which nobody has before a
    transfer: what it reaches is how much patients differ.
    """
    patients = np.array([case.patient for case in cases])
    outcomes = np.array([case.outcomes[0] for case in cases], float)
    hours = np.array([case.film.hours[-1] - case.film.hours[0] for case in cases], float)
    size = np.array([(patients == own).sum() for own in patients], float)
    shares = []
    for index, own in enumerate(patients):
        others = (patients == own) & (np.arange(len(cases)) != index) & (outcomes != UNKNOWN)
        shares.append(outcomes[others].mean() if others.any() else outcomes.mean())
    return {"hours covered": hours, "cohort size": size, "patient's share": np.array(shares)}


_COLUMNS = ("recording", "patient", "outcome", "probability", "logit", "members")


def _model(name: str, folder: Path) -> str | Path:
    return folder / name if (folder / name).is_dir() else name


def _target(settings: ViabilityEvaluation, model: ViabilityModel) -> int:
    if not settings.target:
        return 0
    if settings.target not in model.targets:
        raise unknown("target", settings.target, model.targets)
    return model.targets.index(settings.target)


def _judge(settings: ViabilityEvaluation, model: ViabilityModel, folder: Path, out: Path) -> Judged:
    target = _target(settings, model)
    name = model.targets[target]
    cases = load_cases(
        folder / settings.dataset,
        (name,),
        model.config.film,
        out / STORE,
        patient=settings.patient,
        sides=(settings.split,) if settings.split else None,
    )
    keep_features(cases, model.config.network, out / STORE)
    known = tuple(case for case in cases if case.outcomes[0] != UNKNOWN)
    if len({int(case.outcomes[0]) for case in known}) < 2:
        raise InputError(
            f"{folder / settings.dataset}: of split '{settings.split}' no two outcomes of '{name}' "
            "differ; there is nothing to judge by"
        )
    check_apart(model, [case.patient for case in known])
    return Judged(
        cases=known,
        truth=np.array([case.outcomes[0] == 1 for case in known]),
        logits=logits_of(model, [case.film for case in known], target),
        temperature=model.config.targets[target].temperature,
    )


def _chances(settings: ViabilityEvaluation, folder: Path) -> dict[str, float]:
    from isl.viability.recording import read_rows

    if settings.truth is None:
        return {}
    return {row["recording"]: float(row["chance"]) for row in read_rows(folder / settings.truth)}


def _best(judged: Judged, chances: Mapping[str, float], interval_of: Any) -> dict[str, Any]:
    from isl.phantom.development.biology import best_auroc

    p = np.array([chances[case.film.name] for case in judged.cases])
    return {"in expectation": best_auroc(p), "of these outcomes": interval_of(p)}


def _by_group(
    judged: Judged, column: str, score: np.ndarray, settings: ViabilityEvaluation
) -> dict[str, Interval]:
    groups = judged.column(column)
    return {
        str(name): bootstrap_one(
            auc,
            [judged.truth[groups == name], score[groups == name]],
            groups=judged.patients[groups == name],
            rng=np.random.default_rng(settings.seed),
            replicates=settings.replicates,
            level=settings.level,
        )
        for name in np.unique(groups)
    }


def _transfers(
    settings: ViabilityEvaluation, judged: Judged, score: np.ndarray
) -> dict[str, Interval]:
    beside = {}
    for name in settings.orders:
        try:
            beside[name] = judged.column(name).astype(float)
        except ValueError as error:
            raise InputError(f"column '{name}' orders embryos and holds no numbers") from error
    outcomes = judged.truth.astype(int)
    table = cohort_table(
        judged.column(settings.cohort or settings.patient),
        judged.patients,
        outcomes,
        orders(outcomes, score, beside),
    )
    return bootstrap(
        table.statistics,
        table.columns(),
        groups=table.patients,
        rng=np.random.default_rng(settings.seed),
        replicates=settings.replicates,
        level=settings.level,
    )


def _cross_entropy(truth: np.ndarray, p: np.ndarray) -> float:
    right = np.clip(np.where(truth, p, 1 - p), 1e-12, 1)
    return float(-np.log(right).mean())


def _rows(judged: Judged) -> list[dict[str, str]]:
    logits = judged.logits
    return [
        {
            "recording": case.film.name,
            "patient": case.patient,
            "outcome": str(int(truth)),
            "probability": f"{p:.5f}",
            "logit": f"{logits[:, i].mean():.5f}",
            "members": " ".join(f"{value:.4f}" for value in logits[:, i]),
        }
        for i, (case, truth, p) in enumerate(
            zip(judged.cases, judged.truth, judged.probability, strict=True)
        )
    ]
