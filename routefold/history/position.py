"""Where in the events topic to begin and to end: a time, or an offset for each partition. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self

from routefold.errors import Misuse


class OffsetRange(NamedTuple):
    """Offsets of one partition, `end` excluded. Not every offset in it needs to hold a record."""

    start: int
    end: int

    def __len__(self) -> int:
        return max(self.end - self.start, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A point of the log. Exactly one of its fields is given.

    `time_ms`: in each partition the first record that the broker appended at or after it
    (milliseconds since 1970). `offsets`: by partition; partitions not named are not bounded.
    """

    time_ms: int | None = None
    offsets: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.time_ms is None) == (self.offsets is None):
            raise ValueError("a position is either a time or offsets")

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2026-01-03T12:00:00Z` (RFC 3339), `2026-01-03` (midnight, UTC) or `0:1200,1:900`.

        Raises Misuse.
        """
        if re.fullmatch(r"\d+:\d+(,\d+:\d+)*", text):
            pairs = [pair.split(":") for pair in text.split(",")]
            offsets = {int(partition): int(offset) for partition, offset in pairs}
            if len(offsets) < len(pairs):
                raise Misuse(f"{text!r} names a partition twice")
            return cls(offsets=offsets)
        return cls(time_ms=_milliseconds(text))

    def __str__(self) -> str:
        if self.offsets is not None:
            return ",".join(f"{p}:{offset}" for p, offset in sorted(self.offsets.items()))
        assert self.time_ms is not None
        at = datetime.fromtimestamp(self.time_ms / 1000, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(
            f"{text!r} is neither a time like 2026-01-03T12:00:00Z, nor a date, nor offsets by "
            "partition like 0:1200,1:900"
        ) from None
    if at.tzinfo is None:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise Misuse(f"{text!r} has no time zone: end it with Z (UTC) or an offset like +01:00")
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)
