"""One events partition, folded in memory: what its writer held at any offset. Pure.

The fold does not depend on how the log is cut into batches, so a fold that is cut where a snapshot
was made gives that snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from consumer.fold import ShareKey
from consumer.progress import Progress
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.state import PartitionFold
from consumer.records import Batch
from consumer.shares import Shares
from consumer.writer import without_arms
from schemas.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a generation is folded: with these settings, from these offsets on (0 where none)."""

    settings: RebuildSettings = field(default_factory=RebuildSettings)
    starts: Mapping[int, int] = field(default_factory=dict)


class Replay:
    """A partition from its first offset on. Must be closed."""

    def __init__(self, partition: int, recipe: Recipe | None = None) -> None:
        made = recipe or Recipe()
        self._start = made.starts.get(partition, 0)
        start = Progress(partition, epoch=0, next_offset=self._start)
        self._fold = PartitionFold(start, made.settings, saves=False, strict=False)
        self._without = frozenset(made.settings.exclude_arms)
        self._shares = Shares()

    @property
    def partition(self) -> int:
        return self._fold.partition

    def fold(self, batch: Batch) -> None:
        """Fold what follows in the log; offsets may have gaps, as transactions leave them. Of what
        is before the start only configurations are read."""
        before = int(np.searchsorted(batch.offset, self._start))
        if before:
            self._fold.configure(batch[:before])
            batch = batch[before:]
        if not len(batch):
            return
        for piece in self._fold.pieces(batch):
            found = self._fold.evaluate(piece)
            self._fold.apply(piece, found)
            self._shares.add(without_arms(found.fold, self._without))
        self._fold.pass_over(batch)

    def share(
        self, router: str, request_type: str, offset: int, generation: int = 0
    ) -> Snapshot | None:
        """The share as its writer would publish it at `offset`, when all before that is folded;
        None if there is none, or the configuration has the request type no more."""
        key = ShareKey(self.partition, router, request_type)
        known = self._fold.routers.get((self.partition, router))
        if known is None or key not in self._shares.keys(self.partition):
            return None
        if request_type not in known.configured.request_types:
            return None
        arms = frozenset(known.configured.arm_names)
        return self._shares.snapshot(key, 0, offset, arms, generation)

    def close(self) -> None:
        """Give up what is kept in files. Calling it again does nothing."""
        self._fold.close()
