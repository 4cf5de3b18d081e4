"""Postgres: the only place where what was learned is kept.

One transaction per batch holds everything a batch adds and the advance of its partitions, which
succeeds only for the writer that took them last (compare-and-set on epoch and next offset). A
writer that has been overtaken gets `Fenced` and has written nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from consumer.connection import connect, prepare
from consumer.copy_binary import pack, unpack, uuid_column
from consumer.errors import Fenced, GenerationChanged
from consumer.facts import SessionKey
from consumer.fold import Counts, Fold, ShareKey, TurnSets
from consumer.generations import FIRST, Generation
from consumer.ledger import Ledger
from consumer.migrate import SCHEMA
from consumer.ragged import NOTHING, Ragged
from consumer.records import Batch, DeadLetter
from consumer.routers import KnownRouter, PinnedHalfLives, Routers
from consumer.rows import (
    EvidenceRow,
    columns_of,
    copy_evidence,
    copy_sessions,
    read_evidence_row,
    read_session,
    turn_columns,
)
from consumer.sessions import Sessions, TurnKey, Voided
from consumer.sql import sql


@dataclass(slots=True)
class Progress:
    """How far this writer has folded one partition, under its own epoch."""

    partition: int
    epoch: int
    next_offset: int
    folded: int = 0
    duplicates: int = 0
    late: int = 0
    dead: int = 0
    stream_time_ms: int = 0
    generation: int = 0


class Store:
    """One connection, one writer, the tables of one schema for life.

    `generation` is what was live when they were opened; None where they were named.
    """

    def __init__(
        self, connection: psycopg.AsyncConnection, generation: Generation | None = None
    ) -> None:
        self.generation: Final = generation
        self.unannounced = generation if generation and not generation.announced else None
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str, schema: str = SCHEMA) -> Store:
        """The tables of a schema. Raises Unreachable when the server does not answer."""
        connection = await connect(dsn)
        await prepare(connection, schema)
        return cls(connection)

    @classmethod
    async def connect_live(cls, dsn: str) -> Store:
        """The tables that are live now. Raises Unreachable when the server does not answer."""
        connection = await connect(dsn)
        row = await (await connection.execute(sql("live_generation"))).fetchone()
        generation = FIRST if row is None else Generation.of(row)
        await prepare(connection, generation.schema)
        return cls(connection, generation)

    async def close(self) -> None:
        await self._connection.close()

    async def take(self, partitions: Iterable[int]) -> list[Progress]:
        """Become the writer of these partitions: raises their epoch, then reads where to go on.

        Raises GenerationChanged where other tables have become live since these were opened.
        """
        taken: list[Progress] = []
        number = self.generation.number if self.generation is not None else 0
        async with self._connection.transaction():
            if self.generation is not None:
                await self._connection.execute(sql("hold_generation"))
                if not await self.is_live():
                    raise GenerationChanged(f"generation {number} is no longer live")
            for partition in sorted(partitions):
                cursor = await self._connection.execute(
                    sql("take_partition"), {"partition": partition}
                )
                row = await cursor.fetchone()
                assert row is not None
                taken.append(Progress(partition, *row))
                taken[-1].generation = number
        return taken

    async def is_live(self) -> bool:
        """False once other tables have become live since these were opened."""
        cursor = await self._connection.execute(sql("live_number"))
        row = await cursor.fetchone()
        return self.generation is None or row == (self.generation.number,)

    async def mark_announced(self) -> None:
        """The switch to this generation is in the log."""
        if self.unannounced is not None:
            number = {"generation": self.unannounced.number}
            await self._connection.execute(sql("mark_announced"), number)
            self.unannounced = None

    async def routers(self, partitions: Iterable[int]) -> Routers:
        """What these partitions know about each router."""
        cursor = await self._connection.execute(
            sql("load_routers"), {"partitions": list(partitions)}
        )
        return {
            (row[0], row[1]): KnownRouter(
                router=row[1],
                version=row[2],
                config_text=row[3],
                window_ms=row[4],
                arms=tuple(row[5]),
                request_types=tuple(row[6]),
                declared_metrics=tuple(row[7]),
                signals=tuple(row[8]),
                half_lives=PinnedHalfLives(*row[9:13]),
            )
            for row in await cursor.fetchall()
        }

    async def counts(self, partitions: Iterable[int]) -> list[tuple[ShareKey, Counts]]:
        """Event counts of these partitions."""
        wanted = {"partitions": list(partitions)}
        cursor = await self._connection.execute(sql("load_counts"), wanted)
        return [(ShareKey(*row[:3]), Counts(*row[3:])) for row in await cursor.fetchall()]

    async def evidence(self, partitions: Iterable[int]) -> list[EvidenceRow]:
        """Evidence rows of these partitions that a reader still sees."""
        wanted = {"partitions": list(partitions)}
        cursor = await self._connection.execute(sql("load_evidence"), wanted)
        return list(map(read_evidence_row, await cursor.fetchall()))

    async def newest_turns(self, partitions: Iterable[int]) -> dict[int, bytes | None]:
        """The greatest turn id that each of these partitions has a set of."""
        cursor = await self._connection.execute(
            sql("newest_turns"), {"partitions": list(partitions)}
        )
        rows = await cursor.fetchall()
        return {partition: newest.bytes if newest else None for partition, newest in rows}

    async def forget_turns(self, partition: int, before_ms: int) -> int:
        """Drop the sets of turns older than `before_ms`; how many there were."""
        bound = UUID(int=max(before_ms, 0) << 80)
        cursor = await self._connection.execute(
            sql("forget_turns"), {"partition": partition, "before": bound}
        )
        return cursor.rowcount

    async def forget_sessions(self, partition: int, before_ms: int) -> int:
        """Drop sessions whose last turn is older than `before_ms`; how many there were."""
        bound = UUID(int=max(before_ms, 0) << 80)
        cursor = await self._connection.execute(
            sql("forget_sessions"), {"partition": partition, "before": bound}
        )
        return cursor.rowcount

    async def forget_eras(self, partition: int) -> int:
        """Drop evidence rows that have decayed to nothing; how many there were."""
        cursor = await self._connection.execute(sql("forget_eras"), {"partition": partition})
        return cursor.rowcount

    @asynccontextmanager
    async def transaction(self, owned: Sequence[Progress]) -> AsyncIterator[Transaction]:
        """One batch. Raises Fenced at once when another writer has taken one of the partitions."""
        async with self._connection.transaction():
            cursor = await self._connection.execute(
                sql("lock_progress"), {"partitions": [p.partition for p in owned]}
            )
            found = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
            for progress in owned:
                at = found.get(progress.partition)
                if at != (progress.epoch, progress.next_offset):
                    raise _fenced(progress, at)
            yield Transaction(self._connection)


def _fenced(mine: Progress, found: tuple[int, int] | None) -> Fenced:
    return Fenced(
        f"partition {mine.partition} has another writer: this one holds epoch {mine.epoch} at "
        f"offset {mine.next_offset}, the database says {found}. Nothing was written; restart to "
        "join again"
    )


class Transaction:
    """The statements of one batch."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def counted(
        self, turns: TurnSets, which: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """For each turn the set of facts already counted; 0 for a turn not seen before, and for
        those that are not looked for."""
        counted = np.zeros(len(turns), dtype=np.int64)
        places = np.arange(len(turns)) if which is None else np.flatnonzero(which)
        if not len(places):
            return counted
        incoming = pack(
            int4_turn=places,
            int4_partition=turns.partition[places],
            uuid_turn=uuid_column(turns.hi[places], turns.lo[places]),
        )
        async with self._connection.cursor() as cursor:
            async with cursor.copy(sql("copy_incoming_turns")) as copy:
                await copy.write(incoming)
            async with cursor.copy(sql("copy_counted")) as copy:
                stream = b"".join([bytes(chunk) async for chunk in copy])
        index, sets = unpack(stream, "int4", "int8")
        counted[index] = sets
        return counted

    async def sessions(self, keys: Sequence[SessionKey]) -> Sessions:
        """Those of these sessions that are known."""
        if not keys:
            return {}
        incoming = pack(
            int4_partition=np.array([key.partition for key in keys]),
            uuid_session=np.frombuffer(b"".join(key.digest for key in keys), dtype="V16"),
        )
        async with self._connection.cursor(binary=True) as cursor:
            async with cursor.copy(sql("copy_incoming_sessions")) as copy:
                await copy.write(incoming)
            await cursor.execute(sql("read_sessions"))
            return dict(map(read_session, await cursor.fetchall()))

    async def save_sessions(
        self, changed: Sessions, stored: Container[SessionKey] | None = None
    ) -> None:
        """Store the sessions that a batch has changed. `stored` says which of them there are rows
        of; without it they are looked for."""
        if not changed:
            return
        new = [] if stored is None else [each for each in changed.items() if each[0] not in stored]
        old = [each for each in changed.items() if stored is None or each[0] in stored]
        async with self._connection.cursor() as cursor:
            if new:
                async with cursor.copy(sql("copy_new_sessions")) as copy:
                    await copy.write(copy_sessions(new))
            if old:
                async with cursor.copy(sql("copy_changed_sessions")) as copy:
                    await copy.write(copy_sessions(old))
                await cursor.execute(sql("save_sessions" if stored is None else "update_sessions"))

    async def save_turns(
        self,
        turns: TurnSets,
        before: NDArray[np.int64],
        after: NDArray[np.int64],
        entries: Ragged | None = None,
        ledgers: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        """Store the sets and ledgers that a batch has changed, as `Fold` has them."""
        if entries is None:
            entries = Ragged(np.zeros(len(turns), dtype=np.int64), NOTHING.data)
        new = (before == 0) & (after != 0)
        changed = (before != 0) & (after != before)
        new[list(ledgers)] = changed[list(ledgers)] = False
        async with self._connection.cursor() as cursor:
            for which, statement in ((new, "new"), (changed, "changed")):
                if not which.any():
                    continue
                rows = pack(
                    int4_partition=turns.partition[which],
                    uuid_turn=uuid_column(turns.hi[which], turns.lo[which]),
                    int8_counted=after[which],
                    bytea=entries.where(which),
                )
                async with cursor.copy(sql(f"copy_{statement}_turns")) as copy:
                    await copy.write(rows)
            if changed.any():
                await cursor.execute(sql("update_turns"))
            if ledgers:
                places = list(ledgers)
                columns = turn_columns(turns, places)
                columns |= {"counted": after[places].tolist(), "ledger": list(ledgers.values())}
                await cursor.execute(sql("save_ledgers"), columns)

    async def ledgers(self, turns: TurnSets, places: Sequence[int]) -> dict[int, bytes]:
        """The ledgers of some turns, given and returned by index; b"" where there is none."""
        ledgers = dict.fromkeys(places, b"")
        if places:
            columns = {"place": list(places), **turn_columns(turns, places)}
            cursor = await self._connection.execute(sql("read_ledgers"), columns, binary=True)
            ledgers |= dict(await cursor.fetchall())
        return ledgers

    async def voided(self, turns: Iterable[TurnKey]) -> Voided:
        """The outcomes of these turns that are void."""
        keys = list(turns)
        if not keys:
            return {}
        columns = {
            "place": list(range(len(keys))),
            "partition": [key.partition for key in keys],
            "turn_id": [UUID(bytes=key.turn_id) for key in keys],
        }
        cursor = await self._connection.execute(sql("read_ledgers"), columns, binary=True)
        read = {keys[place]: Ledger.read(data) for place, data in await cursor.fetchall()}
        return {key: ledger.voided for key, ledger in read.items() if ledger.voided}

    async def add(self, fold: Fold) -> None:
        """Add evidence and event counts."""
        if any(fold.evidence.values()):
            async with self._connection.cursor() as cursor:
                async with cursor.copy(sql("copy_evidence")) as copy:
                    await copy.write(copy_evidence(fold.evidence))
                await cursor.execute(sql("add_evidence"))
        counts = sorted(fold.counts.items(), key=lambda item: item[0])
        if counts:
            fields = ("folded", "duplicates", "late", "as_of_ms")
            columns = {name: [getattr(c, name) for _, c in counts] for name in fields}
            await self._connection.execute(
                sql("add_counts"), {**columns_of(ShareKey, [key for key, _ in counts]), **columns}
            )
        seen = [(*key, arm, at) for key, c in counts for arm, at in c.seen_ms.items()]
        if seen:
            names = (*ShareKey._fields, "arm", "seen_ms")
            columns = dict(zip(names, map(list, zip(*seen, strict=True)), strict=True))
            await self._connection.execute(sql("add_arm_seen"), columns)

    async def save_routers(self, routers: Iterable[tuple[int, KnownRouter]]) -> None:
        """Store routers that the batch configured, each with its partition."""
        for partition, known in routers:
            row = {
                "partition": partition,
                "router": known.router,
                "version": known.version,
                "config_text": known.config_text,
                "window_ms": known.window_ms,
                "arms": list(known.arms),
                "request_types": list(known.request_types),
                "declared_metrics": list(known.declared_metrics),
                "signals": list(known.signals),
                **asdict(known.half_lives),
            }
            await self._connection.execute(sql("save_router"), row)

    async def bury(self, batch: Batch, letters: Sequence[DeadLetter]) -> None:
        """Store records that can't be folded, as they were."""
        if not letters:
            return
        rows = [
            {
                "partition": int(batch.partition[letter.row]),
                "record_offset": int(batch.offset[letter.row]),
                "log_time_ms": int(batch.log_time_ms[letter.row]),
                "record_key": batch.keys[letter.row],
                "record_value": batch.values[letter.row],
                "reason": letter.reason,
                # a NUL can be in any decoded string, and Postgres has no place for it in text
                "detail": letter.detail.replace("\0", "\\0"),
            }
            for letter in letters
        ]
        async with self._connection.cursor() as cursor:
            await cursor.executemany(sql("add_dead_letter"), rows)

    async def advance(self, before: Sequence[Progress], after: Sequence[Progress]) -> None:
        """Move the partitions on, by compare-and-set. Raises Fenced, and then nothing is kept."""
        pairs = list(zip(before, after, strict=True))
        columns: dict[str, list[Any]] = {
            "partition": [b.partition for b in before],
            "epoch": [b.epoch for b in before],
            "start": [b.next_offset for b in before],
            "next_offset": [a.next_offset for a in after],
            "stream_time_ms": [a.stream_time_ms for a in after],
        }
        for name in ("folded", "duplicates", "late", "dead"):
            columns[name] = [getattr(a, name) - getattr(b, name) for b, a in pairs]
        cursor = await self._connection.execute(sql("advance_progress"), columns)
        if cursor.rowcount != len(before):
            raise _fenced(before[0], None)
