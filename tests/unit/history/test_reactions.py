"""What a session's next turn says about the one before it."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from consumer.records import Batch
from routefold.history.reactions import reactions
from routefold.history.tables import tables_of
from schemas.events import Turn
from tests.factories import T0, records, turn, uuid7

RNG = random.Random(5)
IDS = [uuid7(T0 + i, RNG) for i in range(6)]
PLACES = {str(UUID(bytes=turn_id)): index for index, turn_id in enumerate(IDS)}


def said(*turns: Turn) -> list[tuple[int, str, int]]:
    """(turn, signal, said by), turns as places in IDS."""
    found = reactions(tables_of(Batch.of({0: records(turns)})).turns)
    rows = found.select("turn_id", "signal", "said_by").rows()
    return [(PLACES[about], signal, PLACES[by]) for about, signal, by in rows]


def in_session(index: int, *reaction: str, session: str = "s", **fields: Any) -> Turn:
    return turn(IDS[index], session_id=session, reaction=reaction, **fields)


def test_a_reaction_is_about_the_turn_before() -> None:
    course = in_session(0), in_session(1, "retry"), in_session(2, "loop", "failure")
    assert said(*course) == [(0, "retry", 1), (1, "loop", 2), (1, "failure", 2)]


def test_sessions_and_routers_are_kept_apart() -> None:
    course = (
        in_session(0),
        in_session(1, "retry", session="t"),
        in_session(2, "retry", router="other"),
        in_session(3, "loop"),
    )
    assert said(*course) == [(0, "loop", 3)]


def test_a_reaction_to_a_turn_that_is_not_there_is_nobodys() -> None:
    named = in_session(2, "retry", previous_turn_id=IDS[1])
    assert said(in_session(0), named) == []
    assert said(in_session(0), in_session(1), named) == [(1, "retry", 2)]


def test_a_turn_older_than_the_latest_says_nothing() -> None:
    assert said(in_session(0), in_session(2), in_session(1, "retry"), in_session(2, "loop")) == []


def test_thanks_count_once_and_not_for_a_greeting() -> None:
    course = [in_session(i, "satisfaction") for i in range(1, 5)]
    assert said(in_session(0), *course) == [(1, "satisfaction", 2)]


def test_an_unknown_signal_is_none() -> None:
    assert said(in_session(0), in_session(1, "joy", "retry", "retry")) == [(0, "retry", 1)]
