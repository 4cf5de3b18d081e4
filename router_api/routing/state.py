"""What a router has learned so far: shares of evidence by partition, merged by request type.

A pure function of the snapshots applied: neither their order across partitions nor repeats change
it, and no clock is read. The reading time of a type is the latest turn time that any of its shares
counts, so evidence does not fade while nothing happens, and every replica reads the same numbers.

A snapshot comes from outside. What can't be evidence (negative sums, a mean outside the metric's
range, an era from the future) is left out and counted here, so that nothing downstream, least of
all a pick, has to defend itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Self

from schemas.events import Progress
from schemas.evidence import Evidence, SeriesKey, Sums, digest, reading_ms, visible
from schemas.possible import is_evidence
from schemas.posterior import MetricEvidence, metrics_at
from schemas.snapshot import Snapshot
from schemas.topics import DEFAULT_EVENT_PARTITIONS

# A version names every partition up to the highest: one corrupt number must not make it megabytes.
MAX_PARTITIONS: Final = 4096
# One corrupt number must not keep a router waiting for the rest of its generation.
MAX_GENERATION: Final = 1_000_000
# Turn times are the 48 bits of a UUIDv7.
_MAX_TIME_MS: Final = (1 << 48) - 1
NO_SHARE: Final = "-"
_PARTITION: Final = re.compile(r"[0-9]{1,10}")


class ShareKey(NamedTuple):
    """What one record of the snapshots topic is about."""

    router: str
    request_type: str
    partition: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        return cls(snapshot.router, snapshot.request_type, snapshot.partition)

    @classmethod
    def parse(cls, key: bytes) -> Self | None:
        """The key in a record's bytes; None for any other key (of Progress, for instance)."""
        router, _, rest = key.decode(errors="replace").partition("/")
        request_type, _, partition = rest.partition("/")
        if not (router and request_type and _PARTITION.fullmatch(partition)):
            return None
        return cls(router, request_type, int(partition))


class Counts(NamedTuple):
    """Events behind a state, as the writers counted them."""

    folded: int = 0
    duplicates: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """One partition's part of the evidence of a type, without the rows that were refused."""

    position: tuple[int, int, int]
    as_of_ms: int
    counts: Counts
    seen_ms: Mapping[str, int]
    evidence: Evidence
    refused_rows: int
    applied_at_ms: int

    @property
    def source_offset(self) -> int:
        return self.position[2]


@dataclass(frozen=True)
class Reading:
    """All evidence of one (router, request type) at one moment; immutable.

    `evidence` holds the rows visible at `as_of_ms` in key order, so that everything computed from
    it, in doubles, has the same last bit everywhere. Without any share `as_of_ms` is 0.
    """

    version: str
    as_of_ms: int
    applied_at_ms: int | None
    seen_ms: Mapping[str, int]
    evidence: Evidence

    @cached_property
    def digest(self) -> bytes:
        """Digest of the evidence; equal for equal evidence, however it was split or ordered."""
        return digest(self.evidence)

    @cached_property
    def metrics(self) -> Mapping[str, Mapping[str, MetricEvidence]]:
        """{arm: {metric: evidence}} at the reading time."""
        return metrics_at(self.evidence, self.as_of_ms, self.seen_ms)


class TypeState:
    """The shares of one (router, request type), all of one generation. `revision` rises with every
    change."""

    def __init__(self, partitions: int, generation: int = 0) -> None:
        self.revision = 0
        self.shares: dict[int, Share] = {}
        self._partitions = partitions
        self._generation = generation
        self._reading: Reading | None = None

    def apply(self, snapshot: Snapshot, applied_at_ms: int) -> bool:
        """Take the share unless one as new is there. True if the state has changed."""
        known = self.shares.get(snapshot.partition)
        if known is not None and snapshot.position <= known.position:
            return False
        self.shares[snapshot.partition] = _checked(snapshot, applied_at_ms)
        self._changed()
        return True

    def remove(self, partition: int) -> bool:
        """Forget a partition's share. True if there was one."""
        if self.shares.pop(partition, None) is None:
            return False
        self._changed()
        return True

    def begin(self, generation: int) -> None:
        """Forget everything, and wait for the shares of another generation."""
        self.shares.clear()
        self._generation = generation
        self._changed()

    def read(self) -> Reading:
        """The merged evidence; computed once per revision."""
        if self._reading is None:
            self._reading = _merge(self.shares, self._partitions, self._generation)
        return self._reading

    def _changed(self) -> None:
        self.revision += 1
        self._reading = None


class RouterState:
    """Everything learned of one router, by request type. Not thread-safe."""

    def __init__(self, partitions: int = DEFAULT_EVENT_PARTITIONS, generation: int = 0) -> None:
        """`partitions` of the events topic: the places in a snapshot version."""
        self.refused_rows = 0
        self.refused_snapshots = 0
        self._partitions = partitions
        self._generation = generation
        self._types: dict[str, TypeState] = {}

    def of(self, request_type: str) -> TypeState:
        """The state of a type, empty if nothing is known; the same object for ever."""
        state = self._types.get(request_type)
        if state is None:
            state = self._types[request_type] = TypeState(self._partitions, self._generation)
        return state

    def apply(self, snapshot: Snapshot, applied_at_ms: int) -> bool:
        """Take in a snapshot. True if it changed something: it is newer than what is known, and of
        this generation.

        Never raises: a snapshot whose position or time is impossible is refused and counted, and
        so is each impossible row of any other.
        """
        if not is_possible(snapshot):
            self.refused_snapshots += 1
            return False
        if snapshot.generation != self._generation:
            return False
        state = self.of(snapshot.request_type)
        if not state.apply(snapshot, applied_at_ms):
            return False
        self.refused_rows += state.shares[snapshot.partition].refused_rows
        return True

    def begin(self, generation: int) -> None:
        """Forget everything, and wait for the shares of another generation."""
        self._generation = generation
        for state in self._types.values():
            state.begin(generation)

    def remove(self, request_type: str, partition: int) -> bool:
        """Forget a share (a tombstone was read). True if there was one."""
        state = self._types.get(request_type)
        return state is not None and state.remove(partition)

    def digest(self) -> str:
        """Hexadecimal digest of all visible evidence, of all types.

        Equal for equal evidence, however it is split over partitions and whatever its history.
        """
        hasher = hashlib.blake2b(digest_size=16)
        for name in sorted(self._types):
            reading = self._types[name].read()
            if reading.evidence:
                hasher.update(name.encode() + b"\x1f" + reading.digest)
        return hasher.hexdigest()

    def counts(self) -> Counts:
        """Events folded, repeated and late, over all types and partitions."""
        every = [share.counts for _, _, share in self.shares()]
        return Counts(*map(sum, zip(*every, strict=True))) if every else Counts()

    def shares(self) -> Iterator[tuple[str, int, Share]]:
        """(request type, partition, share) of every share."""
        for request_type, state in self._types.items():
            for partition, share in state.shares.items():
                yield request_type, partition, share

    def applied_at_ms(self) -> int | None:
        """When the newest evidence was applied; None before any."""
        return max((share.applied_at_ms for _, _, share in self.shares()), default=None)


class PartitionProgress:
    """How far each events partition has been folded, as its writer says."""

    def __init__(self) -> None:
        self._latest: dict[int, Progress] = {}

    def apply(self, progress: Progress) -> bool:
        """Take it unless something as new is known. True if it changed something."""
        known = self._latest.get(progress.partition)
        if known is not None and position_of(progress) <= position_of(known):
            return False
        self._latest[progress.partition] = progress
        return True

    def remove(self, partition: int) -> bool:
        """Forget a partition (a tombstone was read). True if it was known."""
        return self._latest.pop(partition, None) is not None

    @property
    def dead(self) -> int:
        """Dead letters of all partitions."""
        return sum(progress.dead for progress in self._latest.values())


def position_of(progress: Progress) -> tuple[int, int, int]:
    """Orders what is said of a partition: generation, the writer's epoch, its progress."""
    return progress.generation, progress.epoch, progress.next_offset


def is_possible(snapshot: Snapshot) -> bool:
    """True for a snapshot whose position and time can be those of one."""
    return (
        0 <= snapshot.partition < MAX_PARTITIONS
        and 0 <= snapshot.generation <= MAX_GENERATION
        and snapshot.epoch >= 0
        and snapshot.source_offset >= 0
        and 0 <= snapshot.as_of_ms <= _MAX_TIME_MS
    )


def _checked(snapshot: Snapshot, applied_at_ms: int) -> Share:
    rows: dict[SeriesKey, Sums] = {}
    refused = 0
    as_of_ms = snapshot.as_of_ms
    seen_ms = {arm: at for arm, at in snapshot.seen_ms.items() if 0 < at <= as_of_ms}
    for key, sums in snapshot.evidence.items():
        if not is_evidence(key, sums, reading_ms(key.arm, key.metric, as_of_ms, seen_ms)):
            refused += 1
        elif sums.n:  # a row that sums to nothing, all retracted, equals an absent one
            rows[key] = sums
    counts = Counts(snapshot.folded, snapshot.duplicates, snapshot.late)
    return Share(snapshot.position, as_of_ms, counts, seen_ms, rows, refused, applied_at_ms)


def version_of(generation: int, places: Iterable[str]) -> str:
    """The name of a state: the source offset of each partition's share, `-` for none, joined by
    dots; from generation 1 on with its number in front, as in `2:1204.-.998.310`."""
    offsets = ".".join(places)
    return f"{generation}:{offsets}" if generation else offsets


def _merge(shares: Mapping[int, Share], partitions: int, generation: int) -> Reading:
    total: dict[SeriesKey, Sums] = {}
    seen_ms: dict[str, int] = {}
    for share in shares.values():
        for arm, at in share.seen_ms.items():
            seen_ms[arm] = max(at, seen_ms.get(arm, 0))
        for key, sums in share.evidence.items():
            known = total.get(key)
            total[key] = sums if known is None else known.plus(sums)
    as_of_ms = max((share.as_of_ms for share in shares.values()), default=0)
    places = max((partitions, *(partition + 1 for partition in shares)))
    return Reading(
        version=version_of(
            generation,
            (
                str(shares[partition].source_offset) if partition in shares else NO_SHARE
                for partition in range(places)
            ),
        ),
        as_of_ms=as_of_ms,
        applied_at_ms=max((share.applied_at_ms for share in shares.values()), default=None),
        seen_ms=seen_ms,
        evidence={key: total[key] for key in visible(total, as_of_ms, seen_ms)},
    )
