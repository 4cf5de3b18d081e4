"""The latest turns of the log, without reading all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consumer.rebuild.bounds import Range
from consumer.rebuild.log import Log, open_log
from schemas.codec import PREFIX_BYTES, by_prefix, decode
from schemas.errors import ContractError
from schemas.events import Turn

_PIECE_RECORDS = 16_384
# The first look back: turns are about half of the events. Each further look is this much longer.
_RECORDS_A_TURN = 3
_LONGER = 4


async def latest_turns(
    bootstrap_servers: str,
    topic: str,
    ends: Mapping[int, int],
    count: int,
    on_read: Callable[[int], None],
) -> list[Turn]:
    """At most `count` turns, the latest by their time before these offsets, each once.

    Turns that nobody picked (mode bypass) are left out. `on_read` is called with how many records
    have been read. Raises ConsumerError.
    """
    async with open_log(bootstrap_servers, topic) as log:
        held = await log.held()
        whole = {p: Range(where.start, min(ends.get(p, 0), where.end)) for p, where in held.items()}
        back = max(count * _RECORDS_A_TURN // len(whole), 1)
        while True:
            ranges = {
                p: Range(max(at.start, at.end - back), at.end)
                for p, at in whole.items()
                if at.start < at.end
            }
            found = await _read(log, ranges, on_read)
            if len(found) >= count or all(ranges[p].start == whole[p].start for p in ranges):
                newest = sorted(found, reverse=True)[:count]
                return [found[turn_id] for turn_id in newest]
            back *= _LONGER


async def _read(
    log: Log, ranges: Mapping[int, Range], on_read: Callable[[int], None]
) -> dict[bytes, Turn]:
    found: dict[bytes, Turn] = {}
    read = 0
    async for _, batch in log.read(ranges, _PIECE_RECORDS):
        for value in batch.values:
            turn = _turn(value or b"")
            if turn is not None and turn.mode != "bypass":
                found.setdefault(turn.turn_id, turn)
        read += len(batch)
        on_read(read)
    return found


def _turn(value: bytes) -> Turn | None:
    schema = by_prefix().get(value[:PREFIX_BYTES])
    if schema is None or schema.event != "turn":
        return None
    try:
        event = decode(value)
    except ContractError:
        return None  # the consumer's to report
    return event if isinstance(event, Turn) else None
