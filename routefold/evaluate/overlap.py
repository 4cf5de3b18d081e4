"""Whether a log can tell anything about a target policy: are its choices among those made? Pure.

Importance weighting can't see what was never tried. A target that prefers what the logged policy
had given up on gets an answer from a handful of turns with enormous weights, and an interval that
is far too narrow. So that is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from routefold.evaluate.estimators import Sample, mean_estimate

# Below, means of skewed weights are far from normal and their intervals too short. It also keeps
# any session's share of the weight below a tenth.
MIN_EFFECTIVE: Final = 100.0
# An arm with fewer picks than this in a request type says nothing about its values there.
MIN_PICKS: Final = 5
# How much of the target may rest on such arms: it moves the value by that much at most.
MAX_UNSEEN: Final = 0.01
# Weights average 1 where everything the target does could happen. Farther off than chance allows
# (1 in two million), a part of the target lies where the log has nothing.
_MAX_OFF_STANDARD_ERRORS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well a log covers a target. `reasons` are why it can't be told; empty if it can.

    `effective_sessions`: as many sessions, all of one weight, would say as much (Kish).
    """

    turns: int
    sessions: int
    effective_sessions: float
    largest_weight: float
    mean_weight: float
    reasons: tuple[str, ...]


def overlap(
    sample: Sample, contexts: Sequence[str], arms: Sequence[str], missing: int = 0
) -> Overlap:
    """The overlap of a sample; `contexts` and `arms` are the names to use in reasons. `missing`
    turns have no value and are not in it."""
    weights = sample.weights
    by_session = np.bincount(sample.session, weights=weights)
    squares = float(by_session @ by_session)
    effective = float(by_session.sum()) ** 2 / squares if squares else 0.0
    mean = mean_estimate(weights, sample.session)
    reasons = _unseen(sample, contexts, arms)
    if effective < MIN_EFFECTIVE:
        reasons.append(
            f"its choices agree with those made in too few sessions: {len(by_session):,} weigh as "
            f"much as {effective:,.1f}, at least {MIN_EFFECTIVE:,.0f} are needed (largest weight "
            f"{weights.max():,.1f})"
        )
    off = abs(mean.value - 1.0) > _MAX_OFF_STANDARD_ERRORS * mean.standard_error
    if off and not np.allclose(weights, 1.0):
        reasons.append(f"the weights average {mean.value:.3f} where 1 is due: {_off(missing)}")
    return Overlap(
        turns=len(sample),
        sessions=len(by_session),
        effective_sessions=effective,
        largest_weight=float(weights.max()),
        mean_weight=mean.value,
        reasons=tuple(reasons),
    )


def _off(missing: int) -> str:
    if missing:
        return "whether a turn has this number depends on the arm, so those that do are no sample"
    return (
        "some of its choices were all but impossible when the log was made, or the logged "
        "probabilities are wrong"
    )


def _unseen(sample: Sample, contexts: Sequence[str], arms: Sequence[str]) -> list[str]:
    """Cells that the target chooses and the log hardly did, if that is more than a trifle."""
    shape = len(contexts), len(arms)
    picks = np.bincount(sample.context * shape[1] + sample.arm, minlength=shape[0] * shape[1])
    wanted = np.zeros(shape)
    np.add.at(wanted, sample.context, sample.target / len(sample))
    wanted[picks.reshape(shape) >= MIN_PICKS] = 0.0
    if wanted.sum() <= MAX_UNSEEN:
        return []
    context, arm = divmod(int(wanted.argmax()), shape[1])
    unseen = (
        f"{wanted.sum():.1%} of its choices are arms picked fewer than {MIN_PICKS} times, mostly "
        f"{arms[arm]!r} for {contexts[context]!r} ({picks.reshape(shape)[context, arm]} picks)"
    )
    return [unseen]
