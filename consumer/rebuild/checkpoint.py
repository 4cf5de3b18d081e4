"""A partition's fold to and from its side schema: one transaction, by the writer's own statements.

Saved together are evidence, event counts, turn states, sessions, dead letters, routers and the
offset; so a rebuild that was killed goes on from its last checkpoint as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import psycopg

from consumer.migrate import connect
from consumer.progress import Progress
from consumer.ragged import Ragged
from consumer.rebuild.id_table import halves_of
from consumer.rebuild.state import PartitionFold
from consumer.rows import read_session
from consumer.sql import sql
from consumer.store import Store

_ROWS_AT_A_TIME: Final = 10_000


def progress(dsn: str, schema: str, partitions: Iterable[int]) -> list[Progress]:
    """How far these partitions are, without taking them from whoever folds them."""
    wanted = set(partitions)
    with connect(dsn, schema) as connection:
        rows = connection.execute(sql("read_progress")).fetchall()
    return [Progress(row[0], 0, *row[1:]) for row in rows if row[0] in wanted]


async def load(store: Store, dsn: str, schema: str, state: PartitionFold) -> None:
    """Bring an empty fold to where its progress says it is: the last checkpoint."""
    state.routers = await store.routers([state.partition])
    state.counts = dict(await store.counts([state.partition]))
    with connect(dsn, schema) as connection:
        _load_turns(connection, state)
        _load_sessions(connection, state)


def _load_turns(connection: psycopg.Connection, state: PartitionFold) -> None:
    with connection.cursor(name="turns", binary=True) as cursor:
        cursor.execute(sql("read_partition_turns"), {"partition": state.partition})
        while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
            ids, counted, ledgers = zip(*rows, strict=True)
            lengths = np.array([len(ledger) for ledger in ledgers], dtype=np.int64)
            state.turns.load(
                halves_of(b"".join(turn_id.bytes for turn_id in ids)),
                np.array(counted, dtype=np.int64),
                Ragged(lengths, np.frombuffer(b"".join(ledgers), dtype=np.uint8)),
            )


def _load_sessions(connection: psycopg.Connection, state: PartitionFold) -> None:
    with connection.cursor(name="sessions", binary=True) as cursor:
        cursor.execute(sql("read_partition_sessions"), {"partition": state.partition})
        while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
            state.sessions.load(dict(map(read_session, rows)))


async def save(store: Store, state: PartitionFold) -> None:
    """Commit everything since the last checkpoint. Raises Fenced when another has taken over."""
    before_ms = state.forgotten_before_ms
    state.turns.forget(before_ms)
    state.sessions.forget(before_ms)
    state.prune()
    async with store.transaction([state.saved]) as transaction:
        for some in state.turns.unsaved():
            await transaction.save_turns(*some)
        await transaction.save_sessions(state.sessions.unsaved())
        await transaction.add(state.unsaved.fold())
        await transaction.save_routers(
            (key[0], state.routers[key]) for key in sorted(state.unsaved.routers)
        )
        await transaction.bury(*state.unsaved.buried())
        await transaction.advance([state.saved], [state.progress])
    state.mark_saved()
    await store.forget_turns(state.partition, before_ms)
    await store.forget_sessions(state.partition, before_ms)
    await store.forget_eras(state.partition)
