"""Retraction and correction on real Postgres, over batches and restarts."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from consumer.recent import RecentSessions, RecentTurns
from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.codec import Event
from schemas.events import Outcome, Turn
from schemas.evidence import ZERO, Sums
from schemas.request_types import REQUEST_TYPES
from tests.factories import T0, config, configured, outcome, records, traffic, turn, uuid7
from tests.fixtures.pipeline import stored_evidence, table
from tests.oracle import Oracle

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")
SIGNALS = {"satisfaction": 0.5, "misalignment": 0.5, "failure": 0.5}
CONFIG = configured(config(arms=ARMS, rewards={"quality": 1.0, **SIGNALS}))
POSTERIORS = "SELECT request_type, arm, alpha, beta FROM posteriors ORDER BY 1, 2"
COUNTS = "SELECT sum(folded), sum(duplicates), sum(late) FROM event_counts"

Open = Callable[..., Awaitable[Writer]]


@pytest.fixture
async def open_writer(database: str) -> AsyncIterator[Open]:
    """A writer that knows only what the store does, and remembers at most so much."""
    stores: list[Store] = []

    async def open_one(turns: int = 1000, sessions: int = 1000) -> Writer:
        stores.append(await Store.connect(database))
        writer = Writer(stores[-1], turns=RecentTurns(turns), sessions=RecentSessions(sessions))
        await writer.take([0, 1])
        return writer

    yield open_one
    for store in stores:
        await store.close()


def evidence(database: str, partition: int = 0) -> Mapping[tuple[object, ...], Sums]:
    """The rows that do not come to nothing."""
    rows = stored_evidence(database).items()
    return {key[1:]: sums for key, sums in rows if key[0] == partition and sums != ZERO}


def void(of: Outcome, rng: random.Random, **fields: Any) -> Outcome:
    address = {name: getattr(of, name) for name in ("session_id", "arm", "request_type")}
    fields = {"scores": {}, **address, **fields}
    return outcome(of.turn_id, uuid7(T0, rng), voids=of.outcome_id, **fields)


async def write(writer: Writer, *events: Event, partition: int = 0) -> None:
    """Events that follow on in the log, in one batch."""
    at = writer.progress[partition].next_offset
    await writer.write(Batch.of({partition: records(events, at)}))


async def test_an_outcome_is_taken_back_by_a_later_writer(open_writer: Open, database: str) -> None:
    rng = random.Random(1)
    one = turn(uuid7(T0, rng))
    wrong = outcome(
        one.turn_id,
        uuid7(T0, rng),
        arm_served="b",
        status="ok",
        latency_ms=800.0,
        cost_usd=0.01,
        scores={"quality": 0.9},
    )
    await write(await open_writer(), CONFIG, one)
    before, beliefs = evidence(database), table(database, POSTERIORS)
    await write(await open_writer(), wrong)
    assert evidence(database) != before
    assert table(database, POSTERIORS) != beliefs
    await write(await open_writer(), void(wrong, rng))
    assert evidence(database) == before
    assert table(database, POSTERIORS) == beliefs
    assert table(database, COUNTS) == [(3, 0, 0)]
    await write(await open_writer(), wrong)
    assert evidence(database) == before
    assert table(database, COUNTS) == [(3, 1, 0)]
    assert table(database, "SELECT count(*) FROM dead_letters") == [(0,)]


async def test_a_correction_counts_in_the_place_of_what_it_voids(
    open_writer: Open, database: str
) -> None:
    rng = random.Random(2)
    one = turn(uuid7(T0, rng))
    first, second = (
        outcome(one.turn_id, uuid7(T0, rng), scores={"quality": value}) for value in (1.0, 0.75)
    )
    await write(await open_writer(), CONFIG, one, first)
    await write(await open_writer(), second)
    correction = void(first, rng, scores={"quality": 0.25})
    await write(await open_writer(), correction)
    assert quality(database) == 0.25
    await write(await open_writer(), void(correction, rng))
    assert quality(database) == 0.75


def quality(database: str) -> float:
    ((_, sums),) = (
        item for item in evidence(database).items() if item[0][3:5] == ("quality", "slow")
    )
    return sums.s1 / sums.n / 1024


async def test_a_void_may_come_first(open_writer: Open, database: str) -> None:
    rng = random.Random(3)
    one = turn(uuid7(T0, rng))
    wrong = outcome(one.turn_id, uuid7(T0, rng), scores={"quality": 0.9})
    await write(await open_writer(), CONFIG, void(wrong, rng))
    assert not evidence(database)
    writer = await open_writer()
    await write(writer, wrong, one)
    assert {row[3] for row in evidence(database)} == {"picked"}
    assert table(database, COUNTS) == [(1, 2, 0)]
    assert all(writer.shares.snapshot(key, 1, 3).evidence for key in writer.shares.keys(0))


async def test_what_the_writer_holds_is_what_is_stored(open_writer: Open, database: str) -> None:
    rng = random.Random(4)
    one = turn(uuid7(T0, rng))
    wrong = outcome(one.turn_id, uuid7(T0, rng), status="ok", latency_ms=90.0)
    writer = await open_writer()
    await write(writer, CONFIG, one, wrong)
    await write(writer, void(wrong, rng))
    (key,) = writer.shares.keys(0)
    snapshot = writer.shares.snapshot(key, epoch=1, source_offset=4)
    assert {series.metric for series in snapshot.evidence} == {"picked"}
    (await open_writer()).shares.keys(0)
    again = (await open_writer()).shares.snapshot(key, epoch=1, source_offset=4)
    assert again == snapshot


async def test_beyond_the_window_nothing_is_taken_back(open_writer: Open, database: str) -> None:
    rng = random.Random(5)
    old, young = turn(uuid7(T0, rng)), turn(uuid7(T0 + 2 * 86_400_000, rng))
    wrong = outcome(old.turn_id, uuid7(T0, rng))
    writer = await open_writer()
    await write(writer, CONFIG, old, wrong, young)
    before = evidence(database)
    await write(writer, void(wrong, rng))
    assert evidence(database) == before
    assert table(database, COUNTS) == [(3, 0, 1)]
    await writer.forget()
    assert table(database, "SELECT octet_length(ledger) FROM turn_states") == [(0,)]


async def test_a_fallback_that_was_taken_back_gets_no_credit(
    open_writer: Open, database: str
) -> None:
    rng = random.Random(6)
    first, second = (
        turn(uuid7(T0 + at, rng), session_id="s", arm=arm, reaction=reaction)
        for at, arm, reaction in ((0, "a", ()), (9, "b", ("failure",)))
    )
    b, c = (
        outcome(first.turn_id, uuid7(T0, rng), session_id="s", arm_served=arm, status="ok")
        for arm in ("b", "c")
    )
    await write(await open_writer(), CONFIG, first, b, c)
    moves = "SELECT arm, moves <> '' FROM sessions"
    assert table(database, moves) == [("c", True)]
    await write(await open_writer(), void(c, rng))
    assert table(database, moves) == [("b", True)]
    await write(await open_writer(), c)  # it comes again, and is void
    assert table(database, moves) == [("b", True)]
    await write(await open_writer(), void(b, rng))
    assert table(database, moves) == [("a", False)]
    await write(await open_writer(), second)
    assert {row[2] for row in evidence(database) if row[3] == "failure"} == {"a"}


@pytest.mark.parametrize("remembered", [1, 10, 1000])
async def test_any_batching_over_any_restarts_is_the_count_by_hand(
    open_writer: Open, database: str, remembered: int
) -> None:
    """Traffic with signals, repeats, second opinions, corrections and retractions."""
    rng = random.Random(remembered)
    events = eventful(rng, 150)
    await write(await open_writer(), CONFIG, *events, partition=1)
    at = 0
    log: list[Event] = [CONFIG, *events]
    writer = await open_writer(remembered, remembered)
    while at < len(log):
        if rng.random() < 0.1:
            writer = await open_writer(remembered, remembered)
        step = rng.randrange(1, 40)
        await write(writer, *log[at : at + step])
        at += step
    oracle = Oracle().fold([CONFIG, *events])
    by_hand = {key: Sums(*sums) for key, sums in oracle.rows.items() if any(sums)}
    for partition in (0, 1):
        rows = evidence(database, partition)
        assert {(*key[:5], key[6]): sums for key, sums in rows.items()} == by_hand
    counts = "SELECT folded, duplicates, late, dead FROM partition_progress"
    assert table(database, counts) == [(oracle.folded, oracle.duplicates, oracle.late, 0)] * 2


def eventful(rng: random.Random, turns: int) -> list[Turn | Outcome]:
    events: list[Turn | Outcome] = []
    for event in traffic(turns, rng, arms=ARMS, request_types=REQUEST_TYPES):
        if isinstance(event, Turn) and event.session_id:
            event = replace(event, reaction=tuple(rng.sample(list(SIGNALS), rng.randrange(3))))
        if isinstance(event, Outcome):
            served = rng.choice([None, None, *ARMS])
            event = replace(event, arm_served=served, signals=tuple(rng.sample(list(SIGNALS), 1)))
            others = [event]
            for _ in range(rng.randrange(4)):
                voids = rng.choice([None, rng.choice(others).outcome_id])
                another = replace(event, outcome_id=uuid7(T0, rng), voids=voids)
                others.append(replace(another, scores={"quality": rng.random()}))
            rng.shuffle(others)
            events += others
        events.append(event)
        if rng.random() < 0.2:
            events.append(rng.choice(events[-20:]))
    return events
