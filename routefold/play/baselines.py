"""What the same turns would have earned without learning: uniform choice, the best single arm, and
the best arm for each request type, the last two chosen in hindsight.

Everything follows from one small table: what each arm would have earned in total over the turns of
each request type. Nothing is sampled, so the numbers are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routefold.play.log import FloatArray
from routefold.play.sequence import IntArray


def totals_by_type(
    values: FloatArray, rows: IntArray, types: IntArray, type_count: int
) -> FloatArray:
    """(types, arms): the sum of each arm's value over the turns of each type.

    `values` is (rows of the log, arms); `rows` and `types` give each turn's row and type number.
    """
    totals = np.zeros((type_count, values.shape[1]))
    for number in range(type_count):
        times_played = np.bincount(rows[types == number], minlength=len(values))
        totals[number] = times_played @ values
    return totals


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to choose without learning: for each request type, each arm's share. (types, arms)"""

    shares: FloatArray

    def earns(self, totals: FloatArray) -> float:
        """The expected total of a value, given its `totals_by_type`."""
        return float((self.shares * totals).sum())

    def arm(self, number: int) -> int:
        """The arm that gets the most of the type with that number; the first one of equals."""
        return int(self.shares[number].argmax())


def uniform(types: int, arms: int) -> Choice:
    """Every arm equally likely, in every type."""
    return Choice(np.full((types, arms), 1.0 / arms))


def best_single(totals: FloatArray) -> Choice:
    """The arm with the largest total over all turns, always; the first one of equals."""
    types, arms = totals.shape
    best = int(totals.sum(axis=0).argmax())
    return Choice(np.tile(np.eye(arms)[best], (types, 1)))


def per_type_oracle(totals: FloatArray) -> Choice:
    """For each type the arm with the largest total over its turns; the first one of equals."""
    return Choice(np.eye(totals.shape[1])[totals.argmax(axis=1)])
