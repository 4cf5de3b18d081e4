"""What a router as a whole must do, from a pick to the next one; simulated time, no servers.

Few seeds and few turns: these guard; `benchmarks/drift.py` and `benchmarks/utility.py` measure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from benchmarks.learner import Learner
from consumer.fold import Counts, ShareKey
from schemas.evidence import SeriesKey, Sums
from schemas.posterior import cell_posterior
from schemas.request_types import GENERAL
from schemas.router_config import RouterConfig
from tests.factories import T0, config
from tests.snapshots import observed

TURN_MS = 10_000
FOLD_MS = 10 * TURN_MS  # ten turns a batch: a tenth of the time that a batch a turn would take
SEEDS = range(3)
GOOD, BAD, OTHER = 0.9, 0.1, 0.6


def router(*arms: str, **fields: Any) -> RouterConfig:
    return config(arms=arms, request_types=[GENERAL], stickiness="turn", **fields)


def play(learner: Learner, success: Mapping[str, float], turns: int, rng: random.Random) -> float:
    """Share of arm "a" in so many turns, each with an outcome."""
    picked = 0
    for _ in range(turns):
        turn = learner.pick(GENERAL)
        learner.report(turn, scores={"quality": float(rng.random() < success[turn.arm])})
        learner.wait(TURN_MS)
        picked += turn.arm == "a"
    return picked / turns


def mean_of(learner: Learner, arm: str) -> float:
    """Posterior mean of an arm's quality."""
    told = learner.config
    [which] = (each for each in told.arms if each.name == arm)
    evidence = learner.evidence(GENERAL).get(arm, {})
    prior = told.prior.of(which, GENERAL)
    return cell_posterior(prior, evidence, told.rewards, told.max_evidence_mass).mean


@pytest.mark.parametrize("seed", SEEDS)
def test_the_posterior_follows_a_drift(seed: int) -> None:
    rng = random.Random(seed)
    learner = Learner(router("a", "b"), random.Random(seed), fold_every_ms=FOLD_MS)
    play(learner, {"a": GOOD, "b": OTHER}, 1500, rng)
    assert mean_of(learner, "a") > 0.85
    assert learner.probabilities(GENERAL)["a"] > 0.9
    play(learner, {"a": BAD, "b": OTHER}, 400, rng)
    assert mean_of(learner, "a") < OTHER
    assert play(learner, {"a": BAD, "b": OTHER}, 100, rng) < 0.2


def history(observations: int, mean: float, half_life_ms: int) -> dict[SeriesKey, Sums]:
    """Rows of arm "a" after so many observations at TURN_MS, the last of them just made."""
    lately = round(min(observations, half_life_ms / TURN_MS / np.log(2)))
    rows: dict[SeriesKey, Sums] = {}
    for count, pace, half_life in ((observations, "slow", 0), (lately, "fast", half_life_ms)):
        values = [1.0] * round(count * mean) + [0.0] * round(count * (1 - mean))
        rows |= observed("a", values, pace=pace, half_life_ms=half_life, at_ms=T0)
    return rows


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cell_with_100_000_observations_still_moves(seed: int) -> None:
    rng = random.Random(seed)
    told = router("a", "b")
    learner = Learner(told, random.Random(seed), fold_every_ms=FOLD_MS)
    share = ShareKey(0, told.router, GENERAL)
    fast_s = told.half_lives_s.quality.fast
    assert fast_s is not None
    rows = history(100_000, GOOD, round(1000 * fast_s))
    learner.writer.shares.load(
        [(share, Counts(folded=100_000, as_of_ms=T0))],
        [(share, series, sums) for series, sums in rows.items()],
    )
    play(learner, {"a": GOOD, "b": OTHER}, 100, rng)
    assert learner.evidence(GENERAL)["a"]["quality"].slow.n > 100_000
    assert mean_of(learner, "a") == pytest.approx(GOOD, abs=0.01)
    play(learner, {"a": BAD, "b": OTHER}, 400, rng)
    assert mean_of(learner, "a") < OTHER
    assert play(learner, {"a": BAD, "b": OTHER}, 100, rng) < 0.2


def test_two_replicas_agree_and_learn_from_each_other() -> None:
    """Only turns of the first replica are reported on; the second believes the same."""
    rng = random.Random(1)
    learner = Learner(
        router("a", "b"),
        random.Random(1),
        replicas=2,
        partitions=4,
        shuffle=True,
        fold_every_ms=FOLD_MS,
    )
    for number in range(400):
        turn = learner.pick(GENERAL, session_id=f"s{number}", replica=number % 2)
        if number % 2 == 0:
            score = float(rng.random() < {"a": BAD, "b": OTHER}[turn.arm])
            learner.report(turn, scores={"quality": score})
        learner.wait(TURN_MS)
    learner.fold()
    one, other = learner.router(0), learner.router(1)
    assert one.state.digest() == other.state.digest()
    assert learner.probabilities(GENERAL, 0) == learner.probabilities(GENERAL, 1)
    assert learner.probabilities(GENERAL, 1)["a"] < 0.05
    learner.wait(TURN_MS)  # both are due to read again
    for number in range(200):
        key = f"new-{number}".encode()
        choices = [each.choose(GENERAL, key, now_ms=learner.now_ms) for each in (one, other)]
        assert choices[0].arm == choices[1].arm
        assert choices[0].probability == choices[1].probability
