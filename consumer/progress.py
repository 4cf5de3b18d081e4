"""How far a writer has folded its partitions, under which epoch."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.errors import Fenced


@dataclass(slots=True)
class Progress:
    """How far this writer has folded one partition, under its own epoch."""

    partition: int
    epoch: int
    next_offset: int
    folded: int = 0
    duplicates: int = 0
    late: int = 0
    dead: int = 0
    stream_time_ms: int = 0
    generation: int = 0


def fenced(mine: Progress, found: tuple[int, int] | None) -> Fenced:
    """Another writer has taken a partition; `found`: the epoch and offset that are stored now."""
    return Fenced(
        f"partition {mine.partition} has another writer: this one holds epoch {mine.epoch} at "
        f"offset {mine.next_offset}, the database says {found}. Nothing was written; restart to "
        "join again"
    )
