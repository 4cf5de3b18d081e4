"""Logs of an adaptive policy on made-up arms, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from routefold.evaluate.estimators import FloatArray, IntArray, Sample


@dataclass(frozen=True)
class Played:
    """What was logged, and (turns, arms) what every arm would have been worth."""

    arm: IntArray
    probability: FloatArray
    context: IntArray
    session: IntArray
    worth: FloatArray

    def against(self, shares: FloatArray, **other: Any) -> Sample:
        """The sample for a target with these shares, (contexts, arms)."""
        fields = {
            "target": shares[self.context],
            "arm": self.arm,
            "probability": self.probability,
            "context": self.context,
            "session": self.session,
            "value": self.worth[np.arange(len(self.arm)), self.arm],
        }
        return Sample(**{**fields, **other})

    def truth(self, shares: FloatArray) -> float:
        return float((shares[self.context] * self.worth).sum(axis=1).mean())


def thompson(
    *, turns: int, contexts: int, arms: int, floor: float, seed: int, refresh: int = 50
) -> Played:
    """Thompson sampling with an exploration floor, learning every `refresh` turns from 0/1 values.

    Sessions have up to six turns and one hash for all of them, as a sticky router's have. The
    probabilities are those of 4,096 draws, rounded, and are the very ones that are chosen with.
    """
    random = np.random.default_rng(seed)
    means = random.uniform(0.2, 0.9, size=(contexts, arms))
    lengths = np.minimum(random.geometric(0.4, size=turns), 6)
    session = np.repeat(np.arange(turns), lengths)[:turns]
    hashes = random.random(turns)[session]
    context = random.integers(contexts, size=turns)
    worth = (random.random((turns, arms)) < means[context]).astype(np.float64)
    good, bad = np.ones((contexts, arms)), np.ones((contexts, arms))
    arm, probability = np.zeros(turns, dtype=np.int64), np.zeros(turns)
    for start in range(0, turns, refresh):
        rows = np.arange(start, min(start + refresh, turns))
        draws = random.beta(good, bad, size=(4096, contexts, arms)).argmax(axis=2)
        shares = np.stack([np.bincount(draws[:, c], minlength=arms) for c in range(contexts)])
        chances = (1 - arms * floor) * shares / 4096 + floor
        edges = chances.cumsum(axis=1)[context[rows]]
        arm[rows] = np.minimum((edges <= hashes[rows, None]).sum(axis=1), arms - 1)
        probability[rows] = chances[context[rows], arm[rows]]
        won = worth[rows, arm[rows]]
        np.add.at(good, (context[rows], arm[rows]), won)
        np.add.at(bad, (context[rows], arm[rows]), 1.0 - won)
    return Played(arm, probability, context, session, worth)


def random_policies(count: int, contexts: int, arms: int, seed: int) -> list[FloatArray]:
    """Shares by context, (contexts, arms), anywhere on the simplex."""
    random = np.random.default_rng(seed)
    return [random.dirichlet(np.ones(arms), size=contexts) for _ in range(count)]
