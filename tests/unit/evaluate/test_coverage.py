"""Adaptive logs with a known truth: the intervals hold it, or the question is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from routefold.evaluate.direct_model import cross_fitted
from routefold.evaluate.estimators import Estimate, FloatArray, doubly_robust, snips
from routefold.evaluate.overlap import MIN_EFFECTIVE, overlap
from tests.unit.evaluate.simulation import Played, random_policies, thompson

CONTEXTS, ARMS, POLICIES = 4, 5, 20
CONTEXT_NAMES = ("code", "general", "lookup", "writing")
ARM_NAMES = ("a", "b", "c", "d", "e")


@cache
def explored() -> Played:
    """A router that keeps exploring: no arm below 5 %."""
    return thompson(turns=6000, contexts=CONTEXTS, arms=ARMS, floor=0.05, seed=3)


@cache
def settled() -> Played:
    """A router that does not: bad arms get next to nothing, and soon nothing at all."""
    return thompson(turns=6000, contexts=CONTEXTS, arms=ARMS, floor=0.0, seed=3)


def holds(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.interval_95
    return low <= truth <= high


def test_intervals_hold_the_truth_of_random_policies() -> None:
    played, held = explored(), {"snips": 0, "dr": 0}
    widths = []
    for shares in random_policies(POLICIES, CONTEXTS, ARMS, seed=11):
        sample, truth = played.against(shares), played.truth(shares)
        assert overlap(sample, CONTEXT_NAMES, ARM_NAMES).reasons == ()
        robust = doubly_robust(sample, cross_fitted(sample))
        held["snips"] += holds(snips(sample), truth)
        held["dr"] += holds(robust, truth)
        widths.append(robust.standard_error)
    assert min(held.values()) >= 17, held
    assert np.mean(widths) < 0.03, "an interval that holds everything says nothing"


def worst_arms(played: Played) -> FloatArray:
    """The policy that always takes the arm of least worth."""
    means = np.stack([played.worth[played.context == c].mean(axis=0) for c in range(CONTEXTS)])
    worst: FloatArray = np.eye(ARMS)[means.argmin(axis=1)]
    return worst


def test_what_the_log_gave_up_on_can_not_be_told() -> None:
    played = settled()
    found = overlap(played.against(worst_arms(played)), CONTEXT_NAMES, ARM_NAMES)
    assert found.effective_sessions < MIN_EFFECTIVE
    assert any("too few sessions" in reason for reason in found.reasons)


def test_random_policies_are_refused_where_nothing_was_explored() -> None:
    """The intervals would be wrong: nearly all of these policies rest on arms given up."""
    played, refused = settled(), 0
    for shares in random_policies(POLICIES, CONTEXTS, ARMS, seed=11):
        refused += bool(overlap(played.against(shares), CONTEXT_NAMES, ARM_NAMES).reasons)
    assert refused >= 19


def test_an_arm_that_was_never_picked_is_named() -> None:
    played = explored()
    sample = played.against(np.full((CONTEXTS, ARMS), 1 / ARMS))
    without = sample.arm != 4
    shortened = type(sample)(
        **{
            name: getattr(sample, name)[without]
            for name in ("target", "arm", "probability", "context", "value")
        },
        session=np.unique(sample.session[without], return_inverse=True)[1],
    )
    (reason, *_) = overlap(shortened, CONTEXT_NAMES, ARM_NAMES).reasons
    assert "20.0%" in reason
    assert "'e'" in reason


def test_wrong_probabilities_are_noticed() -> None:
    played = explored()
    uniform = np.full((CONTEXTS, ARMS), 1 / ARMS)
    halved = played.against(uniform, probability=np.minimum(1.0, played.probability * 2))
    assert any("average" in reason for reason in overlap(halved, CONTEXT_NAMES, ARM_NAMES).reasons)


def test_weights_of_exactly_one_are_no_alarm() -> None:
    """The target is the logged policy itself, and chance has no part in the weights."""
    played, uniform = explored(), np.full((CONTEXTS, ARMS), 1 / ARMS)
    own = played.against(uniform, probability=np.full(len(played.arm), 1 / ARMS))
    found = overlap(own, CONTEXT_NAMES, ARM_NAMES)
    assert found.mean_weight == pytest.approx(1.0)
    assert found.reasons == ()
