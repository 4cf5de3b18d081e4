"""The whole router on a real log: configurations, picks, outcomes, and Kafka going away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from producer.spool import Spool
from routefold.stack.ports import choose
from router_api.errors import BadToken, InvalidReport, NotReady, Unavailable, UnknownRouter
from router_api.service import OutcomeReport, PickRequest, RouterSummary, RoutingService
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.topics import Topics
from tests.factories import config
from tests.fixtures.broker import Broker
from tests.fixtures.pipeline import events_in_log, eventually, partition_of, read_log
from tests.fixtures.servers import Servers
from tests.integration.router_api.conftest import TOKENS, StartService, StateWriter
from tests.snapshots import observed, snapshot

pytestmark = pytest.mark.integration


class EventsLog:
    """The events topic of this test."""

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics

    async def of(self, kind: type[Any]) -> list[Any]:
        """Every event of a kind, over all partitions."""
        log = await events_in_log(self._bootstrap_servers, self._topics)
        return [event for events in log.values() for event in events if isinstance(event, kind)]

    async def configurations(self) -> list[bytes]:
        """Keys on the routers topic."""
        log = await read_log(self._bootstrap_servers, self._topics.routers)
        return [key for key, _ in log[0]]


@pytest.fixture
def log(stack: Servers, topics: Topics) -> EventsLog:
    return EventsLog(stack.bootstrap_servers, topics)


def scored(service: RoutingService, quality: float = 1.0, **fields: Any) -> OutcomeReport:
    """A report about a new turn."""
    pick = service.pick("r", PickRequest(session_id="s-1", request_type="general"))
    return OutcomeReport(turn_token=pick.turn_token, scores={"quality": quality}, **fields)


def metric(service: RoutingService, name: str, **labels: str) -> float | None:
    return service.metrics.registry.get_sample_value(name, labels)


# Configurations


async def test_put_router_is_in_force_here_at_once_and_soon_elsewhere(
    start_service: StartService, log: EventsLog, topics: Topics
) -> None:
    one, other = await start_service(), await start_service()

    assert await one.put_router(config(arms="ab")) == (1, True)

    assert one.pick("r", PickRequest()).arm in ("a", "b")
    await eventually(lambda: other.routers() == one.routers())
    assert await other.put_router(config(arms="ab")) == (1, False)
    assert await other.put_router(config(arms="abc")) == (2, True)
    assert other.routers() == [RouterSummary("r", 2, ("a", "b", "c"), config().request_types)]
    configured = await log.of(RouterConfigured)
    assert sorted(event.version for event in configured) == [1] * 4 + [2] * 4
    assert await log.configurations() == [b"r", b"r"]


async def test_racing_puts_come_one_after_the_other_everywhere(
    start_service: StartService,
) -> None:
    replicas = [await start_service() for _ in range(3)]
    configs = [config(arms=arms) for arms in ("ab", "cd", "ef")]

    answers = await asyncio.gather(
        *(replica.put_router(each) for replica, each in zip(replicas, configs, strict=True))
    )

    assert all(changed for _, changed in answers)
    # Two may get one number, if neither has heard of the other: then the greater text is in force.
    put = zip((version for version, _ in answers), configs, strict=True)
    last, winner = max(put, key=lambda each: (each[0], each[1].model_dump_json()))
    fresh = await start_service()
    assert fresh.state("r")["version"] == last
    assert fresh.state("r")["config"] == winner.model_dump(mode="json")
    await eventually(lambda: all(each.routers() == fresh.routers() for each in replicas))


# Picks


async def test_logged_turn_is_the_answered_pick(
    start_service: StartService, log: EventsLog, write: StateWriter
) -> None:
    service = await start_service()
    await service.put_router(config(arms="ab"))
    await write.publish(snapshot(observed("b", [1.0] * 30), source_offset=3))
    await eventually(lambda: service.state("r")["snapshot"]["general"] == "3.-.-.-")

    pick = service.pick("r", PickRequest(session_id="s-1", request_type="general"))
    await service.stop()

    (turn,) = await log.of(Turn)
    assert turn.turn_id == pick.turn_id.bytes
    assert (turn.arm, turn.probability) == (pick.arm, pick.probability)
    assert (turn.router_version, turn.snapshot_version) == (1, "3.-.-.-")
    assert turn.snapshot_age_ms == pick.snapshot_age_ms is not None
    assert turn.source == "test"


async def test_replicas_agree_and_say_the_same(
    start_service: StartService, write: StateWriter
) -> None:
    one, other = await start_service(), await start_service()
    await one.put_router(config(arms="abc"))
    await write.publish(
        snapshot(observed("a", [1.0, 0.0, 0.5])), snapshot(observed("b", [1.0]), partition=2)
    )

    def digests() -> set[str]:
        return {each.state("r")["state_digest"] for each in (one, other)}

    await eventually(lambda: len(other.routers()) == 1)
    await eventually(lambda: one.state("r")["snapshot"]["general"] == "1.-.1.-")
    await eventually(lambda: len(digests()) == 1)
    for i in range(50):
        request = PickRequest(session_id=f"s{i}", request_type="general")
        assert one.pick("r", request).arm == other.pick("r", request).arm
    assert metric(one, "routefold_pick_seconds_count") == 50


# Outcomes


async def test_recorded_outcomes_are_in_the_log_beside_their_turn(
    start_service: StartService, log: EventsLog, topics: Topics, stack: Servers
) -> None:
    service = await start_service()
    await service.put_router(config())
    given = UUID(int=5)

    ids = await service.record([scored(service, 0.25, outcome_id=given), scored(service, 0.75)])

    assert ids[0] == given
    by_partition = await events_in_log(stack.bootstrap_servers, topics)
    outcomes = [e for e in by_partition[partition_of(b"s-1", 4)] if isinstance(e, Outcome)]
    assert [UUID(bytes=each.outcome_id) for each in outcomes] == ids
    assert [each.scores["quality"] for each in outcomes] == [0.25, 0.75]
    assert metric(service, "routefold_outcomes_accepted_total", router="r") == 2


async def test_one_bad_report_keeps_all_others_out(
    start_service: StartService, log: EventsLog
) -> None:
    service = await start_service()
    await service.put_router(config())
    good = scored(service)

    with pytest.raises(InvalidReport) as invalid:
        await service.record([good, good, scored(service, 1.5)])
    with pytest.raises(BadToken) as forged:
        await service.record([good, OutcomeReport(turn_token="forged", status="ok")])

    assert invalid.value.field == "outcomes.2.scores.quality"
    assert forged.value.field == "outcomes.1.turn_token"
    await service.stop()
    assert await log.of(Outcome) == []


async def test_freshness_is_measured_from_acceptance_to_use(
    start_service: StartService, write: StateWriter
) -> None:
    service = await start_service()
    await service.put_router(config())
    await service.record([scored(service)])
    assert service.state("r")["freshness_ms"]["samples"] == 0

    partition = partition_of(b"s-1", 4)
    await write.publish(
        snapshot(observed("a", [1.0]), partition=partition, source_offset=1_000_000)
    )

    await eventually(lambda: service.state("r")["freshness_ms"]["samples"] == 1)
    assert service.state("r")["freshness_ms"]["p50"] > 0
    assert metric(service, "routefold_freshness_seconds_count") == 1


# Kafka is away


async def test_picks_go_on_and_outcomes_are_spooled_while_kafka_is_away(
    start_service: StartService, broker: Broker, log: EventsLog, tmp_path: Path
) -> None:
    service = await start_service(spool_path=tmp_path / "spool.db")
    await service.put_router(config())

    async with broker.killed():
        picks = [service.pick("r", PickRequest(session_id=f"s{i}")) for i in range(20)]
        reports = [OutcomeReport(turn_token=each.turn_token, status="ok") for each in picks]
        ids = await service.record(reports)
        assert service.ready

    async def all_there() -> bool:
        turns, outcomes = await log.of(Turn), await log.of(Outcome)
        return {each.turn_id for each in turns} == {each.turn_id.bytes for each in picks} and {
            each.outcome_id for each in outcomes
        } == {each.bytes for each in ids}

    await eventually(all_there, timeout_s=60)


async def test_without_a_spool_outcomes_are_refused_while_kafka_is_away(
    start_service: StartService, broker: Broker
) -> None:
    service = await start_service()
    await service.put_router(config())

    async with broker.killed():
        report = scored(service)
        with pytest.raises(Unavailable, match="not stored") as caught:
            await service.record([report])
        assert caught.value.retry_after_s > 0
        with pytest.raises(Unavailable):
            await service.put_router(config(arms="xyz"))
        assert service.pick("r", PickRequest()).arm in ("a", "b")


# Life


async def test_nothing_works_before_start_or_after_stop(
    stack: Servers, topics: Topics, start_service: StartService
) -> None:
    idle = RoutingService(
        bootstrap_servers=stack.bootstrap_servers, topics=topics, tokens=TOKENS, source="test"
    )
    assert not idle.ready
    with pytest.raises(NotReady):
        idle.pick("r", PickRequest())
    with pytest.raises(NotReady):
        await idle.record([])
    with pytest.raises(NotReady):
        await idle.put_router(config())
    await idle.stop()

    service = await start_service()
    with pytest.raises(UnknownRouter):
        service.pick("r", PickRequest())
    await service.stop()
    await service.stop()
    assert not service.ready
    with pytest.raises(NotReady):
        service.routers()


@pytest.mark.parametrize("missing", ["kafka", "topics"])
async def test_failed_start_is_clear_and_leaves_nothing_behind(
    start_service: StartService, tmp_path: Path, missing: str
) -> None:
    nobody = f"127.0.0.1:{choose(None)}"
    options: dict[str, Any] = (
        {"bootstrap_servers": nobody} if missing == "kafka" else {"topics": Topics("never-made")}
    )
    path = tmp_path / "spool.db"

    with pytest.raises(Unavailable, match=nobody if missing == "kafka" else "never-made"):
        await start_service(spool_path=path, **options)

    Spool(path).close()  # would be locked if it were still open
    assert {task.get_name() for task in asyncio.all_tasks()} & {"publisher", "subscriber"} == set()


async def test_metrics_of_two_services_are_apart(start_service: StartService) -> None:
    one, other = await start_service(), await start_service()
    await one.put_router(config())
    one.pick("r", PickRequest(request_type="general"))

    def published(service: RoutingService) -> float | None:
        return metric(service, "routefold_events_published_total")

    await eventually(lambda: published(one) == 1)
    assert published(other) == 0
    assert metric(one, "routefold_state_followed") == 1
    assert metric(one, "routefold_refused_evidence_rows_total") == 0
