"""The arithmetic of calibration: counts of signals, a logistic fit with known signs, areas.

A row is a conversation after k turns, k one of ``CHECKPOINTS``, if it goes on after them. Its
chance of success is logistic(level of its stratum + Σ ± weight · count); each (source, k) is a
stratum, so neither the length nor the source of a conversation can take part. All rows of a
conversation together weigh one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from producer.signal_rules.names import FAVOURABLE, Signal

SIGNALS: Final = tuple(Signal)
# Turns after which conversations are compared; further apart where few go on.
CHECKPOINTS: Final = (2, 3, 4, 5, 6, 8)
# Below, an area moves by several points with one conversation.
MIN_OF_EACH_LABEL: Final = 15

# What a weight is before any data, in log-odds of success: what is said or reported outright
# (thanks the most, because they count once a session), what only looks like trouble, and (0) what
# is often not the answer's fault: a limit met, a human asked for, a correct refusal repeated. A
# signal that the data never show keeps this weight.
PRIOR_WEIGHTS: Final[dict[Signal, float]] = {
    Signal.SATISFACTION: 1.0,
    Signal.MISALIGNMENT: 0.5,
    Signal.FAILURE: 0.5,
    Signal.LOOP: 0.5,
    Signal.RETRY: 0.25,
    Signal.NO_PROGRESS: 0.25,
}
# As sure as a standard deviation of 0.32: some fifty conversations with the signal outweigh it.
PRIOR_PRECISION: Final = 10.0
# A stratum whose resample has one label only would be fitted with an infinite level.
_MAX_LEVEL: Final = 10.0

_SIGNS: Final = np.array([1.0 if signal in FAVOURABLE else -1.0 for signal in SIGNALS])
_PRIOR: Final = np.array([PRIOR_WEIGHTS.get(signal, 0.0) for signal in SIGNALS])

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Conversations as numbers.

    ``counts``: (conversations, checkpoints, signals), how often each signal has fired by then; NaN
    where the conversation does not go on. ``success``: (conversations,). ``strata``:
    (conversations, checkpoints), the number of the stratum; -1 where a stratum has one label only.
    """

    counts: Floats
    success: NDArray[np.bool_]
    strata: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        turns: Sequence[Sequence[frozenset[Signal]]],
        success: Sequence[bool],
        sources: Sequence[str],
    ) -> Self:
        """Raises ValueError where no stratum has both labels."""
        counts = np.full((len(turns), len(CHECKPOINTS), len(SIGNALS)), np.nan)
        for row, conversation in enumerate(turns):
            fired = np.array([[signal in turn for signal in SIGNALS] for turn in conversation])
            for column, checkpoint in enumerate(CHECKPOINTS):
                if len(conversation) > checkpoint:
                    counts[row, column] = fired[:checkpoint].sum(axis=0)
        labels = np.array(success, dtype=np.bool_)
        strata = _strata(~np.isnan(counts[:, :, 0]), labels, np.array(sources, dtype=np.str_))
        if not (strata >= 0).any():
            raise ValueError(
                "calibration needs successes and failures of one source that go on after "
                f"turn {CHECKPOINTS[0]} or a later checkpoint, got none among {len(turns)}"
            )
        return cls(counts, labels, strata)

    def scores(self, weights: Floats) -> Floats:
        """(conversations, checkpoints): the score by then; NaN where it does not go on."""
        return np.asarray(self.counts @ (_SIGNS * weights), dtype=np.float64)

    def success_by(self, signal: int) -> tuple[float | None, float | None]:
        """Share of successes where a signal has fired, and where it has not in the same strata."""
        fired_rows = expected = successes = 0.0
        for stratum in range(self.strata.max() + 1):
            rows, columns = np.nonzero(self.strata == stratum)
            fired = self.counts[rows, columns, signal] > 0
            if fired.any() and not fired.all():
                label = self.success[rows]
                fired_rows += fired.sum()
                successes += label[fired].sum()
                expected += label[~fired].mean() * fired.sum()
        return (successes / fired_rows, expected / fired_rows) if fired_rows else (None, None)


def _strata(
    present: NDArray[np.bool_], success: NDArray[np.bool_], sources: NDArray[np.str_]
) -> NDArray[np.intp]:
    strata = np.full(present.shape, -1, dtype=np.intp)
    number = 0
    for source in np.unique(sources):
        for column in range(present.shape[1]):
            rows = present[:, column] & (sources == source)
            if 0 < success[rows].sum() < rows.sum():
                strata[rows, column] = number
                number += 1
    return strata


def fit(evidence: Evidence, multiplicity: NDArray[np.generic] | None = None) -> Floats:
    """Weights ≥ 0, in the order of ``SIGNALS``, of highest posterior density.

    ``multiplicity``: how often each conversation counts, 1 by default.
    """
    rows, columns = np.nonzero(evidence.strata >= 0)
    levels = evidence.strata[rows, columns]
    counts = evidence.counts[rows, columns] * _SIGNS
    label = evidence.success[rows].astype(np.float64)
    weight = 1.0 / np.bincount(rows, minlength=len(evidence.success))[rows]
    if multiplicity is not None:
        weight *= np.asarray(multiplicity, dtype=np.float64)[rows]
    signals, strata = len(SIGNALS), int(levels.max()) + 1

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, level = parameters[:signals], parameters[signals:]
        linear = counts @ weights + level[levels]
        surprise = weight * (np.logaddexp(0.0, linear) - label * linear)
        slope = weight * (expit(linear) - label)
        pull = PRIOR_PRECISION * (weights - _PRIOR)
        value = surprise.sum() + pull @ (weights - _PRIOR) / 2
        return float(value), np.concatenate(
            [counts.T @ slope + pull, np.bincount(levels, slope, strata)]
        )

    found = minimize(
        loss,
        np.concatenate([_PRIOR, np.zeros(strata)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * signals + [(-_MAX_LEVEL, _MAX_LEVEL)] * strata,
    )
    return np.asarray(found.x[:signals], dtype=np.float64)


def held_out_scores(evidence: Evidence, folds: NDArray[np.intp]) -> Floats:
    """(conversations, checkpoints): each scored with weights fitted to the other folds.

    Scores of different folds come from different fits and must not be compared.
    """
    scores = np.full(evidence.counts.shape[:2], np.nan)
    for fold in np.unique(folds):
        held_out = folds == fold
        scores[held_out] = evidence.scores(fit(evidence, ~held_out))[held_out]
    return scores


def area_at_turns(
    scores: Floats, success: NDArray[np.bool_], folds: NDArray[np.intp] | None = None
) -> float | None:
    """Area under the ROC curve at each checkpoint, averaged by the number of conversations there.

    ``scores``: (conversations, checkpoints), NaN where a conversation does not go on. With
    ``folds`` only conversations of one fold are compared. Checkpoints with fewer than
    ``MIN_OF_EACH_LABEL`` of either label are left out; None if that leaves none.
    """
    if folds is None:
        folds = np.zeros(len(success), dtype=np.intp)
    total = weight = 0.0
    for column in range(scores.shape[1]):
        present = ~np.isnan(scores[:, column])
        successes = int(success[present].sum())
        if min(successes, int(present.sum()) - successes) < MIN_OF_EACH_LABEL:
            continue
        concordant, pairs = np.sum(
            [
                _pairs(scores[rows, column], success[rows])
                for rows in (present & (folds == fold) for fold in np.unique(folds))
            ],
            axis=0,
        )
        if pairs:
            total += concordant / pairs * present.sum()
            weight += present.sum()
    return float(total / weight) if weight else None


def _pairs(scores: Floats, success: NDArray[np.bool_]) -> tuple[float, float]:
    """Pairs of a success and a failure: where the success scores higher (ties half), and all."""
    successes = int(success.sum())
    ranks = float(rankdata(scores)[success].sum())
    pairs = float(successes * (len(success) - successes))
    return ranks - successes * (successes + 1) / 2, pairs
