"""A generation on its way: kept aside until all of it is there. Pure.

A promote or a rollback replaces all evidence. The writers then publish the shares of the new
generation one partition after another, each partition's progress behind its shares. The snapshots
topic has one partition, so it keeps that order, and compaction leaves the last record of each key:
once the progress of every events partition has been read, so have all shares.
"""

from __future__ import annotations

from collections.abc import Iterator

from router_api.routing.state import ShareKey, position_of
from schemas.events import Progress
from schemas.snapshot import Snapshot


class Arriving:
    """What has come of one generation that is not in use yet."""

    def __init__(self) -> None:
        self._shares: dict[ShareKey, tuple[Snapshot, int]] = {}
        self._progress: dict[int, Progress] = {}

    def add_share(self, snapshot: Snapshot, applied_at_ms: int) -> None:
        """Keep it, unless one as new is there."""
        key = ShareKey.of(snapshot)
        known = self._shares.get(key)
        if known is None or snapshot.position > known[0].position:
            self._shares[key] = snapshot, applied_at_ms

    def add_progress(self, progress: Progress) -> None:
        """Keep it, unless one as new is there."""
        known = self._progress.get(progress.partition)
        if known is None or position_of(progress) > position_of(known):
            self._progress[progress.partition] = progress

    def remove_share(self, key: ShareKey) -> None:
        """Forget a share (a tombstone was read)."""
        self._shares.pop(key, None)

    def remove_progress(self, partition: int) -> None:
        """Forget a partition (a tombstone was read)."""
        self._progress.pop(partition, None)

    def is_complete(self, partitions: int) -> bool:
        """True once the progress of all these partitions is there, and so all their shares."""
        return all(partition in self._progress for partition in range(partitions))

    @property
    def shares(self) -> Iterator[tuple[Snapshot, int]]:
        """Every share, with the time at which it came."""
        return iter(self._shares.values())

    @property
    def progress(self) -> Iterator[Progress]:
        return iter(self._progress.values())
