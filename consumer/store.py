"""Postgres: the only place where what was learned is kept.

One transaction per batch holds everything a batch adds and the advance of its partitions, which
succeeds only for the writer that took them last (compare-and-set on epoch and next offset). A
writer that has been overtaken gets `Fenced` and has written nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import psycopg

from consumer.connection import connect, prepare
from consumer.errors import GenerationChanged
from consumer.fold import Counts, ShareKey
from consumer.generations import FIRST, Generation
from consumer.migrate import SCHEMA
from consumer.progress import Progress, fenced
from consumer.routers import KnownRouter, PinnedHalfLives, Routers
from consumer.rows import EvidenceRow, read_evidence_row
from consumer.sql import sql
from consumer.transaction import Transaction


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
                    raise fenced(progress, at)
            yield Transaction(self._connection)
