"""What each session's turns said about the turns before them. Pure.

The fold's rules of attribution (consumer/sessions.py): a turn's reaction belongs to the latest turn
of its session that stands before it in the log, unless it names another; a turn that is older than
the session's latest says nothing. Thanks count once a session, from its second turn on. Which
signals a router rewards, and attribution windows, are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from consumer.sessions import MIN_EXCHANGES_FOR_SATISFACTION
from routefold.history.columns import REACTIONS, schema_of
from schemas.metrics import SATISFACTION, SIGNALS

_SESSION: Final = ("partition", "router", "session_id")
_NEEDED: Final = ("turn_id", "previous_turn_id", "reaction", "offset", "log_time_ms")


@dataclass(slots=True)
class _Course:
    """How far a session has come."""

    turn_id: str
    exchanges: int = 1
    satisfied: bool = False


def reactions(turns: pl.DataFrame) -> pl.DataFrame:
    """A row for each signal credited to an earlier turn; see routefold.history.columns.REACTIONS.

    `turns` must be sorted by partition and offset. A session of which `turns` holds only the later
    part is followed from there on.
    """
    in_session = turns.filter(pl.col("session_id").is_not_null())
    reacting = in_session.filter(pl.col("reaction").list.len() > 0)
    followed = in_session.join(reacting.select(_SESSION).unique(), on=_SESSION, how="semi")
    found: list[tuple[Any, ...]] = []
    courses: dict[tuple[Any, ...], _Course] = {}
    for row in followed.select(*_SESSION, *_NEEDED).sort("partition", "offset").iter_rows():
        session, (turn_id, reacts_to, said, offset, log_time_ms) = row[:3], row[3:]
        course = courses.get(session)
        if course is None:
            courses[session] = _Course(turn_id)
            continue
        if turn_id <= course.turn_id:
            continue
        if reacts_to in (None, course.turn_id):
            for signal in _counting(said, course):
                found.append((course.turn_id, signal, turn_id, session[0], offset, log_time_ms))
                course.satisfied = course.satisfied or signal == SATISFACTION
        course.turn_id = turn_id
        course.exchanges += 1
    return pl.DataFrame(found, schema=schema_of(REACTIONS), orient="row")


def _counting(said: list[str], course: _Course) -> list[str]:
    named = [signal for signal in dict.fromkeys(said) if signal in SIGNALS]
    thanks = not course.satisfied and course.exchanges >= MIN_EXCHANGES_FOR_SATISFACTION
    return [signal for signal in named if signal != SATISFACTION or thanks]
