"""Dead letters in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql as compose
from pydantic import SecretStr

from consumer.errors import Unreachable
from consumer.generations import live
from consumer.migrate import CONNECT_TIMEOUT_S, require_current, unreachable_message
from consumer.sql import sql
from routefold.dead_letters.letters import Letter, LetterId, known_reasons
from routefold.errors import Misuse


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Dead letters of one reason."""

    reason: str
    letters: int
    open: int  # that were never redriven
    first_ms: int  # append times of the oldest and the newest
    last_ms: int


@dataclass(frozen=True, slots=True)
class Locked:
    """A dead letter that nobody else can redrive until the transaction ends."""

    id: LetterId
    key: bytes | None
    value: bytes | None
    redriven: bool  # at some time before


class LetterStore:
    """One connection. Made by `open_letters`."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def counts(self) -> list[ReasonCount]:
        """By reason, the most frequent first."""
        cursor = await self._connection.execute(sql("count_dead_letters"))
        return [ReasonCount(*row) for row in await cursor.fetchall()]

    async def latest(self, reason: str | None, limit: int) -> list[Letter]:
        """The newest letters, of one reason or of all. Raises Misuse for an unknown reason."""
        await self._check_reason(reason)
        return await self._letters(reason=reason, limit=limit)

    async def get(self, letter: LetterId) -> Letter:
        """Raises Misuse where there is none."""
        found = await self._letters(letter=letter)
        if not found:
            raise Misuse(_unknown([letter]))
        return found[0]

    async def choose(self, reason: str | None, *, again: bool) -> list[LetterId]:
        """The letters of a reason (None: of all), in the order of the log; with `again` also those
        that were redriven before. Raises Misuse for an unknown reason."""
        await self._check_reason(reason)
        cursor = await self._connection.execute(
            sql("choose_dead_letters"), {"reason": reason, "again": again}
        )
        return [LetterId(*row) for row in await cursor.fetchall()]

    async def require(self, letters: Sequence[LetterId]) -> None:
        """Raise Misuse unless there is a letter for each of these ids."""
        missing = [letter for letter in letters if not await self._letters(letter=letter)]
        if missing:
            raise Misuse(_unknown(missing))

    @asynccontextmanager
    async def locked(self, letters: Sequence[LetterId]) -> AsyncIterator[list[Locked]]:
        """These letters in the order given, ours until the block ends; then what `mark` noted is
        kept, unless the block raises."""
        async with self._connection.transaction():
            cursor = await self._connection.execute(
                sql("lock_dead_letters"),
                {
                    "partition": [letter.partition for letter in letters],
                    "record_offset": [letter.offset for letter in letters],
                },
            )
            yield [
                Locked(LetterId(*row[:2]), row[2], row[3], row[4])
                for row in await cursor.fetchall()
            ]

    async def mark(self, redriven: Sequence[tuple[LetterId, LetterId]]) -> None:
        """Note for each letter where its bytes are now. Within `locked`."""
        await self._connection.execute(
            sql("mark_redriven"),
            {
                "partition": [letter.partition for letter, _ in redriven],
                "record_offset": [letter.offset for letter, _ in redriven],
                "new_partition": [new.partition for _, new in redriven],
                "new_offset": [new.offset for _, new in redriven],
            },
        )

    async def _letters(
        self, *, reason: str | None = None, letter: LetterId | None = None, limit: int = 1
    ) -> list[Letter]:
        cursor = await self._connection.execute(
            sql("list_dead_letters"),
            {
                "reason": reason,
                "partition": letter.partition if letter else None,
                "record_offset": letter.offset if letter else None,
                "limit": limit,
            },
        )
        return [_letter(row) for row in await cursor.fetchall()]

    async def _check_reason(self, reason: str | None) -> None:
        if reason is None or reason in known_reasons():
            return
        cursor = await self._connection.execute(sql("known_dead_letter_reasons"))
        stored = {row[0] for row in await cursor.fetchall()}
        if reason not in stored:  # that of another version is there
            known = ", ".join(sorted(known_reasons() | stored))
            raise Misuse(f"{reason!r} is no reason for a dead letter; there are {known}")


def _letter(row: tuple[Any, ...]) -> Letter:
    return Letter(
        id=LetterId(row[0], row[1]),
        log_time_ms=row[2],
        key=row[3],
        value=row[4],
        reason=row[5],
        detail=row[6],
        redriven_at=row[7],
        redriven_to=LetterId(row[8], row[9]) if row[8] is not None else None,
        reason_again=row[10],
        folded_to=row[11],
        redriven_from=LetterId(row[12], row[13]) if row[12] is not None else None,
    )


def _unknown(letters: Sequence[LetterId]) -> str:
    named = ", ".join(map(str, letters))
    return f"there is no dead letter {named}: `routefold dead-letters list` shows what there is"


@asynccontextmanager
async def open_letters(dsn: SecretStr) -> AsyncIterator[LetterStore]:
    """The dead letters, while the block runs. Raises Unreachable and SchemaOutdated."""
    secret = dsn.get_secret_value()
    await asyncio.to_thread(require_current, secret)
    try:
        connection = await psycopg.AsyncConnection.connect(
            secret, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        async with connection:
            schema = compose.Identifier((await asyncio.to_thread(live, secret)).schema)
            await connection.execute(compose.SQL("SET search_path TO {}").format(schema))
            yield LetterStore(connection)
    except psycopg.OperationalError as error:
        raise Unreachable(unreachable_message(secret, error)) from None
