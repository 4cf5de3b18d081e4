"""The side schema of a rebuild: the live tables again under another name, beside the live ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg import sql as compose
from psycopg.types.json import Jsonb

from consumer.fold import Counts, ShareKey
from consumer.generations import ORIGINAL, live
from consumer.migrate import SCHEMA, connect, migrate, require_current
from consumer.rebuild.bounds import Range
from consumer.rebuild.contents import Contents, Folded
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.settings import RebuildSettings
from consumer.rows import read_evidence_row
from consumer.sql import sql
from schemas.evidence import SeriesKey, Sums

LIVE: Final = "live"
_PREFIX: Final = f"{SCHEMA}_"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
# Any constant does; with the schema's name it keeps two commands from one rebuild at a time.
_LOCK: Final = 7_241_956


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where to where, as it was asked for; None: the beginning, or wherever the log ends."""

    start: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What a side schema says of itself."""

    name: str
    topic: str
    settings: RebuildSettings
    bounds: Bounds
    state: str  # "running" or "complete"
    created_at: datetime
    completed_at: datetime | None
    ranges: Mapping[int, Range]


def schema_of(name: str) -> str:
    """The schema of a rebuild. Raises RebuildRefused for what can't be a rebuild's name."""
    if name in (LIVE, ORIGINAL):
        what = "live tables" if name == LIVE else "tables that were live first"
        raise RebuildRefused(f"{name!r} is the name of the {what}, not of a rebuild")
    if not _NAME.fullmatch(name):
        raise RebuildRefused(
            f"{name!r} can't be a rebuild's name: write a lower-case letter, then up to 30 "
            "letters, digits or underscores"
        )
    return _PREFIX + name


def _schema(dsn: str, name: str) -> str:
    """The schema of a rebuild, or wherever the live tables are."""
    return live(dsn).schema if name == LIVE else schema_of(name)


def names(dsn: str) -> list[str]:
    """All rebuilds there are. Raises Unreachable."""
    with connect(dsn) as connection:
        return _names(connection)


def positions(dsn: str, name: str) -> dict[int, int]:
    """The next offset of each partition of a rebuild, or of the live tables."""
    with connect(dsn, _schema(dsn, name)) as connection:
        return {partition: at.next_offset for partition, at in _progress(connection).items()}


def find(dsn: str, name: str) -> Rebuild:
    """The rebuild of this name. Raises RebuildRefused where there is none, and Unreachable."""
    with connect(dsn, schema_of(name)) as connection:
        found = _find(connection, name)
        known = ", ".join(_names(connection)) or "none"
    if found is None:
        raise RebuildRefused(f"there is no rebuild {name!r}; there are: {known}")
    return found


def find_all(dsn: str) -> list[tuple[Rebuild, Mapping[int, Folded]]]:
    """Every rebuild, with how far each of its partitions is folded."""
    found: list[tuple[Rebuild, Mapping[int, Folded]]] = []
    for name in names(dsn):
        with connect(dsn, schema_of(name)) as connection:
            rebuild = _find(connection, name)
            if rebuild is not None:
                found.append((rebuild, _progress(connection)))
    return found


def begin(
    dsn: str,
    name: str,
    topic: str,
    settings: RebuildSettings,
    bounds: Bounds,
    ranges: Mapping[int, Range],
) -> None:
    """Make the side schema, or set one of the same settings running again to further ends."""
    schema = schema_of(name)
    migrate(dsn, schema)
    document = {"start": bounds.start, "until": bounds.until}
    with connect(dsn, schema) as connection:
        connection.execute(sql("create_rebuild"))
        connection.execute(sql("create_rebuild_ranges"))
        connection.execute(
            sql("begin_rebuild"),
            {
                "topic": topic,
                "settings": Jsonb(settings.model_dump(mode="json")),
                "bounds": Jsonb(document),
            },
        )
        for partition, (start, end) in ranges.items():
            row = {"partition": partition, "start": start, "end": end}
            connection.execute(sql("save_range"), row)
            connection.execute(sql("begin_at"), row)


def complete(dsn: str, name: str) -> None:
    """The rebuild has reached its end."""
    with connect(dsn, schema_of(name)) as connection:
        connection.execute(sql("complete_rebuild"))


def drop(dsn: str, name: str) -> None:
    """Remove a rebuild with everything in it.

    Raises RebuildRefused where there is none, and where it is live.
    """
    find(dsn, name)
    with claimed(dsn, name), connect(dsn) as connection:
        require_not_live(dsn, name)
        schema = compose.Identifier(schema_of(name))
        connection.execute(compose.SQL("DROP SCHEMA {} CASCADE").format(schema))


def require_not_live(dsn: str, name: str) -> None:
    """Raise RebuildRefused where a rebuild was promoted: the consumer writes its tables now."""
    if live(dsn).schema == schema_of(name):
        raise RebuildRefused(
            f"the rebuild {name!r} is live: promote another, or roll back, before you touch it"
        )


@contextmanager
def claimed(dsn: str, name: str) -> Iterator[None]:
    """Nobody else works on this rebuild while the block runs. Raises RebuildRefused."""
    with connect(dsn) as connection:
        connection.autocommit = True
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK, schema_of(name)]
        ).fetchone()
        if row is None or not row[0]:
            raise RebuildRefused(f"another command works on the rebuild {name!r} at this moment")
        yield


def read_contents(dsn: str, name: str) -> dict[int, Contents]:
    """Everything that live tables or a rebuild hold, as of one moment, by partition."""
    schema = _schema(dsn, name)
    require_current(dsn, schema)
    with connect(dsn, schema) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        progress = _progress(connection)
        counts: dict[int, dict[ShareKey, Counts]] = {partition: {} for partition in progress}
        for row in connection.execute(sql("load_counts"), {"partitions": list(progress)}):
            counts[row[0]][ShareKey(*row[:3])] = Counts(*row[3:])
        evidence: dict[int, dict[ShareKey, dict[SeriesKey, Sums]]] = {p: {} for p in progress}
        for share, series, sums in _evidence(connection, None):
            evidence.setdefault(share.partition, {}).setdefault(share, {})[series] = sums
    return {
        partition: Contents(partition, folded, counts[partition], evidence[partition])
        for partition, folded in progress.items()
    }


def read_evidence(dsn: str, schema: str, partition: int) -> dict[ShareKey, dict[SeriesKey, Sums]]:
    """The evidence of one partition, of every era."""
    found: dict[ShareKey, dict[SeriesKey, Sums]] = {}
    with connect(dsn, schema) as connection:
        for share, series, sums in _evidence(connection, partition):
            found.setdefault(share, {})[series] = sums
    return found


def _evidence(
    connection: psycopg.Connection, partition: int | None
) -> Iterator[tuple[ShareKey, SeriesKey, Sums]]:
    for row in connection.execute(sql("read_evidence"), {"partition": partition}):
        share, series, sums = read_evidence_row(row)
        if sums is not None:
            yield share, series, sums


def _progress(connection: psycopg.Connection) -> dict[int, Folded]:
    rows = connection.execute(sql("read_progress")).fetchall()
    return {row[0]: Folded(*row[1:]) for row in rows}


def _names(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(sql("list_rebuilds"), {"prefix": _PREFIX}).fetchall()
    return [row[0] for row in rows]


def _find(connection: psycopg.Connection, name: str) -> Rebuild | None:
    try:
        row = connection.execute(sql("find_rebuild")).fetchone()
        ranges = connection.execute(sql("find_ranges")).fetchall()
    except psycopg.errors.UndefinedTable:
        connection.rollback()
        return None
    if row is None:
        return None
    topic, settings, bounds, state, created_at, completed_at = row
    return Rebuild(
        name=name,
        topic=topic,
        settings=RebuildSettings.model_validate(settings),
        bounds=Bounds(**bounds),
        state=state,
        created_at=created_at,
        completed_at=completed_at,
        ranges={partition: Range(start, end) for partition, start, end in ranges},
    )
