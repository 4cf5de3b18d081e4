"""States that picks were made from, put together again from replayed partitions. Pure.

A state is named by its snapshot version: its generation, and for each events partition the offset
up to which its share had been folded. Replaying a partition goes through all offsets that are
wanted, in order; a share is copied as it is passed, and dropped with the last state that needs it.
States wanted in the order of their picks move forward together, so few shares are held at a time,
however long the log is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routefold.audit.replay import Replay
from router_api.routing.state import NO_SHARE, Reading, TypeState
from schemas.snapshot import Snapshot


class StateName(NamedTuple):
    """Which state of which request type a pick was made from."""

    router: str
    request_type: str
    version: str

    @property
    def generation(self) -> int:
        """Which fold of the log it is of. Raises ValueError for a version that no router writes."""
        number, colon, _ = self.version.partition(":")
        return int(number) if colon else 0

    @property
    def places(self) -> Sequence[str]:
        """The offset of each partition's share, `-` where there is none."""
        return self.version.rpartition(":")[2].split(".")

    @property
    def offsets(self) -> Mapping[int, int]:
        """The offset of each share. Raises ValueError for a version that no router writes."""
        return {
            partition: int(place)
            for partition, place in enumerate(self.places)
            if place != NO_SHARE
        }


class _Place(NamedTuple):
    generation: int
    partition: int
    offset: int
    router: str
    request_type: str


class States:
    """The shares of the wanted states. Each state can be read once for each time it was wanted."""

    def __init__(self, wanted: Iterable[StateName]) -> None:
        """Raises ValueError for a version that is none."""
        self._uses: Counter[_Place] = Counter()
        for state in wanted:
            self._uses.update(_places(state))
        self._at: dict[tuple[int, int], list[_Place]] = {}
        for place in self._uses:
            self._at.setdefault((place.partition, place.offset), []).append(place)
        self._kept: dict[_Place, Snapshot | None] = {}
        cuts: dict[int, list[int]] = {}
        for partition, offset in sorted(self._at):
            cuts.setdefault(partition, []).append(offset)
        self.cuts: Final[Mapping[int, list[int]]] = cuts

    @property
    def generations(self) -> frozenset[int]:
        """All that any of the states is of."""
        return frozenset(place.generation for place in self._uses)

    def keep(
        self, replay: Replay, offset: int, generations: Container[int] = frozenset({0})
    ) -> None:
        """Copy what is wanted of a partition that was folded up to `offset`, as these generations
        are."""
        for place in self._at.get((replay.partition, offset), ()):
            if place.generation in generations:
                self._kept[place] = replay.share(
                    place.router, place.request_type, offset, place.generation
                )

    def read(self, state: StateName) -> Reading | None:
        """The merged evidence as a router has it; None where the log does not have such a share.

        Every share of the state must have been kept. Raises KeyError otherwise.
        """
        merged = TypeState(len(state.places), state.generation)
        complete = True
        for place in _places(state):
            snapshot = self._kept[place]
            self._uses[place] -= 1
            if not self._uses[place]:
                del self._kept[place]
            if snapshot is None:
                complete = False
            else:
                merged.apply(snapshot, applied_at_ms=0)
        return merged.read() if complete else None

    @property
    def held(self) -> int:
        """Shares in memory."""
        return len(self._kept)


def _places(state: StateName) -> list[_Place]:
    return [
        _Place(state.generation, partition, offset, state.router, state.request_type)
        for partition, offset in state.offsets.items()
    ]
