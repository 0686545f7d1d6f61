"""The one logistic regression that rooms share, against scikit-learn's."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from isl_train.penalized_logistic import penalized_logistic


def test_it_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, [1, 2, 3], (60, 3))
    is_one = features @ [1, -1, 0.5] + rng.normal(0, 1, 60) > 0
    weights = rng.uniform(0.5, 2, 60)
    slope, offset = penalized_logistic(features, is_one, weights, 100.0)
    theirs = LogisticRegression(C=0.01, tol=1e-8).fit(features, is_one, weights)
    np.testing.assert_allclose(
        features @ slope + offset, theirs.decision_function(features), atol=1e-3
    )
