"""Changed shares to the snapshots topic, after their commit.

Postgres is the truth and the topic an echo of it: what fails to go out is sent again, newer state
replaces older unsent state, and readers ignore what they already have. Taking a partition publishes
all its shares, which heals a crash between commit and publish, and a snapshots topic that was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumer.fold import ShareKey
from consumer.metrics import ConsumerMetrics
from consumer.progress import Progress
from schemas import events
from schemas.codec import encode
from schemas.snapshot import Snapshot, snapshot_key

log = structlog.get_logger(__name__)

# A share changes with nearly every batch. Sending it at most 33 times a second keeps routers within
# 30 ms of the commit and the topic small.
MIN_INTERVAL_S: Final = 0.03
# While a backlog is folded every share changes all the time; publishing takes at most two fifths of
# the time, whatever the number of shares.
REST: Final = 1.5
RETRY_S: Final = 1.0
Message = tuple[bytes, bytes | None]  # key, value; None is a tombstone


class Outbox:
    """Publishes the shares marked as changed, newest state only.

    `snapshot` gives a share, and `owned` the writer's progress by partition, as they are now. A
    share of a partition that is no longer owned is not sent, nor one that `snapshot` raises a
    KeyError for, as other tables are live by now; None is a tombstone. One outbox serves for the
    life of the process: a writer that starts anew after an outage publishes through the same.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        snapshot: Callable[[ShareKey], Snapshot | None],
        owned: Callable[[], dict[int, Progress]],
        metrics: ConsumerMetrics,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._snapshot = snapshot
        self._owned = owned
        self._metrics = metrics
        self._changed: set[ShareKey] = set()
        self._moved: set[int] = set()
        self._wake = asyncio.Event()

    def mark(self, changed: Iterable[ShareKey], moved: Iterable[int]) -> None:
        """These shares have changed, and these partitions have advanced, by a commit."""
        self._changed.update(changed)
        self._moved.update(moved)
        self._wake.set()

    async def run_once(self) -> None:
        """Wait until something is marked, publish it, and rest a moment."""
        await self._wake.wait()
        try:
            started = time.monotonic()
            await self.flush()
            took = time.monotonic() - started
            await asyncio.sleep(max(MIN_INTERVAL_S - took, REST * took))
        except KafkaError as error:
            log.warning("snapshots not published, will retry", error=repr(error))
            await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Publish all that is marked. On failure everything stays marked."""
        self._wake.clear()
        changed, self._changed = self._changed, set()
        moved, self._moved = self._moved, set()
        try:
            shares, progress = self._messages(changed, moved)
            # A router takes a partition's progress as the word that it has all shares before it.
            await self._send(shares)
            await self._send(progress)
        except BaseException:
            self.mark(changed, moved)
            raise
        self._metrics.snapshots.inc(len(shares) + len(progress))

    async def _send(self, messages: Iterable[Message]) -> None:
        sent = [
            await self._producer.send(self._topic, key=key, value=value) for key, value in messages
        ]
        await asyncio.gather(*sent)

    def _messages(
        self, changed: Iterable[ShareKey], moved: Iterable[int]
    ) -> tuple[Sequence[Message], Sequence[Message]]:
        """Shares, and progress. Nothing is awaited, so that they are of one moment."""
        owned = self._owned()
        shares: list[Message] = []
        for key in sorted(changed):
            if key.partition not in owned:
                continue
            with contextlib.suppress(KeyError):
                snapshot = self._snapshot(key)
                name = snapshot_key(key.router, key.request_type, key.partition)
                shares.append((name, None if snapshot is None else encode(snapshot)))
        messages: list[Message] = []
        for partition in sorted(moved):
            if at := owned.get(partition):
                progress = events.Progress(
                    **{name: getattr(at, name) for name in events.Progress.__dataclass_fields__}
                )
                messages.append((progress.key, encode(progress)))
        return shares, messages
