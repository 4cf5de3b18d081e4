"""A database that is behind what routers were told: it was lost, or restored to an earlier time.

Routers would take nothing of a generation below theirs, for ever; and a share of half a log would
make them worse. So what the database holds becomes a generation of its own, above all that routers
have heard of. They use what they know until it is whole, and change over in one step: nothing of a
partition is published before it has come to where its log ended when the generation began.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from psycopg.types.json import Jsonb

from consumer.generations import Generation, live
from consumer.migrate import connect
from consumer.sql import sql
from consumer.told import Told

log = structlog.get_logger(__name__)

COMMAND: Final = "promote"


def succeed(dsn: str, told: Told) -> None:
    """Begin a new generation of the live tables if they are behind what routers were told.

    `told` must have been read before this is called: what is told has been committed before, so
    tables that are behind it have lost something. Writers of these tables are fenced, and go on
    under the new number. Raises Unreachable.
    """
    while _is_behind(dsn, found := live(dsn), told):
        if _begin(dsn, found, told):
            return


def _is_behind(dsn: str, found: Generation, told: Told) -> bool:
    with connect(dsn, found.schema) as connection:
        rows = connection.execute(sql("read_progress")).fetchall()
    folded = {row[0]: row[1] for row in rows}
    return any(
        position > (found.number, folded.get(partition, 0))
        for partition, position in told.positions.items()
    )


def _begin(dsn: str, found: Generation, told: Told) -> bool:
    """False where something else has become live meanwhile."""
    number = max(found.number, told.generation) + 1
    with connect(dsn, found.schema) as connection:
        connection.execute(sql("lock_generations"))
        if connection.execute(sql("live_number")).fetchone() != (found.number,):
            return False
        connection.execute(sql("fence_all"))
        connection.execute(
            sql("add_generation"),
            {
                "generation": number,
                "name": found.name,
                "schema": found.schema,
                "settings": Jsonb(found.settings.model_dump(mode="json")),
                "starts": _document(found.starts),
                "offsets": _document(told.ends),
                "command": COMMAND,
                "former": found.former,
            },
        )
    log.warning(
        "the database is behind what routers were told: it was lost or restored; routers keep what "
        "they know until it has come to the end of the log",
        generation=number,
        name=found.name,
        told=told.generation,
    )
    return True


def _document(offsets: Mapping[int, int]) -> Jsonb:
    return Jsonb({str(partition): offset for partition, offset in sorted(offsets.items())})
