"""Off-policy estimators: the value of a target policy from choices with logged probabilities. Pure.

With the importance weight w = target(arm | turn) / logged(arm | turn) and a value y of each turn:

    IPS    mean of w·y                                  (Horvitz and Thompson, 1952)
    SNIPS  Σ w·y / Σ w                                  (Swaminathan and Joachims, NeurIPS 2015)
    DR     mean of q(target) + w·(y − q(arm))           (Dudík, Langford and Li, ICML 2011)

q is a direct model of y, fitted for each turn without that turn (routefold.evaluate.direct_model).
All three are consistent where the logged probabilities are right and positive wherever the target's
are; IPS and DR are unbiased then. DR is as a rule the narrowest, and never relies on its model.

Turns of a session share the hash that picked their arms, so a session is one draw: variances are
those of the sums over sessions. The intervals are normal ones from the influence functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error and the 95 % interval that follows from it."""

    value: float
    standard_error: float

    @property
    def interval_95(self) -> tuple[float, float]:
        reach = Z_95 * self.standard_error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Turns with a value, in columns of one length n ≥ 1.

    `target` (n, arms): the target's chance of each arm; rows sum to 1. `arm`: the one picked.
    `probability`: the chance with which it was, in (0, 1]. `context`: the request type, by number.
    `session`: equal numbers for turns that one hash decided, from 0 on without gaps.
    """

    target: FloatArray
    arm: IntArray
    probability: FloatArray
    context: IntArray
    session: IntArray
    value: FloatArray

    def __len__(self) -> int:
        return len(self.arm)

    @property
    def weights(self) -> FloatArray:
        """Importance weight of each turn; their mean is 1 but for chance."""
        chosen: FloatArray = self.target[np.arange(len(self)), self.arm] / self.probability
        return chosen


def ips(sample: Sample) -> Estimate:
    """Inverse propensity score. Unbiased; not within the range of the values."""
    return mean_estimate(sample.weights * sample.value, sample.session)


def snips(sample: Sample) -> Estimate:
    """Self-normalised IPS: within the range of the values. Raises ZeroDivisionError where the
    target never agrees with the log (`overlap` refuses that)."""
    weights = sample.weights
    total = float(weights.sum())
    if total == 0.0:
        raise ZeroDivisionError("every importance weight is 0")
    value = float(weights @ sample.value) / total
    influence = weights * (sample.value - value) * (len(sample) / total)
    return Estimate(value, _standard_error(influence, sample.session))


def doubly_robust(sample: Sample, predicted: FloatArray) -> Estimate:
    """DR from `predicted` (n, arms): for each turn what the direct model expects of each arm."""
    return mean_estimate(_doubly_robust_scores(sample, predicted), sample.session)


def doubly_robust_gain(sample: Sample, predicted: FloatArray) -> Estimate:
    """The target's value less the logged policy's, on the same turns: narrower than the difference
    of two intervals."""
    gains = _doubly_robust_scores(sample, predicted) - sample.value
    return mean_estimate(gains, sample.session)


def _doubly_robust_scores(sample: Sample, predicted: FloatArray) -> FloatArray:
    surprise = sample.value - predicted[np.arange(len(sample)), sample.arm]
    scores: FloatArray = (sample.target * predicted).sum(axis=1) + sample.weights * surprise
    return scores


def mean_estimate(scores: FloatArray, session: IntArray) -> Estimate:
    """The mean of scores that are independent between sessions only."""
    mean = float(scores.mean())
    return Estimate(mean, _standard_error(scores - mean, session))


def _standard_error(influence: FloatArray, session: IntArray) -> float:
    """Of a mean with this influence function, clustered by session; infinite for one session."""
    sums = np.bincount(session, weights=influence)
    count = len(sums)
    if count < 2:
        return float("inf")
    return sqrt(float(sums @ sums) * count / (count - 1)) / len(influence)
