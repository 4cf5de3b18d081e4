"""One writer: folds batches of its partitions into the store, each in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consumer.decode import decode_batch
from consumer.errors import LogMismatch
from consumer.facts import Facts, facts_of
from consumer.fold import (
    MAX_BATCH_EVENTS,
    Counts,
    Fold,
    ShareKey,
    complete,
    prepare,
    turns_of,
)
from consumer.progress import Progress
from consumer.rebuild.settings import RebuildSettings, RevisedLog
from consumer.recent import RecentSessions, RecentTurns
from consumer.records import Batch, DeadLetter, split
from consumer.routers import Routers, configure
from consumer.sessions import Sessions, attribute, turns_moved
from consumer.shares import Shares
from consumer.store import Store
from consumer.transaction import Transaction
from schemas.errors import InvalidConfig
from schemas.router_config import parse_config
from schemas.snapshot import Snapshot

REASON_CONFIG: Final = "invalid_config"


@dataclass(frozen=True, slots=True)
class Committed:
    """What one committed batch did."""

    changed: set[ShareKey]
    counts: Counts
    dead: Sequence[DeadLetter]


class Writer:
    """Owns the state of its partitions between batches; `store` owns it for good.

    `settings` are those of its tables: what a promoted rebuild was folded with, it is written with.

    After any exception but Fenced the partitions must be taken again: only the store knows whether
    the last transaction was committed.
    """

    def __init__(
        self,
        store: Store,
        settings: RebuildSettings | None = None,
        *,
        turns: RecentTurns | None = None,
        sessions: RecentSessions | None = None,
    ) -> None:
        """`turns` and `sessions` remember those of late; left out, as many as usual."""
        revised = settings if settings is not None else RebuildSettings()
        self._store = store
        self._log = RevisedLog(revised, strict=False)
        self._without_arms = frozenset(revised.exclude_arms)
        self._progress: dict[int, Progress] = {}
        self._routers: Routers = {}
        self._turns = RecentTurns() if turns is None else turns
        self._sessions = RecentSessions() if sessions is None else sessions
        self.shares = Shares()
        # Rows of the partitions taken that could not be evidence, and were left out.
        self.refused_rows = 0

    @property
    def progress(self) -> dict[int, Progress]:
        """Progress by partition, for the partitions owned now."""
        return self._progress

    async def take(self, partitions: Iterable[int]) -> list[Progress]:
        """Become the writer of these partitions, and load what is known about them.

        Raises GenerationChanged where other tables have become live.
        """
        wanted = sorted(partitions)
        taken = await self._store.take(wanted)
        self.drop(wanted)
        self._routers |= await self._store.routers(wanted)
        for partition, newest in (await self._store.newest_turns(wanted)).items():
            self._turns.take(partition, newest)
        counts = await self._store.counts(wanted)
        self.refused_rows += self.shares.load(counts, await self._store.evidence(wanted))
        self._progress |= {progress.partition: progress for progress in taken}
        return taken

    def drop(self, partitions: Iterable[int]) -> None:
        """Stop being the writer of these partitions. Nothing needs to be written."""
        gone = set(partitions)
        self._progress = {p: at for p, at in self._progress.items() if p not in gone}
        self._routers = {key: r for key, r in self._routers.items() if key[0] not in gone}
        self._turns.drop(gone)
        self._sessions.drop(gone)
        self.shares.drop(gone)

    async def write(self, batch: Batch) -> list[Committed]:
        """Fold records that follow on from each partition's next offset.

        Records of a partition that is not owned are ignored. Raises Fenced, LogMismatch, or what
        the database driver raises.
        """
        mine: list[Batch] = []
        for partition, rows in batch.rows_by_partition().items():
            if partition in self._progress:
                mine.append(batch[rows])
                _check_order(self._progress[partition].next_offset, partition, batch.offset[rows])
        if not mine:
            return []
        committed: list[Committed] = []
        for piece, ends in self._pieces(Batch.joined(mine)):
            committed.append(await self._write_batch(piece, ends))
            # heartbeats and snapshots must get their turn while the log is caught up with
            await asyncio.sleep(0)
        return committed

    def _pieces(self, batch: Batch) -> Iterator[tuple[Batch, dict[int, int]]]:
        """The records as the settings would have them, cut into batches, each with the next offset
        of its partitions behind it."""
        ends = _next_offsets(batch)
        revised = self._log.revise(batch)
        left = {p: rows.stop - rows.start for p, rows in revised.rows_by_partition().items()}
        # of a partition that nothing is left of, only the position moves
        if passed := {p: end for p, end in ends.items() if p not in left}:
            yield revised[:0], passed
        for piece in split(revised, MAX_BATCH_EVENTS):
            for partition, rows in piece.rows_by_partition().items():
                left[partition] -= rows.stop - rows.start
            yield piece, {p: at if left[p] else ends[p] for p, at in _next_offsets(piece).items()}

    def snapshot(self, key: ShareKey) -> Snapshot | None:
        """A share as routers need it: without arms that the configuration has no more (their
        evidence stays in the store); None where it has the whole request type no more.

        The partition must be owned. Raises KeyError for a share that there is none of.
        """
        at = self._progress[key.partition]
        config = self._routers[key.partition, key.router].configured
        if key.request_type not in config.request_types:
            return None
        arms = frozenset(config.arm_names)
        return self.shares.snapshot(key, at.epoch, at.next_offset, arms, at.generation)

    async def forget(self) -> None:
        """Drop what is never read again: sets of turns whose attribution window has passed, and
        evidence that has decayed to nothing."""
        for partition, progress in self._progress.items():
            await self._store.forget_eras(partition)
            windows = [r.window_ms for (p, _), r in self._routers.items() if p == partition]
            if windows:
                await self._store.forget_turns(partition, progress.stream_time_ms - max(windows))

    async def forget_sessions(self) -> None:
        """Drop sessions whose last turn's window has passed."""
        for partition, progress in self._progress.items():
            windows = [r.window_ms for (p, _), r in self._routers.items() if p == partition]
            if windows:
                before_ms = progress.stream_time_ms - max(windows)
                await self._store.forget_sessions(partition, before_ms)
                self._sessions.forget_before(partition, before_ms)

    async def _known_sessions(self, transaction: Transaction, facts: Facts) -> Sessions:
        """Those of the batch's sessions that are stored, as they are."""
        known, unknown = self._sessions.split({event.session for event in facts.sessions})
        known.update(await transaction.sessions(unknown))
        return known

    async def _write_batch(self, batch: Batch, ends: Mapping[int, int]) -> Committed:
        routers, facts = believe(batch, self._routers)
        before = [self._progress[partition] for partition in ends]
        stream_time = {p.partition: p.stream_time_ms for p in before}
        async with self._store.transaction(before) as transaction:
            known = await self._known_sessions(transaction, facts)
            voided = await transaction.voided(turns_moved(facts))
            facts, sessions = attribute(facts, routers, known, stream_time, voided)
            turns = turns_of(facts.events)
            counted, unknown = self._turns.counted(turns)
            counted += await transaction.counted(turns, unknown)
            prepared = prepare(facts, turns, counted, stream_time)
            folded = complete(prepared, await transaction.ledgers(turns, prepared.to_settle))
            folded = without_arms(folded, self._without_arms)
            await transaction.save_turns(
                turns, counted, folded.counted, folded.entries, folded.ledgers
            )
            await transaction.save_sessions(sessions, stored=known)
            await transaction.add(folded)
            await transaction.save_routers(
                (key[0], router)
                for key, router in routers.items()
                if self._routers.get(key) is not router
            )
            await transaction.bury(batch, facts.dead)
            after = _advanced(before, ends, folded, facts.dead, batch)
            await transaction.advance(before, after)
        reconfigured = {key for key, known in routers.items() if self._routers.get(key) != known}
        self._routers = routers
        self._progress |= {progress.partition: progress for progress in after}
        self._turns.keep(turns, folded.counted)
        self._sessions.keep(sessions)
        total = Counts()
        for counts in folded.counts.values():
            total.add(counts)
        changed = self.shares.add(folded) | self.shares.of_routers(reconfigured)
        return Committed(changed, total, facts.dead)


def _next_offsets(batch: Batch) -> dict[int, int]:
    """By partition the offset behind its last record."""
    rows_of = batch.rows_by_partition()
    return {partition: int(batch.offset[rows.stop - 1]) + 1 for partition, rows in rows_of.items()}


def believe(batch: Batch, routers: Routers) -> tuple[Routers, Facts]:
    """The routers after the batch's configurations, and the facts of its events. Pure."""
    decoded = decode_batch(batch)
    dead = list(decoded.dead)
    for row, event in decoded.configs:
        try:
            if batch.keys[row] != event.key:
                raise InvalidConfig(f"key {batch.keys[row]!r} should be {event.key!r}")
            config = parse_config(event.config)
            if config.router != event.router:
                raise InvalidConfig(f"configuration of {config.router!r} under {event.router!r}")
            routers = configure(routers, int(batch.partition[row]), event.version, config)
        except InvalidConfig as error:
            dead.append(DeadLetter(row, REASON_CONFIG, str(error)))
    return routers, facts_of(batch, replace(decoded, dead=dead), routers)


def _check_order(next_offset: int, partition: int, offsets: NDArray[np.int64]) -> None:
    """Everything rests on folding the log in order, each record once; so it is checked."""
    gains = np.diff(offsets, prepend=next_offset - 1)
    if (gains > 0).all():
        return
    wrong = int(np.argmax(gains <= 0))
    expected = int(offsets[wrong - 1]) + 1 if wrong else next_offset
    raise LogMismatch(
        f"partition {partition}: got offset {offsets[wrong]} where {expected} or later was due; "
        "this is a fault of the consumer, restart it"
    )


def without_arms(folded: Fold, arms: Container[str]) -> Fold:
    """The fold without the evidence of these arms; everything else of them stays."""
    if not arms:
        return folded
    evidence = {
        share: {series: sums for series, sums in rows.items() if series.arm not in arms}
        for share, rows in folded.evidence.items()
    }
    return replace(folded, evidence=evidence)


def _advanced(
    before: Sequence[Progress],
    ends: Mapping[int, int],
    folded: Fold,
    dead: Sequence[DeadLetter],
    batch: Batch,
) -> list[Progress]:
    after = {
        p.partition: replace(
            p,
            next_offset=ends[p.partition],
            stream_time_ms=folded.stream_time_ms.get(p.partition, p.stream_time_ms),
        )
        for p in before
    }
    for key, counts in folded.counts.items():
        progress = after[key.partition]
        progress.folded += counts.folded
        progress.duplicates += counts.duplicates
        progress.late += counts.late
    for letter in dead:
        after[int(batch.partition[letter.row])].dead += 1
    return [after[p.partition] for p in before]
