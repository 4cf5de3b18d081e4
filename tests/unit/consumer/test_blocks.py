"""Messages joined into one block: all are read as they are, or none is."""

from __future__ import annotations

import random

import pytest

from consumer.decode import REASON_UNDECODABLE, BlockUnreadable, decode_batch, read_block
from consumer.records import Batch
from schemas.codec import current, encode
from schemas.events import Turn
from tests.factories import T0, Record, traffic

SCHEMA = current(Turn)


def messages(count: int = 5) -> list[bytes]:
    events = traffic(count, random.Random(3))
    return [encode(event) for event in events if isinstance(event, Turn)]


def test_a_block_has_a_row_for_each_message() -> None:
    frame = read_block(SCHEMA, messages(5))
    assert frame.shape[0] == 5
    assert "mark_of_the_block" not in frame.columns
    assert read_block(SCHEMA, []).shape[0] == 0


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: message + b"xx",
        lambda message: message + b"\0" * 16,
        lambda message: message[:-1],
        lambda message: message[:12],
    ],
    ids=["longer", "much longer", "shorter", "cut off"],
)
def test_a_message_of_another_length_spoils_no_other(place: int, spoil: object) -> None:
    assert callable(spoil)
    block = messages(5)
    block[place] = spoil(block[place])
    with pytest.raises(BlockUnreadable):
        read_block(SCHEMA, block)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_is_dead_does_not_depend_on_the_batches(size: int) -> None:
    events = [event for event in traffic(5, random.Random(3)) if isinstance(event, Turn)]
    log = [Record(i, T0 + 10**9, event.key, encode(event)) for i, event in enumerate(events)]
    log[4] = Record(4, T0 + 10**9, log[4].key, (log[4].value or b"") + b"xx")
    dead = []
    for start in range(0, len(log), size):
        decoded = decode_batch(Batch.of({0: log[start : start + size]}))
        dead += [(start + letter.row, letter.reason) for letter in decoded.dead]
    assert dead == [(4, REASON_UNDECODABLE)]
