"""What the last records of the snapshots topic say of what routers know."""

from __future__ import annotations

from consumer.told import MAX_GENERATION, told_by
from router_api.routing import state
from schemas.codec import encode
from schemas.events import Progress
from tests.factories import config, configured
from tests.snapshots import snapshot

ENDS = {0: 100, 1: 200}


def progress(partition: int, next_offset: int, generation: int = 0) -> bytes:
    position = {"partition": partition, "generation": generation, "next_offset": next_offset}
    counts = dict.fromkeys(("epoch", "folded", "duplicates", "late", "dead", "stream_time_ms"), 1)
    return encode(Progress(**position, **counts))


def test_the_furthest_of_each_partition_counts_in_any_order() -> None:
    records = [
        progress(0, 40, generation=1),
        progress(0, 90),
        encode(snapshot(source_offset=45, generation=1)),
        encode(snapshot(source_offset=7, partition=1)),
    ]
    for order in (records, records[::-1]):
        told = told_by(order, ENDS)
        assert told.positions == {0: (1, 45), 1: (0, 7)}
        assert told.generation == 1
        assert told.ends == ENDS


def test_a_generation_of_which_only_shares_were_told_counts() -> None:
    """Routers keep them aside: another one of that number would be mixed with them."""
    assert told_by([encode(snapshot(generation=4)), progress(0, 9)], ENDS).generation == 4


def test_what_routers_would_not_take_is_passed_over() -> None:
    records = [
        None,
        b"\xff alien",
        encode(configured(config())),
        progress(0, 5, generation=MAX_GENERATION),
        progress(0, 5, generation=-1),
        progress(7, 5),
    ]
    told = told_by(records, ENDS)
    assert (told.positions, told.generation) == ({}, 0)


def test_there_is_always_a_number_left_that_routers_take() -> None:
    highest = told_by([progress(0, 5, generation=MAX_GENERATION - 1)], ENDS).generation
    assert highest + 1 <= state.MAX_GENERATION == MAX_GENERATION
