"""What a fold leaves of one partition, its digest, and where two of them differ. Pure.

The live consumer drops evidence that has decayed to nothing when it finds the time, so two equal
folds can hold different rows of it. It is left out here: neither digests nor differences see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from consumer.fold import Counts, ShareKey
from schemas.evidence import KEPT_ERAS, ZERO, SeriesKey, Sums, digest, era, reading_ms

Evidence = dict[ShareKey, dict[SeriesKey, Sums]]


def is_kept(series: SeriesKey, counts: Counts) -> bool:
    """False for evidence that a consumer may have dropped: it is read by nobody."""
    return series.era >= _oldest_era(series, counts)


def kept(evidence: Mapping[SeriesKey, Sums], counts: Counts) -> dict[SeriesKey, Sums]:
    """The rows of a share of which `is_kept` is true: a third of the time of one by one."""
    oldest: dict[tuple[str, str, int], int] = {}
    found: dict[SeriesKey, Sums] = {}
    for series, sums in evidence.items():
        alike = series.arm, series.metric, series.half_life_ms
        if alike not in oldest:
            oldest[alike] = _oldest_era(series, counts)
        if series.era >= oldest[alike]:
            found[series] = sums
    return found


def _oldest_era(series: SeriesKey, counts: Counts) -> int:
    at_ms = reading_ms(series.arm, series.metric, counts.as_of_ms, counts.seen_ms)
    return era(at_ms, series.half_life_ms) - KEPT_ERAS


class Folded(NamedTuple):
    """What became of a partition's events up to `next_offset`."""

    next_offset: int
    folded: int
    duplicates: int
    late: int
    dead: int
    stream_time_ms: int


@dataclass(frozen=True, slots=True)
class Contents:
    """One partition as folded up to an offset."""

    partition: int
    progress: Folded
    counts: Mapping[ShareKey, Counts] = field(default_factory=dict)
    evidence: Mapping[ShareKey, Mapping[SeriesKey, Sums]] = field(default_factory=dict)

    def kept(self) -> dict[ShareKey, dict[SeriesKey, Sums]]:
        """The evidence that any reader may still see, without rows that sum to nothing."""
        found = {
            share: kept(rows, self.counts.get(share, Counts()))
            for share, rows in self.evidence.items()
        }
        return {
            share: left
            for share, rows in found.items()
            if (left := {series: sums for series, sums in rows.items() if sums != ZERO})
        }

    def digest(self) -> bytes:
        """BLAKE2b-128 over evidence and event counts; equal for equal folds of equal events."""
        hasher = hashlib.blake2b(digest_size=16)
        evidence = self.kept()
        for share in sorted(self.counts.keys() | evidence.keys()):
            counts = self.counts.get(share, Counts())
            seen = chain.from_iterable(sorted(counts.seen_ms.items()))
            numbers = (counts.folded, counts.duplicates, counts.late, counts.as_of_ms)
            hasher.update("\x1f".join(map(str, (*share, *numbers, *seen))).encode())
            hasher.update(digest(evidence.get(share, {})))
        hasher.update("\x1f".join(map(str, self.progress)).encode())
        return hasher.digest()


def digest_of_all(partitions: Mapping[int, Contents]) -> bytes:
    """One digest of all partitions."""
    hasher = hashlib.blake2b(digest_size=16)
    for partition in sorted(partitions):
        hasher.update(partition.to_bytes(4, "big") + partitions[partition].digest())
    return hasher.digest()


class RowDifference(NamedTuple):
    """An evidence row in which live tables and rebuild differ; None where one has no such row."""

    share: ShareKey
    series: SeriesKey
    live: Sums | None
    rebuilt: Sums | None


class CountDifference(NamedTuple):
    """A number of events, or a time, in which they differ. No share: of the whole partition."""

    partition: int
    share: ShareKey | None
    name: str
    live: int
    rebuilt: int


def row_differences(live: Contents, rebuilt: Contents) -> list[RowDifference]:
    """Evidence rows that are not the same, in key order."""
    mine, theirs = live.kept(), rebuilt.kept()
    found = [
        RowDifference(share, series, left.get(series), right.get(series))
        for share in mine.keys() | theirs.keys()
        for left, right in [(mine.get(share, {}), theirs.get(share, {}))]
        for series in left.keys() | right.keys()
        if left.get(series) != right.get(series)
    ]
    return sorted(found, key=lambda row: (row.share, row.series))


def count_differences(live: Contents, rebuilt: Contents) -> list[CountDifference]:
    """Event counts that are not the same: of the partition, then of each share."""
    of_partition = [
        CountDifference(live.partition, None, name, mine, theirs)
        for name, mine, theirs in zip(Folded._fields, live.progress, rebuilt.progress, strict=True)
        if mine != theirs
    ]
    of_shares = [
        CountDifference(live.partition, share, name, left.get(name, 0), right.get(name, 0))
        for share in sorted(live.counts.keys() | rebuilt.counts.keys())
        for left, right in [(_numbers(live, share), _numbers(rebuilt, share))]
        for name in sorted(left.keys() | right.keys())
        if left.get(name, 0) != right.get(name, 0)
    ]
    return of_partition + of_shares


def _numbers(contents: Contents, share: ShareKey) -> dict[str, int]:
    counts = contents.counts.get(share, Counts())
    names = ("folded", "duplicates", "late", "as_of_ms")
    seen = {f"seen_ms of {arm}": at_ms for arm, at_ms in counts.seen_ms.items()}
    return {name: getattr(counts, name) for name in names} | seen
