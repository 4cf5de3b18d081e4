"""Dead letters redriven on real Kafka and Postgres: each fact counts, and counts once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from routefold.dead_letters.letters import LetterId
from routefold.dead_letters.redrive import Redriven, redrive
from routefold.dead_letters.store import LetterStore, open_letters
from routefold.errors import Misuse
from schemas.codec import encode
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.pipeline import (
    consuming,
    eventually,
    folded,
    publish,
    stored_evidence,
    table,
)
from tests.fixtures.servers import Servers
from tests.oracle import Oracle

pytestmark = pytest.mark.integration


class Pipeline:
    """One topic and one database, with what was sent to it."""

    def __init__(self, stack: Servers, topics: Topics, database: str) -> None:
        self._stack = stack
        self._topics = topics
        self.database = database
        self.records = 0

    async def publish(self, *events: Turn | Outcome | RouterConfigured) -> None:
        await publish(self._stack.bootstrap_servers, self._topics, events)
        copies = (4 if isinstance(event, RouterConfigured) else 1 for event in events)
        self.records += sum(copies)

    async def send(self, value: bytes | None, key: bytes | None, partition: int) -> None:
        """A record as no publisher of ours would make it."""
        producer = AIOKafkaProducer(bootstrap_servers=self._stack.bootstrap_servers)
        await producer.start()
        await producer.send_and_wait(self._topics.events, value, key=key, partition=partition)
        await producer.stop()
        self.records += 1

    async def fold(self) -> None:
        """Let a consumer fold everything."""
        wanted = "SELECT coalesce(sum(next_offset), 0) FROM partition_progress"
        servers, topics = self._stack.bootstrap_servers, self._topics
        async with consuming(servers, self.database, topics):
            await eventually(lambda: int(str(table(self.database, wanted)[0][0])) >= self.records)

    @asynccontextmanager
    async def letters(self) -> AsyncIterator[LetterStore]:
        async with open_letters(SecretStr(self.database)) as store:
            yield store

    async def redrive(
        self, *letters: LetterId, reason: str | None = None, again: bool = False
    ) -> Redriven:
        async with self.letters() as store:
            chosen = list(letters) or await store.choose(reason, again=again)
            servers = self._stack.bootstrap_servers
            done = await redrive(servers, self._topics, store, chosen, again=again)
        self.records += len(done.published)
        return done

    async def fates(self) -> dict[str, str]:
        async with self.letters() as store:
            return {str(letter.id): letter.fate for letter in await store.latest(None, 1000)}

    async def headers(self, at: LetterId) -> dict[str, bytes]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._stack.bootstrap_servers)
        await consumer.start()
        tp = TopicPartition(self._topics.events, at.partition)
        consumer.assign([tp])
        consumer.seek(tp, at.offset)
        record = await consumer.getone()
        await consumer.stop()
        assert record.offset == at.offset
        return dict(record.headers)

    def counts(self) -> Any:
        columns = "sum(folded)::int, sum(duplicates)::int, sum(dead)::int"
        return table(self.database, f"SELECT {columns} FROM partition_progress")[0]


@pytest.fixture
def pipeline(stack: Servers, topics: Topics, database: str) -> Pipeline:
    return Pipeline(stack, topics, database)


def evidence(database: str) -> dict[tuple[object, ...], list[int]]:
    """Rows without their partitions, added up."""
    rows: dict[tuple[object, ...], list[int]] = {}
    for key, sums in stored_evidence(database).items():
        row = rows.setdefault((*key[1:6], key[7]), [0, 0, 0])
        for place, value in enumerate(sums):
            row[place] += value
    return rows


def expected(*log: Turn | Outcome | RouterConfigured) -> dict[tuple[object, ...], list[int]]:
    return {tuple(key): list(sums) for key, sums in Oracle().fold(log).rows.items()}


def events(count: int, seed: int = 1, router: str = "r") -> list[Turn | Outcome]:
    return list(traffic(count, random.Random(seed), router=router))


async def test_after_the_cause_is_gone_redriven_events_count_once(pipeline: Pipeline) -> None:
    known, late = configured(config("r")), configured(config("late"))
    good, orphans = events(100), events(80, seed=2, router="late")
    await pipeline.publish(known, *good, *orphans)
    await pipeline.fold()
    assert pipeline.counts() == (200, 0, 160)
    assert evidence(pipeline.database) == expected(known, *good)

    await pipeline.publish(late)
    done = await pipeline.redrive(reason="unknown_router")
    assert (len(done.published), done.refused) == (160, {})
    await pipeline.fold()
    whole = expected(known, late, *good, *orphans)
    assert evidence(pipeline.database) == whole
    assert pipeline.counts() == (360, 0, 160)
    assert set(await pipeline.fates()) == {str(letter) for letter in done.published}
    assert all(fate.startswith("folded at") for fate in (await pipeline.fates()).values())

    # nothing is left to redrive; forced, it changes nothing
    assert (await pipeline.redrive(reason="unknown_router")).published == {}
    again = await pipeline.redrive(reason="unknown_router", again=True)
    assert len(again.published) == 160
    await pipeline.fold()
    assert evidence(pipeline.database) == whole
    assert pipeline.counts() == (360, 160, 160)


async def test_a_letter_that_was_redriven_is_refused(pipeline: Pipeline) -> None:
    await pipeline.publish(*events(2))
    await pipeline.fold()
    async with pipeline.letters() as store:
        first, *_ = await store.choose(None, again=False)
    assert (await pipeline.redrive(first)).refused == {}
    done = await pipeline.redrive(first)
    assert "--again" in done.refused[first]
    assert done.published == {}
    assert first in (await pipeline.redrive(first, again=True)).published


async def test_a_letter_whose_cause_still_holds_is_dead_again(pipeline: Pipeline) -> None:
    await pipeline.publish(*events(1))
    await pipeline.fold()
    done = await pipeline.redrive()
    before = await pipeline.fates()
    assert all(fate.startswith("waits to be folded") for fate in before.values())
    await pipeline.fold()
    fates = await pipeline.fates()
    for letter, new in done.published.items():
        assert fates[str(letter)] == f"dead again as {new}: unknown_router"
        assert fates[str(new)] == "open"
        async with pipeline.letters() as store:
            assert (await store.get(new)).redriven_from == letter
    # only the newest of each is redriven by --all
    assert set((await pipeline.redrive()).published) == set(done.published.values())


async def test_the_record_is_the_original_one(pipeline: Pipeline) -> None:
    """Also where it stood in the wrong partition, with alien headers or bytes."""
    (event, *_) = events(1)
    await pipeline.publish(configured(config()))
    for partition in range(4):
        await pipeline.send(encode(event), b"wrong", partition)
    await pipeline.send(b"\xff alien", b"k", 1)
    await pipeline.fold()
    done = await pipeline.redrive()
    await pipeline.fold()
    async with pipeline.letters() as store:
        for letter, new in done.published.items():
            old, redriven = await store.get(letter), await store.get(new)
            assert (old.key, old.value) == (redriven.key, redriven.value)
            headers = await pipeline.headers(new)
            assert headers["routefold_redriven_from"] == str(letter).encode()
            if old.key == b"wrong":
                assert headers["ce_type"] == b"routefold.turn.v1"
    assert len({new.partition for new in list(done.published.values())}) <= 2


async def test_a_configuration_goes_back_to_its_partition(pipeline: Pipeline) -> None:
    broken = replace(configured(config()), config="{}")
    await pipeline.publish(broken)
    await pipeline.fold()
    done = await pipeline.redrive(reason="invalid_config")
    assert len(done.published) == 4
    assert all(letter.partition == new.partition for letter, new in done.published.items())


async def test_what_nobody_could_fold_is_not_published(pipeline: Pipeline) -> None:
    await pipeline.send(b"alien", None, 0)
    await pipeline.send(None, b"k", 1)
    await pipeline.fold()
    done = await pipeline.redrive()
    assert done.published == {}
    assert done.refused.keys() == {(0, 0), (1, 0)}
    assert "no key" in done.refused[LetterId(0, 0)]
    assert "no value" in done.refused[LetterId(1, 0)]
    assert folded(pipeline.database) == 2


async def test_counts_and_what_is_not_there(pipeline: Pipeline) -> None:
    await pipeline.publish(*events(3))
    await pipeline.send(b"alien", b"k", 1)
    await pipeline.fold()
    async with pipeline.letters() as store:
        found = {count.reason: (count.letters, count.open) for count in await store.counts()}
        assert found == {"unknown_router": (6, 6), "undecodable": (1, 1)}
        (alien,) = await store.latest("undecodable", 10)
        assert alien.value == b"alien"
        assert len(await store.latest(None, 3)) == 3
        with pytest.raises(Misuse, match="no reason"):
            await store.latest("bad_mood", 10)
        with pytest.raises(Misuse, match="9:9"):
            await store.get(LetterId(9, 9))
        with pytest.raises(Misuse, match="9:9"):
            await store.require([alien.id, LetterId(9, 9)])
