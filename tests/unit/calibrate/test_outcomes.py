"""Sessions of the log as labelled conversations."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from consumer.records import Batch
from producer.calibration import Observed
from producer.signal_rules.names import Signal
from routefold.calibrate.outcomes import observed_sessions
from routefold.errors import Misuse
from routefold.history import History
from routefold.history.tables import tables_of
from schemas.codec import Event
from tests.factories import T0, outcome, records, turn, uuid7


def history(events: Iterable[Event]) -> History:
    found = tables_of(Batch.of({0: records(list(events))}))
    return History(found.turns, found.outcomes, found.configs, found.skipped, 0, {})


def session(
    name: str, reactions: Sequence[Sequence[str]], scores: Sequence[float | None]
) -> list[Event]:
    """A session of which turn N+1 says `reactions[N]` about turn N."""
    rng = random.Random(name)
    said = [(), *reactions[: len(scores) - 1]]
    events: list[Event] = []
    for number, (reaction, score) in enumerate(zip(said, scores, strict=True)):
        turn_id = uuid7(T0 + 1000 * number, rng)
        events.append(turn(turn_id, session_id=name, reaction=tuple(reaction)))
        if score is not None:
            report = {"scores": {"quality": score}, "session_id": name}
            events.append(outcome(turn_id, uuid7(T0, rng), **report))
    return events


def test_a_session_is_labelled_by_the_last_score_that_it_was_given() -> None:
    good = session("good", [["failure"], ["loop", "failure"]], [0.0, 0.2, 0.9])
    bad = session("bad", [["satisfaction"]], [1.0, 0.4])
    assert observed_sessions(history([*good, *bad]), "quality") == [
        Observed((frozenset(), frozenset()), success=False, source="r", group="bad"),
        Observed(
            (frozenset({Signal.FAILURE}), frozenset({Signal.LOOP, Signal.FAILURE}), frozenset()),
            success=True,
            source="r",
            group="good",
        ),
    ]


def test_what_an_outcome_reports_is_known_as_well() -> None:
    (first, scored) = session("s", [], [1.0])
    reported = outcome(
        first.turn_id,  # type: ignore[union-attr]
        uuid7(T0, random.Random(2)),
        session_id="s",
        signals=("exhaustion",),
    )
    (only,) = observed_sessions(history([first, reported, scored]), "quality")
    assert only.turns == (frozenset({Signal.EXHAUSTION}),)


def test_sessions_without_the_score_are_no_label() -> None:
    events = [*session("labelled", [], [0.5]), *session("silent", [[]], [None, None])]
    assert [each.group for each in observed_sessions(history(events), "quality")] == ["labelled"]
    with pytest.raises(Misuse, match="no session in the log has a score of 'helpful'"):
        observed_sessions(history(events), "helpful")
