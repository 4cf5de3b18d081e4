"""Connections for stores: one schema each, for life."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql as compose

from consumer.errors import Unreachable
from consumer.migrate import CONNECT_TIMEOUT_S, unreachable_message
from consumer.sql import sql

# A writer that holds its rows locked while it is frozen must not block its successor for ever.
_IDLE_IN_TRANSACTION_MS: Final = 60_000
_STAGING: Final = (
    "create_staging",
    "create_staging_sets",
    "create_staging_evidence",
    "create_staging_sessions",
    "create_staging_changed_sessions",
)


async def connect(dsn: str) -> psycopg.AsyncConnection:
    """A connection that commits each statement. Raises Unreachable, never with the password."""
    try:
        return await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
    except psycopg.OperationalError as error:
        raise Unreachable(unreachable_message(dsn, error)) from None


async def prepare(connection: psycopg.AsyncConnection, schema: str) -> None:
    """Make it a writer's: statements mean the tables of `schema`, and batches can be staged."""
    path = compose.SQL("SET search_path TO {}").format(compose.Identifier(schema))
    await connection.execute(path)
    await connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}")
    for statement in _STAGING:
        await connection.execute(sql(statement))
