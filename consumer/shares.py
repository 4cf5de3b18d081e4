"""The writer's copy of its partitions' evidence, from which snapshots are made.

It follows Postgres: changed only by what a committed transaction added, dropped with the partition.
Holds the visible eras only, so its size is bounded by the number of cells.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from consumer.fold import Counts, Fold, ShareKey, add_evidence
from schemas.evidence import ZERO, SeriesKey, Sums, reading_ms, visible
from schemas.possible import is_evidence
from schemas.snapshot import Snapshot


@dataclass(slots=True)
class Share:
    """One partition's share of the evidence of one (router, request type)."""

    counts: Counts = field(default_factory=Counts)
    evidence: dict[SeriesKey, Sums] = field(default_factory=dict)


class Shares:
    """All shares of the partitions that this writer owns."""

    def __init__(self) -> None:
        self._shares: dict[ShareKey, Share] = {}

    def add(self, fold: Fold) -> set[ShareKey]:
        """Add what a committed batch added; the keys whose snapshot has changed."""
        for key, counts in fold.counts.items():
            self._shares.setdefault(key, Share()).counts.add(counts)
        for key, evidence in fold.evidence.items():
            add_evidence(self._shares[key].evidence, evidence.items())
        return fold.counts.keys() | fold.evidence.keys()

    def load(
        self,
        counts: Iterable[tuple[ShareKey, Counts]],
        evidence: Iterable[tuple[ShareKey, SeriesKey, Sums | None]],
    ) -> int:
        """Add the shares of partitions just taken, as the store has them. Rows that can't be
        evidence are left out; how many."""
        for key, its_counts in counts:
            self._shares[key] = Share(its_counts)
        refused = 0
        for key, series, sums in evidence:
            share = self._shares[key]
            at = share.counts
            read_ms = reading_ms(series.arm, series.metric, at.as_of_ms, at.seen_ms)
            if sums is not None and is_evidence(series, sums, read_ms):
                share.evidence[series] = sums
            else:
                refused += 1
        return refused

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that were given up."""
        gone = set(partitions)
        self._shares = {k: s for k, s in self._shares.items() if k.partition not in gone}

    def keys(self, partition: int) -> set[ShareKey]:
        return {key for key in self._shares if key.partition == partition}

    def of_routers(self, routers: Container[tuple[int, str]]) -> set[ShareKey]:
        """The keys of the shares of some routers, each with its partition."""
        return {key for key in self._shares if (key.partition, key.router) in routers}

    def snapshot(
        self,
        key: ShareKey,
        epoch: int,
        source_offset: int,
        arms: Container[str] | None = None,
        generation: int = 0,
    ) -> Snapshot:
        """The share as it is now, of these arms only if some are given. What has decayed to
        nothing, or was all taken back, is left out, and forgotten. Raises KeyError for a share that
        there is none of."""
        share = self._shares[key]
        as_of_ms = share.counts.as_of_ms
        seen_ms = dict(share.counts.seen_ms)
        kept = ((k, share.evidence[k]) for k in visible(share.evidence, as_of_ms, seen_ms))
        share.evidence = {k: sums for k, sums in kept if sums != ZERO}
        return Snapshot(
            router=key.router,
            request_type=key.request_type,
            partition=key.partition,
            generation=generation,
            epoch=epoch,
            source_offset=source_offset,
            as_of_ms=as_of_ms,
            folded=share.counts.folded,
            duplicates=share.counts.duplicates,
            late=share.counts.late,
            seen_ms={arm: at for arm, at in seen_ms.items() if arms is None or arm in arms},
            evidence={
                key: sums for key, sums in share.evidence.items() if arms is None or key.arm in arms
            },
        )

    def evidence(self) -> Mapping[ShareKey, Mapping[SeriesKey, Sums]]:
        """All evidence held, for checks."""
        return {key: share.evidence for key, share in self._shares.items()}
