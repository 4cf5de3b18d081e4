"""A whole router in one process and in simulated time: what it picks depends on no clock.

The way of an event is the real one, but for the servers. Picks come from `Router.choose`; turns and
outcomes are encoded, wait in a log of partitions, and are decoded, attributed and folded in batches
as the consumer's writer does, with dictionaries for Postgres; snapshots are encoded, decoded and
applied to the directory of every API replica. The same arguments give the same picks, bit by bit.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from consumer.facts import SessionKey
from consumer.fold import MAX_BATCH_EVENTS, ShareKey, TurnSets, fold, turns_of
from consumer.records import Batch, split
from consumer.routers import Routers
from consumer.sessions import SessionState, attribute
from consumer.shares import Shares
from consumer.writer import believe
from router_api.directory import Directory
from router_api.routing.router import Router, sticky_key
from schemas.codec import decode, encode
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.posterior import MetricEvidence
from schemas.router_config import RouterConfig
from schemas.snapshot import Snapshot
from tests.factories import T0, Record, uuid7

# How long an event waits for its batch: what the writer, the outbox and two ways through Kafka take
# together, so that an outcome changes picks after about 100 ms, as in production.
FOLD_EVERY_MS: Final = 100
_VERSION: Final = 1


@dataclass(slots=True)
class _Pending:
    """An outcome that is not reported before that many turns have been picked."""

    from_turns: int
    outcome: Outcome


class Learner:
    """One router with its log, its writer and its API replicas. Time passes only in `wait`."""

    def __init__(
        self,
        config: RouterConfig,
        rng: random.Random,
        *,
        replicas: int = 1,
        partitions: int = 1,
        delay_turns: int = 0,
        shuffle: bool = False,
        fold_every_ms: int = FOLD_EVERY_MS,
    ) -> None:
        """`delay_turns`: so many turns are picked before an outcome is reported. `shuffle`: the
        events of a batch, and the snapshots for a replica, arrive in any order."""
        self.config: Final = config
        self.now_ms = T0
        self.fold_every_ms = fold_every_ms
        self.writer: Final = MemoryWriter(partitions)
        self._rng = rng
        self._delay_turns = delay_turns
        # of its own, so that shuffling changes nothing but the order
        self._shuffler = random.Random(0) if shuffle else None
        self._folded_at_ms = T0
        self._turns = 0
        self._delayed: deque[_Pending] = deque()
        self._waiting: list[Turn | Outcome] = []
        self._directories = [Directory(partitions) for _ in range(replicas)]
        known = RouterConfigured(
            router=config.router,
            version=_VERSION,
            config=config.model_dump_json(),
            occurred_at=T0,
            source="benchmark",
        )
        self.writer.configure(known, T0)
        for directory in self._directories:
            directory.apply_config(known)

    def router(self, replica: int = 0) -> Router:
        """The router as one API replica has it."""
        return self._directories[replica].get(self.config.router)

    def evidence(
        self, request_type: str, replica: int = 0
    ) -> Mapping[str, Mapping[str, MetricEvidence]]:
        """{arm: {metric: evidence}}, as a replica reads it."""
        return self.router(replica).state.of(request_type).read().metrics

    def probabilities(self, request_type: str, replica: int = 0) -> Mapping[str, float]:
        """The chance of each arm, from all evidence that a replica has."""
        _, choices = self.router(replica).view(request_type, self.now_ms)
        return dict(zip(choices.table.arms, choices.table.probabilities, strict=True))

    def pick(self, request_type: str, *, session_id: str | None = None, replica: int = 0) -> Turn:
        """Pick an arm now, and log the turn."""
        turn_id = uuid7(self.now_ms, self._rng)
        router = self.router(replica)
        choice = router.choose(
            request_type, sticky_key(self.config, session_id, turn_id), now_ms=self.now_ms
        )
        turn = Turn(
            turn_id=turn_id,
            session_id=session_id,
            router=self.config.router,
            router_version=_VERSION,
            request_type=request_type,
            arm=choice.arm,
            eligible=choice.eligible,
            probability=choice.probability,
            snapshot_version=choice.snapshot_version,
            snapshot_age_ms=None,
            occurred_at=self.now_ms,
            source="benchmark",
        )
        self._turns += 1
        self._waiting.append(turn)
        return turn

    def report(self, turn: Turn, **fields: Any) -> None:
        """Report what was learned about a turn: fields of an `Outcome`."""
        outcome = Outcome(
            outcome_id=uuid7(self.now_ms, self._rng),
            turn_id=turn.turn_id,
            session_id=turn.session_id,
            router=turn.router,
            request_type=turn.request_type,
            arm=turn.arm,
            occurred_at=self.now_ms,
            source="benchmark",
            **fields,
        )
        self._delayed.append(_Pending(self._turns + self._delay_turns, outcome))

    def wait(self, ms: int) -> None:
        """Let time pass, and fold what is due."""
        self.now_ms += ms
        while self._delayed and self._delayed[0].from_turns <= self._turns:
            self._waiting.append(self._delayed.popleft().outcome)
        if self.now_ms - self._folded_at_ms >= self.fold_every_ms:
            self.fold()

    def fold(self) -> None:
        """Fold every event that has been reported, and give the snapshots to the replicas."""
        self._folded_at_ms = self.now_ms
        events, self._waiting = self._waiting, []
        if self._shuffler is not None:
            self._shuffler.shuffle(events)
        snapshots = self.writer.write(events, self.now_ms)
        for directory in self._directories:
            if self._shuffler is not None:
                self._shuffler.shuffle(snapshots)
            for snapshot in snapshots:
                directory.apply_snapshot(snapshot, self.now_ms)


class MemoryWriter:
    """The consumer's writer of every partition, with dictionaries for its store."""

    def __init__(self, partitions: int) -> None:
        self.dead = 0
        self.shares: Final = Shares()
        self._next_offsets = [0] * partitions
        self._routers: Routers = {}
        self._counted: dict[tuple[int, int, int], int] = {}
        self._sessions: dict[SessionKey, SessionState] = {}
        self._stream_time_ms: dict[int, int] = {}

    def configure(self, event: RouterConfigured, log_time_ms: int) -> None:
        """Log a configuration in every partition."""
        for partition in range(len(self._next_offsets)):
            self._write_log({partition: [self._record(partition, event, log_time_ms)]})

    def write(self, events: Iterable[Turn | Outcome], log_time_ms: int) -> list[Snapshot]:
        """Log and fold events; the snapshots that this changes, as they arrive at a reader."""
        log: dict[int, list[Record]] = {}
        for event in events:
            partition = crc32(event.key) % len(self._next_offsets)
            log.setdefault(partition, []).append(self._record(partition, event, log_time_ms))
        snapshots = []
        for key in sorted(self._write_log(log)):
            share = self.shares.snapshot(key, 1, self._next_offsets[key.partition])
            arrived = decode(encode(share))
            assert isinstance(arrived, Snapshot)
            snapshots.append(arrived)
        return snapshots

    def _record(
        self, partition: int, event: Turn | Outcome | RouterConfigured, log_time_ms: int
    ) -> Record:
        offset = self._next_offsets[partition]
        self._next_offsets[partition] += 1
        return Record(offset, log_time_ms, event.key, encode(event))

    def _write_log(self, log: Mapping[int, list[Record]]) -> set[ShareKey]:
        changed: set[ShareKey] = set()
        for piece in split(Batch.of(log), MAX_BATCH_EVENTS):
            changed |= self._write_batch(piece)
        return changed

    def _write_batch(self, batch: Batch) -> set[ShareKey]:
        self._routers, facts = believe(batch, self._routers)
        self.dead += len(facts.dead)
        facts, sessions = attribute(facts, self._routers, self._sessions, self._stream_time_ms)
        turns = turns_of(facts.events)
        ids = _ids(turns)
        folded = fold(facts, turns, self._counted_before(ids), self._stream_time_ms)
        self._sessions.update(sessions)
        self._counted.update(zip(ids, folded.counted.tolist(), strict=True))
        self._stream_time_ms.update(folded.stream_time_ms)
        return self.shares.add(folded)

    def _counted_before(self, ids: list[tuple[int, int, int]]) -> NDArray[np.int64]:
        return np.array([self._counted.get(each, 0) for each in ids], dtype=np.int64)


def _ids(turns: TurnSets) -> list[tuple[int, int, int]]:
    columns = turns.partition.tolist(), turns.hi.tolist(), turns.lo.tolist()
    return list(zip(*columns, strict=True))
