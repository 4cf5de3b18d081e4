"""The router in one process: that it is the real one's way, and that it can be repeated."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.learner import FOLD_EVERY_MS, Learner
from schemas.events import Turn
from schemas.request_types import GENERAL
from tests.factories import config

SUCCESS = {"a": 0.9, "b": 0.3}


def played(turns: int, *, replicas: int = 1, **fields: Any) -> tuple[Learner, list[Turn]]:
    """A learner after so many turns, 10 ms apart, with their outcomes."""
    told = config(request_types=[GENERAL], stickiness="turn")
    rng = random.Random(1)
    learner = Learner(told, random.Random(2), replicas=replicas, **fields)
    picked = []
    for number in range(turns):
        turn = learner.pick(GENERAL, replica=number % replicas)
        learner.report(turn, scores={"quality": float(rng.random() < SUCCESS[turn.arm])})
        learner.wait(10)
        picked.append(turn)
    return learner, picked


def outcomes_folded(learner: Learner) -> float:
    metrics = learner.evidence(GENERAL)
    return sum(of_arm["quality"].slow.n for of_arm in metrics.values() if "quality" in of_arm)


def test_it_repeats_itself() -> None:
    assert played(300)[1] == played(300)[1]


def test_it_learns_and_nothing_is_refused() -> None:
    learner, picked = played(600)
    assert sum(turn.arm == "a" for turn in picked[300:]) > 270
    assert learner.probabilities(GENERAL)["a"] > 0.95
    assert learner.writer.dead == 0


def test_every_turn_and_outcome_is_folded_once() -> None:
    learner, _ = played(300)
    learner.fold()
    counts = learner.router().state.counts()
    assert counts == (600, 0, 0)
    assert outcomes_folded(learner) == 300


def test_evidence_waits_for_its_batch() -> None:
    per_batch = FOLD_EVERY_MS // 10
    learner, picked = played(2 * per_batch - 1)
    assert outcomes_folded(learner) == per_batch
    assert {turn.snapshot_version for turn in picked[:per_batch]} == {"-"}
    assert picked[per_batch].snapshot_version != "-"


def test_a_delayed_outcome_is_not_known_before_its_turn() -> None:
    learner, _ = played(300, delay_turns=100)
    learner.fold()
    assert outcomes_folded(learner) == 200


def test_neither_order_nor_partitions_nor_replicas_change_a_pick() -> None:
    """The version of a snapshot names every partition, so that alone may differ."""
    _, plain = played(400)
    _, shuffled = played(400, partitions=4, shuffle=True)
    _, two = played(400, replicas=2)
    picks = [(turn.turn_id, turn.arm, turn.probability) for turn in plain]
    assert picks == [(turn.turn_id, turn.arm, turn.probability) for turn in shuffled]
    # a replica reads when it first picks, so within a batch's time it may lag behind the other
    agree = sum(one.arm == other.arm for one, other in zip(plain, two, strict=True))
    assert agree > 380
