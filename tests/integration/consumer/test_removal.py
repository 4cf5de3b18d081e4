"""Arms and request types come and go on a live router; what was learned of them stays."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from consumer.fold import ShareKey
from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.codec import Event
from schemas.snapshot import Snapshot
from tests.factories import T0, config, configured, outcome, records, turn, uuid7

pytestmark = pytest.mark.integration

TYPES = ["general", "writing"]


@pytest.fixture
async def writer(database: str) -> AsyncIterator[Writer]:
    store = await Store.connect(database)
    yield Writer(store)
    await store.close()


def answered(arm: str, request_type: str, rng: random.Random) -> list[Event]:
    """A turn and its score."""
    turn_id = uuid7(T0, rng)
    address = {"arm": arm, "request_type": request_type}
    return [
        turn(turn_id, **address),
        outcome(turn_id, uuid7(T0, rng), scores={"quality": 1.0}, **address),
    ]


def arms_of(snapshot: Snapshot | None) -> set[str]:
    assert snapshot is not None
    seen = set(snapshot.seen_ms)
    assert seen == {key.arm for key in snapshot.evidence}
    return seen


async def test_a_removed_arm_leaves_the_snapshot_and_returns_with_what_was_learned(
    writer: Writer,
) -> None:
    rng = random.Random(1)
    general, writing = (ShareKey(0, "r", request_type) for request_type in TYPES)
    both = configured(config(arms="ab", request_types=TYPES))
    fewer = configured(config(arms="b", request_types=["general"]), 2)
    again = configured(config(arms="ab", request_types=TYPES), 3)
    offset = 0

    async def log(*events: Event) -> set[ShareKey]:
        nonlocal offset
        batch = records(list(events), first_offset=offset)
        offset += len(batch)
        return {
            key
            for committed in await writer.write(Batch.of({0: batch}))
            for key in committed.changed
        }

    await writer.take([0])
    taught = [event for arm in "ab" for kind in TYPES for event in answered(arm, kind, rng)]
    await log(both, *taught)
    assert arms_of(writer.snapshot(general)) == {"a", "b"}

    # both are published again, the one without the arm, the other as a tombstone
    assert await log(fewer) == {general, writing}
    assert arms_of(writer.snapshot(general)) == {"b"}
    assert writer.snapshot(writing) is None

    # what comes late for it is welcome
    await log(*answered("a", "general", rng))
    assert arms_of(writer.snapshot(general)) == {"b"}

    assert await log(again) == {general, writing}
    returned = writer.snapshot(general)
    assert arms_of(returned) == {"a", "b"}
    assert arms_of(writer.snapshot(writing)) == {"a", "b"}
    assert returned is not None
    scores = {key.arm: sums.n for key, sums in returned.evidence.items() if key.metric == "quality"}
    assert scores["a"] == 2 * scores["b"]
