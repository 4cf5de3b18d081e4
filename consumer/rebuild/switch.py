"""The transaction that makes other tables live."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import sql as compose
from psycopg.types.json import Jsonb

from consumer.connection import connect
from consumer.generations import Generation
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.settings import RebuildSettings
from consumer.sql import sql
from schemas.events import Switch

# The live consumer waits meanwhile. Frozen in the middle, the command gives everything back then.
_LIMITS: Final = (
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '10s'",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be live."""

    name: str
    schema: str
    command: Switch
    former: int | None
    settings: RebuildSettings = field(default_factory=RebuildSettings)
    starts: Mapping[int, int] = field(default_factory=dict)


async def switch(
    dsn: str,
    before: Generation,
    target: Target,
    fold: Callable[[Mapping[int, int]], Awaitable[Mapping[int, int]]],
    on_recorded: Callable[[], None],
) -> None:
    """Hold the live writers, `fold` the target up to their offsets, and move the pointer.

    `fold` gives where the target then stands. Raises RebuildRefused where something else became
    live meanwhile, LockNotAvailable, and what `fold` raises; then nothing has changed.
    """
    connection = await connect(dsn)
    async with connection:
        for limit in _LIMITS:
            await connection.execute(limit)
        async with connection.transaction():
            # From here on nobody takes a partition, and below nobody commits a batch.
            await connection.execute(sql("lock_generations"))
            await _require_unchanged(connection, before)
            await _use(connection, before.schema)
            rows = await (await connection.execute(sql("lock_all_progress"))).fetchall()
            offsets = await fold({row[0]: row[2] for row in rows})
            await connection.execute(sql("fence_all"))
            await _use(connection, target.schema)
            top = max((row[1] for row in rows), default=0) + 1
            await connection.execute(sql("raise_epochs"), {"epoch": top})
            await connection.execute(
                sql("add_generation"),
                {
                    "generation": before.number + 1,
                    "name": target.name,
                    "schema": target.schema,
                    "settings": Jsonb(target.settings.model_dump(mode="json")),
                    "starts": _document(target.starts),
                    "offsets": _document(offsets),
                    "command": target.command,
                    "former": target.former,
                },
            )
            on_recorded()


async def _require_unchanged(connection: psycopg.AsyncConnection, before: Generation) -> None:
    row = await (await connection.execute(sql("live_number"))).fetchone()
    if row != (before.number,):
        raise RebuildRefused(
            "something else has become live meanwhile: see `routefold generations`, and try again"
        )


async def _use(connection: psycopg.AsyncConnection, schema: str) -> None:
    path = compose.SQL("SET LOCAL search_path TO {}").format(compose.Identifier(schema))
    await connection.execute(path)


def _document(offsets: Mapping[int, int]) -> Jsonb:
    return Jsonb({str(partition): offset for partition, offset in sorted(offsets.items())})
