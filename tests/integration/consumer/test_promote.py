"""Promote and rollback on real Kafka and Postgres, while events come and replicas pick: nothing is
lost or counted twice, and no replica ever reads a mixture of two generations."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from consumer.generations import generations, live
from consumer.rebuild import promote as promote_module
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.promote import Promotion, Step, promote, rollback, taken_up
from consumer.rebuild.rebuild import Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.verify import verify
from routefold.audit.ahead import ReadAhead
from routefold.audit.replay import Recipe
from routefold.audit.replayed import Replayed, missing, whole
from routefold.audit.states import StateName, States
from routefold.history.log import open_log
from router_api.service import wall_clock_ms
from router_api.subscriber import Subscriber
from schemas.codec import decode, encode
from schemas.events import GenerationPromoted, Outcome, RouterConfigured, Turn
from schemas.router_config import HalfLives
from schemas.topics import Topics
from tests.factories import config, configured, outcome, traffic, uuid7
from tests.fixtures.pipeline import consuming, eventually, publish, read_log
from tests.fixtures.servers import Servers as Stack
from tests.oracle import Oracle

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")
TYPES = ("general", "writing")
CONFIG = config(
    arms=ARMS, request_types=TYPES, half_lives_s={"quality": {"slow": 7200.0, "fast": 60.0}}
)
CLEAN = RebuildSettings.make(
    exclude_sources=("importer",),
    half_lives_s={"quality.slow": 3600.0},
    rewards={"*": {"error": 0}},
)
LIVE = RebuildSettings()
Event = Turn | Outcome | RouterConfigured


def events(count: int, seed: int = 1) -> list[Turn | Outcome]:
    """Turns and outcomes; of some turns an importer reports as well."""
    rng = random.Random(seed)
    found: list[Turn | Outcome] = []
    for event in traffic(
        count, rng, start_ms=1_760_000_000_000 + seed * 1000, arms=ARMS, request_types=TYPES
    ):
        found.append(event)
        if isinstance(event, Outcome) and rng.random() < 0.3:
            fields = {"session_id": event.session_id, "arm": event.arm, "source": "importer"}
            found.append(
                outcome(
                    event.turn_id,
                    uuid7(event.occurred_at + 5, rng),
                    request_type=event.request_type,
                    cost_usd=0.001,
                    scores={"quality": rng.random()},
                    voids=event.outcome_id if rng.random() < 0.5 else None,
                    **fields,
                )
            )
    return found


@dataclass
class Installation:
    """A consumer with its log, and what is expected of its tables."""

    stack: Stack
    topics: Topics
    dsn: str
    published: int = 0

    @property
    def servers(self) -> Servers:
        return Servers(self.stack.bootstrap_servers, self.topics.events, self.dsn)

    async def publish(self, more: Iterable[Event]) -> None:
        chunk = list(more)
        await publish(self.stack.bootstrap_servers, self.topics, chunk)

    async def rebuild(self, name: str, settings: RebuildSettings = LIVE, **bounds: Any) -> None:
        pace = Pace(workers=1)
        start, until = bounds.get("start"), bounds.get("until")
        await rebuild(self.servers, name, settings, start, until, pace, lambda _: None)

    def rows(self, schema: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, options=f"-c search_path={schema}") as connection:
            return connection.execute(query.encode()).fetchall()

    @property
    def schema(self) -> str:
        return live(self.dsn).schema

    def evidence(self, schema: str) -> dict[tuple[object, ...], list[int]]:
        query = (
            "SELECT partition, router, request_type, arm, metric, pace, era,"
            " n::text, s1::text, s2::text FROM evidence"
        )
        rows = {row[:7]: [int(v) for v in row[7:]] for row in self.rows(schema, query)}
        return {key: sums for key, sums in rows.items() if any(sums)}

    def next_offsets(self, schema: str) -> dict[int, int]:
        return dict(self.rows(schema, "SELECT partition, next_offset FROM partition_progress"))

    async def ends(self) -> dict[int, int]:
        async with open_log(self.stack.bootstrap_servers, self.topics.events) as log:
            return {partition: each.end for partition, each in log.ends.items()}

    async def all_folded(self) -> None:
        """Wait until the live tables are at the end of the log, switches told of included."""

        async def folded() -> bool:
            found = live(self.dsn)
            return found.announced and self.next_offsets(found.schema) == await self.ends()

        await eventually(folded, timeout_s=60)

    async def counted_by_hand(
        self, settings: RebuildSettings
    ) -> dict[tuple[object, ...], list[int]]:
        """The evidence that the log makes with these settings."""
        rows: dict[tuple[object, ...], list[int]] = {}
        log = await read_log(
            self.stack.bootstrap_servers, self.topics.events, self.topics.event_partitions
        )
        for partition, records in log.items():
            its_events = [decode(value) for _, value in records]
            for key, sums in Oracle().fold(_revised(its_events, settings)).rows.items():
                if any(sums):
                    rows[(partition, *key)] = list(sums)
        return rows

    async def switches(self) -> dict[int, list[GenerationPromoted]]:
        """What each partition of the log tells of generations."""
        log = await read_log(
            self.stack.bootstrap_servers, self.topics.events, self.topics.event_partitions
        )
        return {
            partition: [
                event
                for _, value in records
                if isinstance(event := decode(value), GenerationPromoted)
            ]
            for partition, records in log.items()
        }

    @asynccontextmanager
    async def traffic(self, seed: int, turns: int = 2000) -> AsyncIterator[None]:
        """Events that come all the while the block runs."""

        over = asyncio.Event()

        async def send() -> None:
            log = events(turns, seed)
            for start in range(0, len(log), 40):
                if over.is_set():  # not cancelled: what was begun is published in full
                    return
                await self.publish(log[start : start + 40])

        task = asyncio.create_task(send())
        try:
            yield
        finally:
            over.set()
            await task


def _revised(log: Iterable[Any], settings: RebuildSettings) -> Iterator[Event]:
    for event in log:
        if isinstance(event, GenerationPromoted):
            continue
        if isinstance(event, RouterConfigured):
            slow = settings.half_lives_s.get("quality.slow", CONFIG.half_lives_s.quality.slow)
            quality = HalfLives(slow=slow, fast=CONFIG.half_lives_s.quality.fast)
            half_lives = CONFIG.half_lives_s.model_copy(update={"quality": quality})
            yield configured(CONFIG.model_copy(update={"half_lives_s": half_lives}))
        elif event.source not in settings.exclude_sources:
            yield event


@dataclass
class Replica:
    """An API replica that picks all the time, and remembers every state that it read."""

    subscriber: Subscriber
    picks: int = 0
    generations: list[int] = field(default_factory=list)
    read: dict[StateName, bytes] = field(default_factory=dict)

    async def pick_on(self) -> None:
        """Any error ends the test: no pick may fail."""
        while True:
            router = self.subscriber.directory.get("r")
            for request_type in TYPES:
                key = self.picks.to_bytes(4, "big")
                router.choose(request_type, key, now_ms=wall_clock_ms())
                reading = router.state.of(request_type).read()
                name = StateName("r", request_type, reading.version)
                assert self.read.setdefault(name, reading.digest) == reading.digest
                self.picks += 1
            if self.subscriber.directory.generation not in self.generations[-1:]:
                self.generations.append(self.subscriber.directory.generation)
            await asyncio.sleep(0.002)


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Installation:
    """A folded log of some hundred turns, and a complete rebuild `clean` of it."""
    made = Installation(stack, topics, database)
    await made.publish([configured(CONFIG), *events(300)])
    async with consuming(stack.bootstrap_servers, database, topics):
        await made.all_folded()
    await made.rebuild("clean", CLEAN)
    return made


@asynccontextmanager
async def replicas(made: Installation, count: int = 2) -> AsyncIterator[list[Replica]]:
    """Replicas of the API that pick while the block runs."""
    await publish_config(made)
    found = [
        Replica(
            Subscriber(
                bootstrap_servers=made.stack.bootstrap_servers,
                topics=made.topics,
                now_ms=wall_clock_ms,
            )
        )
        for _ in range(count)
    ]
    tasks: list[asyncio.Task[None]] = []
    try:
        for each in found:
            await each.subscriber.start()
            assert await each.subscriber.wait_ready(20)
        tasks += [asyncio.create_task(each.pick_on()) for each in found]
        yield found
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in found:
            await each.subscriber.stop()


async def publish_config(made: Installation) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=made.stack.bootstrap_servers)
    await producer.start()
    event = configured(CONFIG)
    await producer.send_and_wait(made.topics.routers, encode(event), key=event.key)
    await producer.stop()


async def all_on(found: list[Replica], generation: int) -> None:
    await eventually(
        lambda: all(each.subscriber.directory.generation == generation for each in found)
    )


async def test_a_switch_under_traffic_loses_and_mixes_nothing(installed: Installation) -> None:
    """Promote, then roll back, while events come and two replicas pick."""
    made = installed
    async with (
        consuming(made.stack.bootstrap_servers, made.dsn, made.topics),
        replicas(made) as found,
    ):
        async with made.traffic(seed=2):
            await asyncio.sleep(1)
            promotion = await promote(made.servers, "clean")
            await all_on(found, 1)
            await asyncio.sleep(1)
        await made.all_folded()
        assert promotion.generation.number == live(made.dsn).number == 1
        assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)
        kept = made.next_offsets("routefold")
        async with made.traffic(seed=3):
            await asyncio.sleep(0.5)
            await rollback(made.servers)
            await all_on(found, 2)
            await asyncio.sleep(0.5)
        await made.all_folded()
        assert live(made.dsn).schema == "routefold"
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        assert all(at > kept[p] for p, at in made.next_offsets("routefold").items())
        for request_type in TYPES:
            await eventually(lambda kind=request_type: _agree(found, kind))
    for replica in found:
        assert replica.picks > 200
        assert replica.generations == [0, 1, 2]
    read = {name: digest for replica in found for name, digest in replica.read.items()}
    assert {name.generation for name in read} == {0, 1, 2}
    assert await digests_of_the_log(made, read) == read


def _agree(found: list[Replica], request_type: str) -> bool:
    states = [each.subscriber.directory.state("r").of(request_type).read() for each in found]
    return len({state.version for state in states}) == 1


async def digests_of_the_log(
    made: Installation, names: Iterable[StateName]
) -> dict[StateName, bytes]:
    """Every state folded again from the log, with the settings that the log tells of it."""
    told = (await made.switches())[0]
    recipes = {
        event.generation: Recipe(RebuildSettings.model_validate_json(event.settings), event.starts)
        for event in told
    }
    wanted = sorted(names, key=lambda name: (name.generation, sum(name.offsets.values())))
    found: dict[StateName, bytes] = {}
    async with open_log(made.stack.bootstrap_servers, made.topics.events) as log:
        for name in wanted:
            assert missing(name, log.ends, recipes) == ""
        with Replayed(ReadAhead(whole(log), log.ends), States(wanted), recipes) as replayed:
            for name in wanted:
                reading = await replayed.read(name)
                assert reading is not None
                assert reading.version == name.version
                found[name] = reading.digest
    return found


async def test_the_switch_is_told_in_every_partition(installed: Installation) -> None:
    made = installed
    promotion = await promote(made.servers, "clean")
    assert not await taken_up(made.dsn, 1, timeout_s=0)
    async with consuming(made.stack.bootstrap_servers, made.dsn, made.topics):
        assert await taken_up(made.dsn, 1)
        await made.all_folded()
    told = await made.switches()
    assert {len(each) for each in told.values()} == {1}
    (event,) = told[0]
    assert event.generation == 1
    assert event.name == "clean"
    assert event.offsets == promotion.generation.offsets
    assert RebuildSettings.model_validate_json(event.settings) == CLEAN
    # it is no event of any turn
    counts = "SELECT sum(dead) FROM partition_progress"
    assert made.rows("routefold_clean", counts) == [(0,)]


async def test_an_idle_consumer_follows(installed: Installation) -> None:
    """Nothing comes that could fence it."""
    made = installed
    async with (
        consuming(made.stack.bootstrap_servers, made.dsn, made.topics),
        replicas(made, 1) as (replica,),
    ):
        await promote(made.servers, "clean")
        await all_on([replica], 1)
        await rollback(made.servers)
        await all_on([replica], 2)


async def test_two_consumers_follow_and_a_replica_that_starts_reads_one_generation(
    installed: Installation,
) -> None:
    made = installed
    args = (made.stack.bootstrap_servers, made.dsn, made.topics)
    async with consuming(*args), consuming(*args), made.traffic(seed=4):
        await asyncio.sleep(1)
        await promote(made.servers, "clean")
        async with replicas(made) as found:
            await all_on(found, 1)
        read = {name: digest for each in found for name, digest in each.read.items()}
    async with consuming(*args):
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)
    assert await digests_of_the_log(made, read) == read


async def test_what_is_live_keeps_its_settings_and_verifies(installed: Installation) -> None:
    """An excluded source stays excluded, also where it is all that a partition gets."""
    made = installed
    await promote(made.servers, "clean")
    alone = [event for event in events(400, seed=5) if event.source == "importer"]
    async with consuming(made.stack.bootstrap_servers, made.dsn, made.topics):
        await made.publish(alone)
        await made.all_folded()
        await made.publish(events(100, seed=6))
        # a configuration that can't have the settings is folded as it is written
        short = {"quality": {"slow": 50_000.0, "fast": 4000.0}}
        await made.publish([configured(config("s", arms=ARMS, half_lives_s=short))])
        await made.all_folded()
    assert made.rows(made.schema, "SELECT DISTINCT router FROM routers ORDER BY 1") == [
        ("r",),
        ("s",),
    ]
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal
    await promote_again_and_compare(made)


async def promote_again_and_compare(made: Installation) -> None:
    await rollback(made.servers)
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal
    await promote(made.servers, "clean")
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal


def untouched(made: Installation) -> dict[str, object]:
    """All that a refused command must leave alone."""
    tables = ("partition_progress", "evidence", "turn_states", "routers", "generations")
    return {
        name: sorted(made.rows("routefold", f"SELECT t::text FROM {name} AS t")) for name in tables
    }


async def test_what_can_not_be_promoted_is_refused_and_changes_nothing(
    installed: Installation,
) -> None:
    made = installed
    ends = ",".join(f"{p}:{at - 1}" for p, at in (await made.ends()).items())
    await made.rebuild("short", until=Bound.parse(ends))
    await made.rebuild("broken")
    made.rows("routefold_broken", "UPDATE rebuild SET state = 'running' RETURNING 1")
    before = untouched(made)
    for name, message in (
        ("nobody", "there is no rebuild 'nobody'; there are: broken, clean, short"),
        ("Bad-Name", "can't be a rebuild's name"),
        ("live", "name of the live tables"),
        ("original", "name of the tables that were live first"),
        ("short", "made to end at .* without --until"),
        ("broken", "is not complete: run `routefold rebuild`"),
    ):
        with pytest.raises(RebuildRefused, match=message):
            await promote(made.servers, name)
    other = Servers(made.stack.bootstrap_servers, "other.events", made.dsn)
    with pytest.raises(RebuildRefused, match=r"is of .*, not of other\.events"):
        await promote(other, "clean")
    with pytest.raises(RebuildRefused, match="nothing to roll back to"):
        await rollback(made.servers)
    assert untouched(made) == before


async def test_the_live_rebuild_is_left_alone_and_the_former_kept_until_dropped(
    installed: Installation,
) -> None:
    made = installed
    await made.rebuild("plain")
    await promote(made.servers, "clean")
    with pytest.raises(RebuildRefused, match="is live already"):
        await promote(made.servers, "clean")
    with pytest.raises(RebuildRefused, match="'clean' is live: promote another, or roll back"):
        side.drop(made.dsn, "clean")
    with pytest.raises(RebuildRefused, match="'clean' is live"):
        await made.rebuild("clean", CLEAN)
    await promote(made.servers, "plain")
    assert [each.name for each in generations(made.dsn)] == ["original", "clean", "plain"]
    side.drop(made.dsn, "clean")
    with pytest.raises(RebuildRefused, match="'clean', which was live before, has been dropped"):
        await rollback(made.servers)
    await made.rebuild("clean")
    with pytest.raises(RebuildRefused, match="made anew since it was live"):
        await rollback(made.servers)
    side.drop(made.dsn, "clean")
    await made.rebuild("clean", CLEAN)
    names = [(await rollback(made.servers)).generation.name for _ in range(2)]
    assert names == ["clean", "original"]
    with pytest.raises(RebuildRefused, match="nothing to roll back to"):
        await rollback(made.servers)


async def test_of_two_at_once_one_is_refused(installed: Installation) -> None:
    made = installed
    await made.rebuild("plain")
    begun, others_tried = threading.Event(), threading.Event()

    def on_step(step: Step) -> None:
        if step is Step.CHECKED:
            begun.set()
            assert others_tried.wait(60)

    def first() -> Promotion:
        return asyncio.run(promote(made.servers, "clean", on_step))

    task = asyncio.create_task(asyncio.to_thread(first))
    assert await asyncio.to_thread(begun.wait, 60)
    for other in (promote(made.servers, "plain"), rollback(made.servers)):
        with pytest.raises(RebuildRefused, match="another promote or rollback is under way"):
            await other
    others_tried.set()
    assert (await task).generation.name == "clean"
    assert [each.name for each in generations(made.dsn)] == ["original", "clean"]


class BrokenOff(Exception):
    pass


async def test_broken_off_at_any_step_the_live_state_goes_on(installed: Installation) -> None:
    made = installed
    async with consuming(made.stack.bootstrap_servers, made.dsn, made.topics) as task:
        for step in list(Step)[:-1]:

            def end(reached: Step, at: Step = step) -> None:
                if reached is at:
                    raise BrokenOff

            await made.publish(events(40, seed=10 + list(Step).index(step)))
            with pytest.raises(BrokenOff):
                await promote(made.servers, "clean", end)
            assert live(made.dsn).number == 0
            await made.all_folded()
            assert not task.done()
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        await promote(made.servers, "clean")
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)


KILLED = """
import asyncio, json, sys, time
from consumer.rebuild.promote import Step, promote
from consumer.rebuild.rebuild import Servers

def on_step(step):
    print(step, flush=True)
    if step is Step.RECORDED:
        time.sleep(60)

asyncio.run(promote(Servers(*json.loads(sys.argv[1])), "clean", on_step))
"""


async def test_killed_before_its_commit_it_has_changed_nothing(installed: Installation) -> None:
    made = installed
    servers = made.servers
    where = json.dumps([servers.bootstrap_servers, servers.topic, servers.postgres_dsn])
    async with consuming(made.stack.bootstrap_servers, made.dsn, made.topics) as task:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, where, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        while (await process.stdout.readline()).decode().strip() != Step.RECORDED:
            pass
        await made.publish(events(50, seed=7))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await made.all_folded()
        assert not task.done()
        assert live(made.dsn).number == 0
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        await promote(made.servers, "clean")
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)


async def test_it_gives_way_when_the_last_events_take_too_long(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits of the live consumer are held for a moment only; then the catching up begins anew."""
    made = installed
    await made.publish(events(100, seed=8))
    async with consuming(made.stack.bootstrap_servers, made.dsn, made.topics):
        await made.all_folded()
    tries: list[Step] = []

    def on_step(step: Step) -> None:
        tries.append(step)
        seconds = 30.0 if tries.count(Step.LOCKED) > 1 else 0.0
        monkeypatch.setattr(promote_module, "LOCKED_S", seconds)

    await promote(made.servers, "clean", on_step)
    assert tries.count(Step.LOCKED) == 2
    assert tries[-1] is Step.LIVE
    assert made.next_offsets("routefold_clean") == await made.ends()
