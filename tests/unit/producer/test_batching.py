"""Events to messages, messages to batches."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.batching import MAX_BATCH_BYTES, Batch, Message, partition_of, plan, to_message
from producer.errors import EventRefused
from schemas.codec import decode
from schemas.errors import ContractError
from schemas.events import Turn
from tests.factories import T0, turn, uuid7

many = st.lists(
    st.builds(Message, st.binary(max_size=8), st.binary(max_size=60), st.just([])), max_size=60
)


@pytest.fixture
def event() -> Turn:
    return turn(uuid7(T0, random.Random(1)), session_id="s1")


def test_a_message_holds_the_event_its_key_and_its_headers(event: Turn) -> None:
    message = to_message(event, "00-trace")
    assert decode(message.value) == event
    assert message.key == b"s1"
    assert dict(message.headers)["ce_type"] == b"routefold.turn.v1"
    assert dict(message.headers)["traceparent"] == b"00-trace"


@pytest.mark.parametrize(
    "fields",
    [
        {"turn_id": None},
        {"turn_id": b"short"},
        {"session_id": "\ud800"},
        {"session_id": 7},
        {"source": "\ud800"},
        {"occurred_at": 10**18},
        {"occurred_at": "now"},
        {"probability": "high"},
    ],
)
def test_whatever_is_wrong_with_an_event_is_a_contract_error(
    event: Turn, fields: dict[str, Any]
) -> None:
    with pytest.raises(ContractError):
        to_message(replace(event, **fields))


def test_an_event_above_every_batch_is_refused_with_its_size(event: Turn) -> None:
    with pytest.raises(EventRefused, match=r"Turn has .* bytes, at most 524,288"):
        to_message(replace(event, arm="x" * MAX_BATCH_BYTES))


@pytest.mark.parametrize(
    ("key", "signed_hash"),  # from the tests of Kafka's Java client
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_the_java_client(key: bytes, signed_hash: int) -> None:
    for partitions in (1, 4, 7, 1000):
        assert partition_of(key, partitions) == (signed_hash & 0x7FFFFFFF) % partitions


@given(messages=many, partitions=st.integers(1, 5), max_bytes=st.integers(50, 400))
def test_batches_cover_every_message_once_in_order_and_within_the_bound(
    messages: list[Message], partitions: int, max_bytes: int
) -> None:
    batches = plan(messages, partitions, max_bytes)
    planned: dict[int, list[int]] = {}
    for batch in batches:
        planned.setdefault(batch.partition, []).extend(batch.indexes)
        sizes = [messages[i].size_bytes for i in batch.indexes]
        assert sum(sizes) <= max_bytes or len(sizes) == 1
    for partition, indexes in planned.items():
        assert indexes == sorted(indexes)
        assert all(partition_of(messages[i].key, partitions) == partition for i in indexes)
    assert sorted(i for indexes in planned.values() for i in indexes) == list(range(len(messages)))


@given(st.integers(2, 50))
def test_halving_ends_at_every_single_message(count: int) -> None:
    pending, single = [Batch(0, tuple(range(count)))], []
    while pending:
        batch = pending.pop()
        if len(batch.indexes) == 1:
            single.append(batch.indexes[0])
        else:
            pending += batch.halves()
    assert sorted(single) == list(range(count))
