"""The direct model of the doubly robust estimator: mean value by (request type, arm). Pure.

Each turn is predicted from the other sessions alone (cross-fitting: Chernozhukov et al., "Double/
debiased machine learning", 2018), so that no turn's own luck is in its prediction.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from routefold.evaluate.estimators import FloatArray, Sample

FOLDS: Final = 5
# A cell without turns of its own is predicted by its arm's mean; this many turns count as much.
_PULL: Final = 4.0


def cross_fitted(sample: Sample, folds: int = FOLDS) -> FloatArray:
    """(n, arms): for each turn the expected value of each arm, from the sessions of other folds.

    With fewer sessions than folds each session is a fold of its own; with a single one nothing is
    left to learn from, and every prediction is 0.
    """
    arms = sample.target.shape[1]
    fold_of = sample.session % folds
    predicted = np.zeros((len(sample), arms))
    for fold in range(folds):
        held_out = fold_of == fold
        if held_out.any() and not held_out.all():
            means = _cell_means(sample, ~held_out)
            predicted[held_out] = means[sample.context[held_out]]
    return predicted


def _cell_means(sample: Sample, which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> FloatArray:
    """(contexts, arms): each cell's mean, drawn to its arm's, and that to the mean of all."""
    arms = sample.target.shape[1]
    contexts = int(sample.context.max()) + 1
    cell = sample.context[which] * arms + sample.arm[which]
    value = sample.value[which]
    size = contexts * arms
    counts = np.bincount(cell, minlength=size).reshape(contexts, arms)
    sums = np.bincount(cell, weights=value, minlength=size).reshape(contexts, arms)
    by_arm = (sums.sum(axis=0) + _PULL * value.mean()) / (counts.sum(axis=0) + _PULL)
    means: FloatArray = (sums + _PULL * by_arm) / (counts + _PULL)
    return means
