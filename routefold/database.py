"""Postgres at the start of a command: reachable or one clear line; migrated or told how."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from routefold.errors import Misuse, Unreachable

CONNECT_TIMEOUT_S: Final = 10


def without_password(dsn: SecretStr) -> str:
    """The DSN as it may be shown. Raises Misuse where it can't be parsed (without showing it)."""
    parts = _parse(dsn)
    parts.pop("password", None)
    user, host = parts.pop("user", ""), parts.pop("host", "localhost")
    port, database = parts.pop("port", "5432"), parts.pop("dbname", user)
    shown = f"postgresql://{user}@{host}:{port}/{database}"
    rest = make_conninfo("", **parts) if parts else ""
    return f"{shown} ({rest})" if rest else shown


async def check_postgres(dsn: SecretStr) -> None:
    """Return if Postgres accepts a connection. Raises Unreachable with one line; Misuse."""
    shown = without_password(dsn)
    try:
        # psycopg tries every address of the name in turn; the whole must end in time, too.
        await asyncio.wait_for(asyncio.to_thread(_connect, dsn), CONNECT_TIMEOUT_S + 2)
    except (psycopg.Error, TimeoutError) as error:
        raise Unreachable(
            f"Postgres at {shown} can't be used ({_reason(error)}): "
            "is it running, and is ROUTEFOLD_POSTGRES_DSN right?"
        ) from None


def _connect(dsn: SecretStr) -> None:
    conninfo = make_conninfo(dsn.get_secret_value(), connect_timeout=CONNECT_TIMEOUT_S)
    with psycopg.connect(conninfo) as connection:
        connection.execute("SELECT 1")


def _reason(error: Exception) -> str:
    """What the server or the network said, without libpq's preamble and hints."""
    first, *_ = str(error).strip().splitlines() or ["no answer in time"]
    return first.rpartition("failed: ")[2]


def _parse(dsn: SecretStr) -> dict[str, str]:
    try:
        parts = conninfo_to_dict(dsn.get_secret_value())
    except psycopg.ProgrammingError:
        raise Misuse(
            "ROUTEFOLD_POSTGRES_DSN can't be parsed: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    return {name: str(value) for name, value in parts.items() if value is not None}
