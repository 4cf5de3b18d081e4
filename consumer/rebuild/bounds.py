"""From where to where a rebuild folds: what a user writes, to a range for each partition. Pure.

A time is the broker's append time, in which each partition is in order, so that it names one offset
of each. Ranges end before their end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from consumer.rebuild.errors import RebuildRefused

_ONE: Final = re.compile(r"\d{1,18}")
_SEVERAL: Final = re.compile(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*")


class Range(NamedTuple):
    """Offsets of one partition, `end` not included."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A time, one offset for every partition, or offsets of some partitions."""

    time_ms: int | None = None
    everywhere: int | None = None
    offsets: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2026-01-31T12:00:00Z` (UTC where no zone is given), `5000`, or `0:5000,1:4800`.

        Raises RebuildRefused.
        """
        text = text.strip()
        if _ONE.fullmatch(text):
            return cls(everywhere=int(text))
        if _SEVERAL.fullmatch(text):
            pairs = [tuple(map(int, pair.split(":"))) for pair in text.split(",")]
            if len({partition for partition, _ in pairs}) < len(pairs):
                raise RebuildRefused(f"{text!r} names a partition twice")
            return cls(offsets=tuple(sorted((partition, at) for partition, at in pairs)))
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise RebuildRefused(
                f"{text!r} is neither a time (2026-01-31T12:00:00Z), nor an offset (5000), nor "
                "offsets by partition (0:5000,1:4800)"
            ) from None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return cls(time_ms=round(at.timestamp() * 1000))

    def __str__(self) -> str:
        if self.time_ms is not None:
            return datetime.fromtimestamp(self.time_ms / 1000, UTC).isoformat()
        if self.everywhere is not None:
            return str(self.everywhere)
        return ",".join(f"{partition}:{offset}" for partition, offset in self.offsets)

    def resolve(self, default: Mapping[int, int], at_time: Mapping[int, int]) -> dict[int, int]:
        """The offset in each partition; `default` where it names none.

        `at_time` holds the first offsets appended at `time_ms` or later, where that is given.
        Raises RebuildRefused.
        """
        if self.time_ms is not None:
            return dict(at_time)
        if self.everywhere is not None:
            return dict.fromkeys(default, self.everywhere)
        unknown = [partition for partition, _ in self.offsets if partition not in default]
        if unknown:
            raise RebuildRefused(
                f"there is no partition {unknown[0]}: the topic has {len(default)}, from 0 on"
            )
        return {**default, **dict(self.offsets)}


def ranges(
    topic: str, log: Mapping[int, Range], starts: Mapping[int, int], ends: Mapping[int, int]
) -> dict[int, Range]:
    """The range of each partition, checked against what the log holds. Raises RebuildRefused."""
    found = {partition: Range(starts[partition], ends[partition]) for partition in sorted(log)}
    for partition, wanted in found.items():
        check(topic, partition, log[partition], wanted)
        if wanted.start > wanted.end:
            raise RebuildRefused(
                f"partition {partition} of {topic}: the rebuild would begin at offset "
                f"{wanted.start} and end at {wanted.end}; --from must come before --until"
            )
    if not any(wanted.end > wanted.start for wanted in found.values()):
        raise RebuildRefused(f"there are no events of {topic} in that range")
    return found


def check(topic: str, partition: int, held: Range, wanted: Range) -> None:
    """Raise RebuildRefused unless the log holds all of a range."""
    where = f"partition {partition} of {topic}"
    if wanted.start < held.start:
        raise RebuildRefused(
            f"{where} begins at offset {held.start}, so what was before is gone: a rebuild can "
            f"begin there, with --from {partition}:{held.start}, or with an export of what was "
            "before, named by --archive"
        )
    if wanted.end > held.end:
        raise RebuildRefused(f"{where} ends at offset {held.end}, before {wanted.end}")
