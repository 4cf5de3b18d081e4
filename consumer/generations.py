"""Generations: which fold of the log is live, in which schema, and how it came to be.

Every fold has tables of its own. The pointer is the last row of `routefold.generations`; a promote
or a rollback adds one, and whoever writes or reads the live tables begins by reading it. Nothing of
two generations is ever in one table, one snapshot or one choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg

from consumer.migrate import SCHEMA, connect
from consumer.rebuild.settings import RebuildSettings
from consumer.sql import sql
from schemas.events import GenerationPromoted, Switch

ORIGINAL: Final = "original"


@dataclass(frozen=True, slots=True)
class Generation:
    """One state that was or is live: the fold of the log with these settings, from these starts.

    `starts` and `offsets` are by partition; a partition that `starts` does not name began at 0.
    `offsets` are where the fold stood when it became live. `former` is what a rollback goes to.
    """

    number: int
    name: str
    schema: str
    settings: RebuildSettings = field(default_factory=RebuildSettings)
    starts: Mapping[int, int] = field(default_factory=dict)
    offsets: Mapping[int, int] = field(default_factory=dict)
    command: Switch | None = None
    former: int | None = None
    promoted_at: datetime | None = None
    announced: bool = True

    @classmethod
    def of(cls, row: Sequence[Any]) -> Generation:
        """From a row of `live_generation` or `all_generations`."""
        number, name, schema, settings, starts, offsets, command, former, promoted, announced = row
        return cls(
            number=number,
            name=name,
            schema=schema,
            settings=RebuildSettings.model_validate(settings),
            starts=_by_partition(starts),
            offsets=_by_partition(offsets),
            command=command,
            former=former,
            promoted_at=promoted,
            announced=announced is not None,
        )

    def event(self, source: str) -> GenerationPromoted:
        """The switch to this generation, for the log. Not for the first one: nobody switched."""
        assert self.command is not None
        assert self.promoted_at is not None
        return GenerationPromoted(
            generation=self.number,
            command=self.command,
            name=self.name,
            settings=self.settings.model_dump_json(),
            starts=self.starts,
            offsets=self.offsets,
            occurred_at=round(self.promoted_at.timestamp() * 1000),
            source=source,
        )


# What is live before any promote.
FIRST: Final = Generation(0, ORIGINAL, SCHEMA)


def _by_partition(document: Mapping[str, int]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in document.items()}


def read_live(connection: psycopg.Connection) -> Generation:
    """The generation that is live."""
    row = connection.execute(sql("live_generation")).fetchone()
    return FIRST if row is None else Generation.of(row)


def live(dsn: str) -> Generation:
    """The generation that is live. Raises Unreachable."""
    with connect(dsn) as connection:
        return read_live(connection)


def generations(dsn: str) -> list[Generation]:
    """Every generation there was, the live one last. Raises Unreachable."""
    with connect(dsn) as connection:
        return [FIRST, *map(Generation.of, connection.execute(sql("all_generations")).fetchall())]
