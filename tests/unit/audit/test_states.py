"""States from replayed partitions: cut anywhere, held no longer than needed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.records import Batch
from routefold.audit.ahead import ReadAhead
from routefold.audit.replay import Replay
from routefold.audit.states import StateName, States
from tests.factories import Record, config, configured, records, traffic
from tests.unit.audit.world import drained


@contextmanager
def replaying(*partitions: int) -> Iterator[list[Replay]]:
    with ExitStack() as made:
        yield [made.enter_context(closing(Replay(partition))) for partition in partitions]


def log(seed: int = 0, turns: int = 20) -> list[Record]:
    rng = random.Random(seed)
    return records([configured(config()), *traffic(turns, rng)])


@given(st.integers(0, 5), st.lists(st.integers(1, 40), max_size=6))
def test_where_the_log_is_cut_does_not_show(seed: int, cuts: list[int]) -> None:
    with replaying(0, 0) as (whole, pieces):
        events = log(seed)
        whole.fold(Batch.of({0: events}))
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(events)], strict=True):
            pieces.fold(Batch.of({0: events[start:end]}))
        for request_type in ("general", "writing"):
            assert pieces.share("r", request_type, 41) == whole.share("r", request_type, 41)


def test_offsets_of_a_version() -> None:
    assert StateName("r", "general", "12.-.0").offsets == {0: 12, 2: 0}
    assert StateName("r", "general", "-.-").offsets == {}
    promoted = StateName("r", "general", "3:7.-")
    assert (promoted.generation, promoted.offsets) == (3, {0: 7})
    assert StateName("r", "general", "7.-").generation == 0
    with pytest.raises(ValueError, match="x"):
        _ = StateName("r", "general", "1.x").offsets


def test_shares_are_held_from_their_cut_to_their_last_use() -> None:
    first = StateName("r", "general", "10.5")
    second = StateName("r", "general", "20.5")
    states = States([first, second])
    assert states.cuts == {0: [10, 20], 1: [5]}
    events = log()
    with replaying(0, 1) as replays:
        for partition, start, end in ((0, 0, 10), (1, 0, 5), (0, 10, 20)):
            replays[partition].fold(Batch.of({partition: events[start:end]}))
            states.keep(replays[partition], end)
    assert states.held == 3
    reading = states.read(first)
    assert reading is not None
    assert reading.version == "10.5"
    assert states.held == 2, "the share at 5 is still wanted"
    assert states.read(second) is not None
    assert states.held == 0


def test_a_share_that_never_was_is_no_state() -> None:
    state = StateName("r", "poetry", "10")
    states = States([state])
    with replaying(0) as (replay,):
        replay.fold(Batch.of({0: log()[:10]}))
        states.keep(replay, 10)
    assert states.read(state) is None


def test_without_any_share_the_prior_decided() -> None:
    state = StateName("r", "general", "-.-")
    reading = States([state]).read(state)
    assert reading is not None
    assert (reading.version, dict(reading.evidence)) == ("-.-", {})


async def test_a_partition_is_read_as_far_as_is_asked_for() -> None:
    left, right = log()[:8], [record for record in log(1)[:9] if record.offset != 4]
    batches = [Batch.of({0: left[:5], 1: right[:2]}), Batch.of({0: left[5:], 1: right[2:]})]
    ahead = ReadAhead(drained(batches), [0, 1])

    async def offsets(partition: int, offset: int) -> list[int]:
        pieces = [piece.offset.tolist() async for piece in ahead.up_to(partition, offset)]
        return [at for piece in pieces for at in piece]

    assert await offsets(0, 3) == [0, 1, 2]
    assert await offsets(0, 3) == []
    assert await offsets(1, 5) == [0, 1, 2, 3]
    assert await offsets(1, 100) == [5, 6, 7, 8]
    assert await offsets(0, 100) == [3, 4, 5, 6, 7]
