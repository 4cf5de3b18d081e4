"""Mode observe: traffic is left alone, and as much is learned as if it had been chosen."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from schemas.events import Outcome, Turn
from schemas.evidence import PICKED, SeriesKey, Sums
from tests.factories import config, configured
from tests.guards.installation import Installation
from tests.in_memory import InMemory

ARMS = ("a", "b", "c")
SUCCESS = {"a": 0.9, "b": 0.5, "c": 0.2}
TURNS = 400


def observed() -> Installation:
    """After some traffic of a gateway that chooses by itself, and knows nothing."""
    rng = random.Random(1)
    installation = Installation(config(arms=ARMS, mode="observe"))
    for _ in range(TURNS):
        serving = rng.choice(ARMS)
        believed = installation.shares()
        pick = installation.pick(serving=serving)
        assert pick.arm == serving
        assert pick.probability == believed[pick.chosen]
        measured: dict[str, Any] = {"latency_ms": rng.uniform(200, 900), "cost_usd": 0.001}
        well = float(rng.random() < SUCCESS[serving])
        installation.report(pick, status="ok", scores={"quality": well}, **measured)
        installation.wait(rng.randrange(1000))
    installation.fold()
    return installation


def learned(events: list[Turn | Outcome]) -> dict[tuple[str, SeriesKey], Sums]:
    """Evidence by the real fold, but for how surely each was picked."""
    fold = InMemory()
    fold.write([configured(config(arms=ARMS)), *events])
    assert fold.dead == 0
    return {
        (share.request_type, series): sums
        for (share, series), sums in fold.rows.items()
        if series.metric != PICKED
    }


def test_observing_logs_what_would_have_been_picked_and_leaves_the_traffic_alone() -> None:
    turns = [event for event in observed().emitted if isinstance(event, Turn)]
    assert all(turn.mode == "observe" for turn in turns)
    assert sum(turn.arm == "a" for turn in turns[-100:]) > 90  # it would choose well by now
    assert sum((turn.arm_served or turn.arm) == "a" for turn in turns[-100:]) < 50
    assert turns[-1].probability != turns[0].probability


def test_observing_teaches_what_live_picks_of_the_served_arms_would_have() -> None:
    installation = observed()
    live = [
        replace(event, arm=event.arm_served or event.arm, arm_served=None, mode="live")
        if isinstance(event, Turn)
        else event
        for event in installation.emitted
    ]
    assert learned(installation.emitted) == learned(live)
    best, middle, worst = (each.mean for each in installation.quality())
    assert best > 0.8 > 0.6 > middle > 0.4 > 0.3 > worst
