"""Transfers simulated in an order: how often the first succeeds, and how many a pregnancy takes.

A cohort is the embryos of one patient with known outcomes. They are transferred one by one, the
first in the order first, until one succeeds or none is left. Transfers per pregnancy are all
transfers of all cohorts, those of cohorts without success too, divided by the pregnancies.

What this cannot say: outcomes are known of embryos that somebody chose to transfer. An order that
would have chosen others has no outcomes to be judged by, and orders are compared on ground that the
clinic's own order has picked (`SELECTION`).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

SELECTION = (
    "Only embryos that were transferred have an outcome. Cohorts here are what somebody chose to "
    "transfer, so these figures say nothing of embryos that were left, and nothing of what an "
    "order would do in a clinic (selection bias)."
)
PUBLISHED = (
    "The source quotes clinics' average of about 1.6 transfers per pregnancy from before its "
    "models were used. That is a figure of those clinics, not one measured here."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfers:
    """What an order costs.

    Attributes:
        cohorts: How many cohorts.
        transfers: Made in all of them.
        pregnancies: Cohorts in which one succeeds.
        first: Cohorts in which the first transfer succeeds.
    """

    cohorts: float = 0.0
    transfers: float = 0.0
    pregnancies: float = 0.0
    first: float = 0.0


def in_order(outcomes: np.ndarray, score: np.ndarray) -> Transfers:
    """One cohort, the highest score first; equal ones in each order alike, in expectation.

    Args:
        outcomes: int [N], 0 or 1.
        score: float [N].
    """
    outcomes, score = np.asarray(outcomes), np.asarray(score, float)
    before = 0.0
    for value in np.unique(score)[::-1]:
        tied = outcomes[score == value]
        wins = int(tied.sum())
        if wins:
            # Of n in random order with k successes the first success comes after (n - k) / (k + 1).
            waits = (len(tied) - wins) / (wins + 1)
            first = wins / len(tied) if not before else 0.0
            return Transfers(cohorts=1, transfers=before + waits + 1, pregnancies=1, first=first)
        before += len(tied)
    return Transfers(cohorts=1, transfers=float(len(outcomes)))


def orders(
    outcomes: np.ndarray, score: np.ndarray, beside: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The orders that are compared, as scores.

    The model's, random, as the table lists them (oldest first, where it does), those given, and the
    best possible.

    Args:
        outcomes: int [N], for the best order, which knows them.
        score: float [N], the model's.
        beside: Scores by name, such as grades.
    """
    return {
        "model": score,
        # All alike: in expectation over all orders.
        "random": np.zeros(len(outcomes)),
        "as listed": -np.arange(len(outcomes), dtype=float),
        **beside,
        "best possible": outcomes.astype(float),
    }


def top_hit(outcomes: np.ndarray, score: np.ndarray) -> float | None:
    """Whether one cohort's highest score is a success; of equal ones, the share that is.

    None where outcomes are alike, a cohort of one among them: no order is better than another.
    """
    if len(np.unique(outcomes)) < 2:
        return None
    return float(np.asarray(outcomes)[score == score.max()].mean())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CohortTable:
    """Cohorts, one a row, by the order of transfers; for the bootstrap, which draws patients.

    A patient who is drawn twice has two cohorts, not one of twice the size.

    Attributes:
        patients: [C], whose cohort it is.
        names: Of the orders.
        counts: float [C, orders, 4], transfers, pregnancies, first successes, top hits.
        mixed: bool [C], whether both outcomes occur, without which there is no top hit.
    """

    patients: np.ndarray
    names: tuple[str, ...]
    counts: np.ndarray
    mixed: np.ndarray

    def columns(self) -> list[np.ndarray]:
        """What `statistics` takes, row by row."""
        return [self.counts, self.mixed]

    def statistics(self, counts: np.ndarray, mixed: np.ndarray) -> dict[str, float | None]:
        """Named numbers of some of the rows."""
        found: dict[str, float | None] = {}
        for number, name in enumerate(self.names):
            transfers, pregnancies, first, hits = counts[:, number].sum(axis=0)
            found[f"{name}: transfers per pregnancy"] = _ratio(transfers, pregnancies)
            found[f"{name}: first transfer succeeds"] = _ratio(first, len(counts))
            found[f"{name}: best in cohort succeeds"] = _ratio(hits, mixed.sum())
        return found


def cohort_table(
    cohorts: Sequence[str] | np.ndarray,
    patients: Sequence[str] | np.ndarray,
    outcomes: np.ndarray,
    scores: Mapping[str, np.ndarray],
) -> CohortTable:
    """Cohorts from rows of embryos.

    Args:
        cohorts: [N], names.
        patients: [N].
        outcomes: int [N], 0 or 1.
        scores: Orders by name, each float [N].
    """
    cohorts, patients = np.asarray(cohorts), np.asarray(patients)
    names = np.unique(cohorts)
    counts = np.zeros((len(names), len(scores), 4))
    owners, mixed = [], []
    for row, name in enumerate(names):
        mine = cohorts == name
        owners.append(patients[mine][0])
        mixed.append(len(np.unique(outcomes[mine])) == 2)
        for column, score in enumerate(scores.values()):
            made = in_order(outcomes[mine], score[mine])
            hit = top_hit(outcomes[mine], score[mine]) or 0.0
            counts[row, column] = made.transfers, made.pregnancies, made.first, hit
    return CohortTable(
        patients=np.array(owners), names=tuple(scores), counts=counts, mixed=np.array(mixed)
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
