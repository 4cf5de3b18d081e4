"""The whole router, without a web framework: for the HTTP API, and for a gateway's own process.

Reads configurations and snapshots from Kafka, picks from memory, and publishes what happened. Any
number of services may run, in one process too: all that they learn, they learn from the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from prometheus_client import CollectorRegistry
from uuid_utils import uuid7

from producer.classifier import RequestClassifier, classify
from producer.errors import EventRefused, ProducerError, PublishFailed
from producer.publisher import Publisher
from producer.signals import detect
from producer.spool import Spool
from router_api.directory import ConfigVersion, Directory
from router_api.errors import InvalidReport, NotReady, RequestError, Unavailable
from router_api.freshness import FreshnessTracker
from router_api.metrics import Metrics, Reading
from router_api.picks import Pick, Picker, PickRequest
from router_api.reactions import SignalDetector
from router_api.readings import learning, publishing
from router_api.reports import OutcomeReport, to_outcome
from router_api.routing.state import ShareKey
from router_api.state_view import state_view
from router_api.subscriber import Subscriber
from router_api.tokens import TurnTokens
from schemas.errors import ContractError
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.router_config import RouterConfig
from schemas.topics import Topics

__all__ = ["OutcomeReport", "Pick", "PickRequest", "RouterSummary", "RoutingService"]

# Another writer won the race for a version: take the next. More often is a fight, not a race.
_PUT_ATTEMPTS: Final = 5
# The broker has the configuration; it comes back in milliseconds unless Kafka goes away just then.
_PUT_ECHO_S: Final = 5.0
# Checking a report takes some 20 µs; after a slice the event loop may serve a pick.
_REPORT_SLICE: Final = 64


class RouterSummary(NamedTuple):
    """A router by name."""

    name: str
    version: int
    arms: tuple[str, ...]
    request_types: tuple[str, ...]


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class RoutingService:
    """One replica of the router. All calls belong to the event loop that started it."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topics: Topics,
        tokens: TurnTokens,
        source: str,
        spool_path: Path | None = None,
        classifier: RequestClassifier = classify,
        detector: SignalDetector = detect,
        now_ms: Callable[[], int] = wall_clock_ms,
        registry: CollectorRegistry | None = None,
        kafka_options: Mapping[str, Any] | None = None,
    ) -> None:
        """`source` names this replica's owner in every event. Without `spool_path` outcomes are
        refused, and turns dropped in the end, while Kafka is away. `registry` is where the metrics
        go, a new one if left out (`metrics.registry`). `kafka_options` are keyword arguments for
        aiokafka's clients: security_protocol, ssl_context, sasl_...
        """
        self.metrics: Final = Metrics(registry)
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._tokens = tokens
        self._source = source
        self._spool_path = spool_path
        self._now_ms = now_ms
        self._kafka_options = dict(kafka_options or {})
        self._freshness = FreshnessTracker(observe=self.metrics.freshness_seconds.observe)
        self._subscriber = Subscriber(
            bootstrap_servers=bootstrap_servers,
            topics=topics,
            now_ms=now_ms,
            observer=self._freshness,
            kafka_options=self._kafka_options,
        )
        self._picker = Picker(
            find_router=lambda name: self._subscriber.directory.get(name),
            emit=self._emit,
            tokens=tokens,
            classifier=classifier,
            detector=detector,
            metrics=self.metrics,
            now_ms=now_ms,
            source=source,
        )
        self._publisher: Publisher | None = None
        self._putting = asyncio.Lock()
        self.metrics.read_from(self._readings)

    @property
    def ready(self) -> bool:
        """True once the state has been read to where it ended at the start, until `stop`.

        Stays true while Kafka is away: picks are served from memory.
        """
        return self._publisher is not None and self._subscriber.ready

    async def start(self) -> None:
        """Connect to Kafka, and begin to read the state; `ready` follows.

        Raises Unavailable within some 20 s when Kafka does not answer, lacks the topics, or the
        spool can't be opened; then nothing is left behind.
        """
        try:
            spool = None if self._spool_path is None else Spool(self._spool_path)
            self._publisher = Publisher(
                bootstrap_servers=self._bootstrap_servers,
                topics=self._topics,
                spool=spool,
                kafka_options=self._kafka_options,
            )
            await self._publisher.start()
            await self._subscriber.start()
        except ProducerError as error:
            await self.stop()
            raise Unavailable(str(error)) from error
        except BaseException:
            await self.stop()
            raise

    async def wait_ready(self, timeout_s: float) -> bool:
        """Wait until `ready`; False if that takes longer than `timeout_s`."""
        return await self._subscriber.wait_ready(timeout_s) and self.ready

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Stop reading; send or spool what is queued within `timeout_s`. Again does nothing."""
        publisher, self._publisher = self._publisher, None
        await self._subscriber.stop()
        if publisher is not None:
            await publisher.stop(timeout_s)

    def pick(self, router: str, request: PickRequest) -> Pick:
        """Choose an arm; the turn goes out in the background.

        From memory alone: nothing is awaited, and Kafka being away changes nothing. Raises NotReady
        and what `Picker.pick` raises.
        """
        self._require_ready()
        return self._picker.pick(router, request)

    async def record(self, reports: Sequence[OutcomeReport]) -> list[UUID]:
        """Store outcomes, all or none; their ids, in order, once broker or spool has them.

        Raises, before anything is stored, BadToken, UnknownArm or InvalidReport (fields begin with
        "outcomes.N"), NotReady; and Unavailable when neither took them: send all of them again with
        the same ids, what was stored twice counts once.
        """
        publisher = self._require_ready()
        outcomes = await self._outcomes(reports)
        try:
            positions = await publisher.publish(outcomes)
        except PublishFailed as error:
            raise Unavailable(f"the outcomes are not stored: {error}") from error
        except ContractError as error:
            raise InvalidReport("outcomes", str(error)) from error
        for outcome, position in zip(outcomes, positions, strict=True):
            self.metrics.outcome_accepted(outcome.router)
            if position is not None and position.offset >= 0:
                share = ShareKey(outcome.router, outcome.request_type, position.partition)
                self._freshness.accepted(share, position.offset)
        return [UUID(bytes=outcome.outcome_id) for outcome in outcomes]

    async def put_router(self, config: RouterConfig) -> tuple[int, bool]:
        """Put a configuration in force everywhere; (version, whether it was changed).

        Returns when the log has it and, unless Kafka goes away meanwhile, this replica uses it.
        The text that is in force already is not published again. Of two at once one comes after the
        other. Raises NotReady, RequestError, or Unavailable: then it may or may not come into
        force; put it again.
        """
        publisher = self._require_ready()
        text = config.model_dump_json()
        async with self._putting:
            changed = False
            for _ in range(_PUT_ATTEMPTS):
                known = self._directory.config(config.router)
                if known is not None and known.text == text:
                    return known.version, changed
                wanted = ConfigVersion(known.version + 1 if known else 1, text)
                await self._publish_config(publisher, config.router, wanted)
                changed = True
                in_force = partial(self._in_force, config.router, wanted)
                if not await self._subscriber.wait_for(in_force, _PUT_ECHO_S):
                    return wanted.version, changed
        raise Unavailable(f"router {config.router!r} is being configured by others all the time")

    def routers(self) -> list[RouterSummary]:
        """The routers that are known, by name. Raises NotReady."""
        self._require_ready()
        return [
            RouterSummary(
                name, router.version, router.config.arm_names, router.config.request_types
            )
            for name, router in sorted(self._directory.routers.items())
        ]

    def state(self, router: str) -> dict[str, Any]:
        """What a router has learned, ready for JSON (`state_view`). Raises UnknownRouter, NotReady.

        Takes some milliseconds: up to 2 for each request type whose evidence has changed.
        """
        self._require_ready()
        directory = self._directory
        return state_view(
            directory.get(router),
            directory.progress.dead,
            self._freshness.of(router),
            self._now_ms(),
        )

    @property
    def _directory(self) -> Directory:
        return self._subscriber.directory

    def _require_ready(self) -> Publisher:
        if self._publisher is None:
            raise NotReady("this replica is not started")
        if not self._subscriber.ready:
            raise NotReady("this replica is still reading its state; ask again in a moment")
        return self._publisher

    def _emit(self, event: Turn | Outcome, traceparent: str | None) -> None:
        if self._publisher is not None:
            self._publisher.publish_nowait(event, traceparent)

    async def _outcomes(self, reports: Sequence[OutcomeReport]) -> list[Outcome]:
        now_ms = self._now_ms()
        outcomes = []
        for index, report in enumerate(reports):
            outcomes.append(
                to_outcome(
                    report,
                    path=f"outcomes.{index}",
                    read_token=self._tokens.read,
                    find_router=self._directory.routers.get,
                    outcome_id=uuid7().bytes,
                    now_ms=now_ms,
                    source=self._source,
                )
            )
            if index % _REPORT_SLICE == _REPORT_SLICE - 1:
                await asyncio.sleep(0)
        return outcomes

    async def _publish_config(
        self, publisher: Publisher, router: str, version: ConfigVersion
    ) -> None:
        event = RouterConfigured(
            router=router,
            version=version.version,
            config=version.text,
            occurred_at=self._now_ms(),
            source=self._source,
        )
        try:
            await publisher.publish_config(event)
        except EventRefused as error:
            raise RequestError(str(error), "router") from error
        except ProducerError as error:
            raise Unavailable(f"the configuration is not published: {error}") from error

    def _in_force(self, router: str, version: ConfigVersion) -> bool:
        known = self._directory.config(router)
        return known is not None and known >= version

    def _readings(self) -> Iterator[Reading]:
        subscriber = self._subscriber
        yield from learning(
            subscriber.directory, subscriber.bad_records, subscriber.connected, self._now_ms()
        )
        if self._publisher is not None:
            yield from publishing(self._publisher.stats)
