"""The slope and offset of a logistic regression whose weights are penalized."""

import numpy as np
from scipy.optimize import minimize

_UPDATES = 1000


def penalized_logistic(
    features: np.ndarray, is_one: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """What has the least weighted log loss plus `penalty` / 2 of the squared slope.

    Args:
        features: float64 [N, F], on one scale, since all are penalized alike.
        is_one: bool [N].
        weights: float [N], of every row's loss.
        penalty: Above 0; the offset has none.

    Returns:
        Slope float64 [F] and offset: above 0, a row is rather one.
    """
    sign = np.where(is_one, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = parameters[:-1], parameters[-1]
        margin = sign * (features @ slope + offset)
        total = weights @ np.logaddexp(0, -margin) + penalty / 2 * (slope @ slope)
        pull = -weights * sign * 0.5 * (1 - np.tanh(margin / 2))
        return total, np.append(features.T @ pull + penalty * slope, pull.sum())

    start = np.zeros(features.shape[1] + 1)
    options = {"maxiter": _UPDATES}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return found[:-1], float(found[-1])
