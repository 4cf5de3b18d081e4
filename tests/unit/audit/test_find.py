"""A turn in the log with its outcomes and the reaction to it."""

from __future__ import annotations

import random

from consumer.records import Batch
from routefold.audit.find import Found, find_turn
from schemas.codec import Event
from tests.factories import T0, config, configured, outcome, records, turn, uuid7
from tests.unit.audit.world import drained

RNG = random.Random(1)
FIRST, SECOND, THIRD = (uuid7(T0 + 1000 * n, RNG) for n in range(3))


async def find(turn_id: bytes, *events: Event) -> Found:
    return await find_turn(drained([Batch.of({3: records(events, first_offset=7)})]), turn_id)


async def test_a_turn_is_found_with_all_that_was_said_of_it() -> None:
    said = outcome(FIRST, uuid7(T0 + 5, RNG), session_id="s")
    wanted = turn(FIRST, session_id="s")
    found = await find(
        FIRST,
        configured(config()),
        said,  # it may overtake its turn
        wanted,
        outcome(SECOND, uuid7(T0 + 6, RNG), session_id="s"),
        turn(THIRD, session_id="s", reaction=("loop",)),
        turn(SECOND, session_id="s", reaction=("failure",)),
        turn(uuid7(T0 + 1, RNG), session_id="another"),
    )
    assert (found.turn, found.partition, found.offset) == (wanted, 3, 9)
    assert found.outcomes == [said]
    assert found.next_turn is not None
    assert found.next_turn.turn_id == SECOND
    assert found.collected.configs == {("r", 1): [config()]}


async def test_what_is_not_in_the_log_is_not_found() -> None:
    found = await find(FIRST, turn(SECOND))
    assert found.turn is None


async def test_a_turn_without_a_session_has_no_next() -> None:
    found = await find(FIRST, turn(FIRST), turn(SECOND))
    assert found.turn is not None
    assert found.next_turn is None


async def test_an_earlier_turn_that_comes_late_is_not_the_next() -> None:
    found = await find(SECOND, turn(SECOND, session_id="s"), turn(FIRST, session_id="s"))
    assert found.next_turn is None
