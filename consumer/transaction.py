"""What one batch reads and writes in Postgres, within its transaction."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from consumer.copy_binary import pack, unpack, uuid_column
from consumer.facts import SessionKey
from consumer.fold import Fold, ShareKey, TurnSets
from consumer.ledger import Ledger
from consumer.progress import Progress, fenced
from consumer.ragged import NOTHING, Ragged
from consumer.records import Batch, DeadLetter
from consumer.routers import KnownRouter
from consumer.rows import columns_of, copy_evidence, copy_sessions, read_session, turn_columns
from consumer.sessions import Sessions, TurnKey, Voided
from consumer.sql import sql


class Transaction:
    """The statements of one batch. `Store.transaction` begins and ends it."""

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
            raise fenced(before[0], None)
