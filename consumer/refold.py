"""A log that is folded from its beginning though it is old: the database was lost and made anew.

Routers still have what was learned before. A share of half a log would make them worse, so until a
partition has come to where its log ended when it was taken, nothing of it is published.
"""

from __future__ import annotations

from collections.abc import Mapping

from consumer.store import Progress


class Refold:
    """The partitions that are on their way, each with the offset at which it has caught up."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}

    def unknown(self, owned: Mapping[int, Progress]) -> list[int]:
        """The partitions that begin at 0 and of which it is not known how long their log is."""
        return [p for p, at in owned.items() if at.next_offset == 0 and p not in self._ends]

    def begin(self, ends: Mapping[int, int]) -> None:
        """These partitions begin at 0, and their logs end there."""
        self._ends |= ends

    def published(self, owned: Mapping[int, Progress]) -> dict[int, Progress]:
        """Those of the owned partitions that routers may hear of."""
        return {p: at for p, at in owned.items() if at.next_offset >= self._ends.get(p, 0)}

    def caught_up(self, owned: Mapping[int, Progress]) -> list[int]:
        """The partitions that have just come to their end; told once."""
        done = [p for p in self.published(owned) if self._ends.get(p, 0) > 0]
        for partition in done:
            self._ends[partition] = 0
        return done
