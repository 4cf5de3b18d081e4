"""Bring the database to this version. Safe to run at any time, by several processes at once."""

from __future__ import annotations

from importlib import resources
from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql

from consumer.errors import SchemaOutdated, Unreachable
from consumer.sql import sql as statement

SCHEMA: Final = "routefold"
# Any constant does; it keeps two starting consumers from migrating at the same time.
_LOCK: Final = 7_241_955
CONNECT_TIMEOUT_S: Final = 5


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("consumer.migrations")))
    config.set_main_option("path_separator", "os")
    return config


def connect(dsn: str, schema: str = SCHEMA) -> psycopg.Connection:
    """A connection whose search_path is `schema`. Raises Unreachable, never with the password."""
    try:
        connection = psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        raise Unreachable(unreachable_message(dsn, error)) from None
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
    connection.commit()
    return connection


def unreachable_message(dsn: str, error: psycopg.Error) -> str:
    """One line that names the server and what it said."""
    where = psycopg.conninfo.conninfo_to_dict(dsn)
    said = str(error).strip().splitlines() or ["no answer"]
    return (
        f"Postgres at {where.get('host', 'localhost')}:{where.get('port', 5432)} "
        f"is not reachable: {said[-1].strip()}. Is it running, and is ROUTEFOLD_POSTGRES_DSN right?"
    )


def migrate(dsn: str, schema: str = SCHEMA) -> None:
    """Create or upgrade the tables in `schema`; by default those of the installation, and those
    that are live. Raises Unreachable."""
    _migrate(dsn, schema)
    if schema == SCHEMA and (live := _live_schema(dsn)) != SCHEMA:
        _migrate(dsn, live)


def _live_schema(dsn: str) -> str:
    """Where the live tables are. The installation's own must be of this version."""
    with connect(dsn) as connection:
        row = connection.execute(statement("live_schema")).fetchone()
    return SCHEMA if row is None else str(row[0])


def _migrate(dsn: str, schema: str) -> None:
    with connect(dsn, schema) as connection:
        # A lock of the session, not of a transaction: SQLAlchemy rolls back what it finds open.
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.commit()
        config = _scripts()
        with _engine(connection).connect() as alembic_connection:
            config.attributes["connection"] = alembic_connection
            command.upgrade(config, "head")
            alembic_connection.commit()


def require_current(dsn: str, schema: str = SCHEMA) -> None:
    """Raise SchemaOutdated unless the tables are those of this version; by default the
    installation's own, and those that are live."""
    _require_current(dsn, schema)
    if schema == SCHEMA and (live := _live_schema(dsn)) != SCHEMA:
        _require_current(dsn, live)


def _require_current(dsn: str, schema: str) -> None:
    with connect(dsn, schema) as connection, _engine(connection).connect() as bound:
        found = MigrationContext.configure(bound).get_current_revision()
        wanted = ScriptDirectory.from_config(_scripts()).get_current_head()
    if found != wanted:
        raise SchemaOutdated(
            f"the database is at migration {found or 'none'}, this version needs {wanted}: "
            "run `routefold init`"
        )


def _engine(connection: psycopg.Connection) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sqlalchemy.StaticPool
    )
