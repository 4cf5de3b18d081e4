"""`routefold diff`: what two states would do differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from consumer.rebuild.rebuild import Servers
from routefold.compare.cells import Cell, compare_cells
from routefold.compare.flips import Flips, count_flips
from routefold.compare.learned import Learned, load
from routefold.compare.turns import latest_turns


@dataclass(frozen=True, slots=True)
class Diff:
    """Two states, every cell of them, and what becomes of logged turns by router."""

    left: Learned
    right: Learned
    cells: Sequence[Cell]
    flips: Mapping[str, Flips]

    @property
    def changed(self) -> int:
        """Cells whose evidence differs."""
        return sum(cell.changed for cell in self.cells)

    @property
    def share_flipped(self) -> float:
        """Share of all logged turns that go to another arm; 0 without turns."""
        turns = sum(flips.turns for flips in self.flips.values())
        return sum(flips.flipped for flips in self.flips.values()) / turns if turns else 0.0

    @property
    def same_offsets(self) -> bool:
        """False where part of the difference is what only one of them has folded."""
        return dict(self.left.offsets) == dict(self.right.offsets)


async def diff(
    servers: Servers, left: str, right: str, turns: int, on_read: Callable[[int], None]
) -> Diff:
    """Compare two rebuilds, or one with "live", on the latest turns that both have folded.

    Raises ConsumerError.
    """
    mine, theirs = [await load(servers.postgres_dsn, name) for name in (left, right)]
    ends = {
        partition: min(offset, theirs.offsets.get(partition, 0))
        for partition, offset in mine.offsets.items()
    }
    logged = (
        await latest_turns(servers.bootstrap_servers, servers.topic, ends, turns, on_read)
        if turns
        else []
    )
    return Diff(mine, theirs, compare_cells(mine, theirs), count_flips(mine, theirs, logged))
