"""Decision curves: what acting on a probability gains against acting on all or on none.

Vickers and Elkin, Medical Decision Making 26, 565 (2006): at a threshold p the net benefit is
TP / N - FP / N * p / (1 - p).
"""

import numpy as np

THRESHOLDS = np.arange(0.05, 0.96, 0.05)


def net_benefit(truth: np.ndarray, probability: np.ndarray, threshold: float) -> float:
    """Net benefit of acting where the probability is at least a threshold.

    Args:
        truth: bool [N].
        probability: float [N].
        threshold: Between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold {threshold:g} is not between 0 and 1")
    acted = probability >= threshold
    right = float(np.mean(acted & truth))
    wrong = float(np.mean(acted & ~truth))
    return right - wrong * threshold / (1 - threshold)


def decision_curve(
    truth: np.ndarray, probability: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> dict[str, np.ndarray]:
    """Net benefit at each threshold of the model, of acting on all, and of acting on none."""
    truth = np.asarray(truth, bool)
    everyone = np.ones(len(truth))
    return {
        "model": np.array([net_benefit(truth, probability, t) for t in thresholds]),
        "all": np.array([net_benefit(truth, everyone, t) for t in thresholds]),
        "none": np.zeros(len(thresholds)),
    }
