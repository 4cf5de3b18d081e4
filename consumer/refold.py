"""A generation that became live before it was whole: its database was lost, or was restored.

Routers still have what was learned before. A share of half a log would make them worse, so until a
partition has come to where its log ended when the generation began, nothing of it is published.
That is part of the generation, so it holds for whoever writes the partition next.
"""

from __future__ import annotations

from collections.abc import Mapping

from consumer.progress import Progress


class Refold:
    """The partitions that are on their way, each with the offset at which it has caught up.

    `offsets` are those of the live generation. One that was promoted stands there from the
    beginning.
    """

    def __init__(self, offsets: Mapping[int, int]) -> None:
        self._ends = dict(offsets)

    def published(self, owned: Mapping[int, Progress]) -> dict[int, Progress]:
        """Those of the owned partitions that routers may hear of."""
        return {p: at for p, at in owned.items() if at.next_offset >= self._ends.get(p, 0)}

    def caught_up(self, owned: Mapping[int, Progress]) -> list[int]:
        """The partitions that have just come to their end; told once."""
        done = [p for p in self.published(owned) if p in self._ends]
        for partition in done:
            del self._ends[partition]
        return done
