"""One turn in the log, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from consumer.records import Batch
from routefold.audit.collect import Collected, event_of
from schemas.codec import decode
from schemas.errors import ContractError
from schemas.events import Outcome, Turn


@dataclass(slots=True)
class Found:
    """A turn of the log. `partition` and `offset` say where; `next_turn` is the session's next,
    which holds the reaction to it. `collected` has the configurations."""

    turn: Turn | None = None
    partition: int = -1
    offset: int = -1
    outcomes: list[Outcome] = field(default_factory=list)
    next_turn: Turn | None = None
    collected: Collected = field(default_factory=Collected)


async def find_turn(batches: AsyncIterator[Batch], turn_id: bytes) -> Found:
    """Looks at every record once. `turn` stays None where the log has no such turn."""
    found = Found()
    async for batch in batches:
        for row, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
            if value is None:
                continue
            event = event_of(value)
            if event == "router_configured":
                found.collected.add_config(value)
            elif event == "generation_promoted":
                found.collected.add_generation(value)
            # Of a turn's session every event has the turn's key, and so one partition and order.
            elif turn_id in value or (found.turn is not None and key == found.turn.key):
                _take(found, batch, row, turn_id)
    return found


def _take(found: Found, batch: Batch, row: int, turn_id: bytes) -> None:
    try:
        event = decode(batch.values[row] or b"")
    except ContractError:
        return
    if isinstance(event, Outcome) and event.turn_id == turn_id:
        found.outcomes.append(event)
    elif isinstance(event, Turn) and event.turn_id == turn_id:
        if found.turn is None:
            found.turn = event
            found.partition, found.offset = int(batch.partition[row]), int(batch.offset[row])
    elif isinstance(event, Turn) and found.turn is not None and _follows(event, found):
        found.next_turn = event


def _follows(turn: Turn, found: Found) -> bool:
    """True for the session's first turn after the one found, as far as is known."""
    known, first = found.turn, found.next_turn
    assert known is not None
    return (
        turn.session_id is not None
        and (turn.router, turn.session_id) == (known.router, known.session_id)
        and known.turn_id < turn.turn_id
        and (first is None or turn.turn_id < first.turn_id)
    )
