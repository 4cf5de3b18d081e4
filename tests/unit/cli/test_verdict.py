"""A play that lost or doubled anything must not end with success."""

from __future__ import annotations

import pytest

from routefold.commands.verdict import exit_code
from routefold.play.report import Events, Measure, Percentiles, Report

NOTHING = Measure(None, (None, None, None, None), None, None, None)


def report(events: Events, *, complete: bool = True, problem: str | None = None) -> Report:
    return Report(
        turns=5,
        events=events,
        reward=NOTHING,
        utility=NOTHING,
        cost_usd=0.0,
        shares={},
        pick_latency_us=Percentiles(None, None),
        freshness_ms=Percentiles(None, None),
        state_digest=None,
        seconds=1.0,
        complete=complete,
        log="x",
        router="r",
        problem=problem,
        standings=(),
        type_turns={},
        type_best={},
    )


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (Events(10, 10, 0, 0, 0), 0),
        (Events(10, 9, 0, 0, 0), 1),
        (Events(10, 10, 1, 0, 0), 1),
        (Events(10, 9, 0, 1, 0), 1),
        (Events(10, 9, 0, 0, 1), 1),
    ],
)
def test_only_accepted_equals_folded_is_success(events: Events, code: int) -> None:
    assert exit_code(report(events)) == code


def test_a_play_cut_short_is_no_success() -> None:
    events = Events(10, 10, 0, 0, 0)
    assert exit_code(report(events, complete=False, problem="the API went away")) == 1
    assert exit_code(report(events, complete=False, problem="interrupted")) == 130
