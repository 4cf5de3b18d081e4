"""One partition's fold in memory: the writer's steps, with this state in the place of the store.

What has been folded since the last checkpoint is kept apart, so that one transaction can save it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.fold import (
    MAX_BATCH_EVENTS,
    Counts,
    Fold,
    ShareKey,
    TurnSets,
    add_evidence,
    complete,
    prepare,
    turns_of,
)
from consumer.progress import Progress
from consumer.rebuild.contents import Contents, Evidence, Folded, kept
from consumer.rebuild.session_states import SessionStates
from consumer.rebuild.settings import RebuildSettings, RevisedLog
from consumer.rebuild.turn_states import TurnStates
from consumer.records import Batch, DeadLetter, split
from consumer.routers import Routers
from consumer.sessions import Sessions, attribute, turns_moved
from consumer.writer import believe
from schemas.evidence import SeriesKey, Sums

# Evidence at a half-life of seconds has a row for each minute or so of the log: without dropping
# what has decayed, a year of it would not fit into memory. Looked through each time it has doubled.
_PRUNE_ROWS: Final = 50_000


@dataclass(slots=True)
class Unsaved:
    """What the events since the last checkpoint have added."""

    evidence: Evidence = field(default_factory=dict)
    counts: dict[ShareKey, Counts] = field(default_factory=dict)
    dead: list[tuple[Batch, Sequence[DeadLetter]]] = field(default_factory=list)
    routers: set[tuple[int, str]] = field(default_factory=set)
    events: int = 0

    def fold(self) -> Fold:
        """Evidence and counts as `Transaction.add` takes them."""
        return Fold(self.evidence, self.counts, np.empty(0, dtype=np.int64), {})

    def buried(self) -> tuple[Batch, list[DeadLetter]]:
        """The dead letters as `Transaction.bury` takes them: with a batch of just their records."""
        letters = [letter for _, some in self.dead for letter in some]
        batch = Batch.joined([batch for batch, _ in self.dead]) if self.dead else Batch.of({})
        return batch, [letter._replace(row=at) for at, letter in enumerate(letters)]


class Evaluated(NamedTuple):
    """What a batch would do to the state before it."""

    routers: Routers
    sessions: Sessions
    turns: TurnSets
    counted: NDArray[np.int64]
    fold: Fold
    dead: Sequence[DeadLetter]


class PartitionFold:
    """Folds the records of one partition, in order, each once.

    `progress` is as of the last record folded, `saved` as of the last checkpoint. With `saves`
    False there will be none, and what only a checkpoint needs is not kept. `strict` as in
    RevisedLog.
    """

    def __init__(
        self,
        progress: Progress,
        settings: RebuildSettings,
        *,
        saves: bool,
        strict: bool = True,
    ) -> None:
        self.partition = progress.partition
        self.progress = progress
        self.saved = replace(progress)
        self.routers: Routers = {}
        self.turns = TurnStates(progress.partition, saves=saves)
        self.sessions = SessionStates(progress.partition)
        self.counts: dict[ShareKey, Counts] = {}
        self.unsaved = Unsaved()
        self._log = RevisedLog(settings, strict=strict)
        self._saves = saves
        self._without_arms = frozenset(settings.exclude_arms)
        self._prune_at = _PRUNE_ROWS

    @property
    def forgotten_before_ms(self) -> int:
        """Turns older than this are beyond every router's attribution window."""
        windows = [router.window_ms for router in self.routers.values()]
        return self.progress.stream_time_ms - max(windows) if windows else 0

    def fold(self, batch: Batch) -> None:
        """Fold records that follow on from `progress.next_offset`. Raises RebuildRefused."""
        if not len(batch):
            return
        for piece in self.pieces(batch):
            self.apply(piece, self.evaluate(piece))
        self.pass_over(batch)

    def configure(self, batch: Batch) -> None:
        """Learn the routers that records before the start configure; fold nothing."""
        for piece in self.pieces(batch.take(batch.configurations())):
            self.routers, _ = believe(piece, self.routers)
        self.unsaved.routers |= self.routers.keys()

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        """The records as the settings would have them, cut into batches."""
        return split(self._log.revise(batch), MAX_BATCH_EVENTS)

    def evaluate(self, batch: Batch) -> Evaluated:
        """What a batch of records would do. Changes nothing."""
        routers, facts = believe(batch, self.routers)
        stream_time = {self.partition: self.progress.stream_time_ms}
        known = self.sessions.known(list({event.session for event in facts.sessions}))
        voided = self.turns.voided(turns_moved(facts))
        facts, sessions = attribute(facts, routers, known, stream_time, voided)
        turns = turns_of(facts.events)
        counted = self.turns.counted(turns)
        prepared = prepare(facts, turns, counted, stream_time)
        folded = complete(prepared, self.turns.ledgers(turns, prepared.to_settle))
        return Evaluated(routers, sessions, turns, counted, folded, facts.dead)

    def apply(self, batch: Batch, found: Evaluated) -> None:
        """Take over what `evaluate` found of the same records."""
        routers, folded = found.routers, found.fold
        self.unsaved.routers |= {
            key for key, router in routers.items() if self.routers.get(key) is not router
        }
        self.routers = routers
        old_ms = self.forgotten_before_ms
        self.turns.save(found.turns, found.counted, folded, old_ms)
        self.sessions.save(found.sessions, old_ms)
        for share, evidence in folded.evidence.items():
            rows = ((s, sums) for s, sums in evidence.items() if s.arm not in self._without_arms)
            add_evidence(self.unsaved.evidence.setdefault(share, {}), rows)
        self.progress.stream_time_ms = folded.stream_time_ms[self.partition]
        self._count(folded.counts)
        self.progress.dead += len(found.dead)
        if self._saves and found.dead:
            self.unsaved.dead.append((batch.take([dead.row for dead in found.dead]), found.dead))

    def pass_over(self, batch: Batch) -> None:
        """All that these records bring has been taken over."""
        self.progress.next_offset = int(batch.offset[-1]) + 1
        self.unsaved.events += len(batch)
        self._prune()

    def contents(self, stored: Mapping[ShareKey, Mapping[SeriesKey, Sums]]) -> Contents:
        """All that has been folded; `stored` is the evidence of the last checkpoint."""
        evidence = {share: dict(rows) for share, rows in stored.items()}
        for share, rows in self.unsaved.evidence.items():
            add_evidence(evidence.setdefault(share, {}), rows.items())
        return Contents(self.partition, folded_of(self.progress), self.counts, evidence)

    def close(self) -> None:
        """Give back what the state holds on disk."""
        self.turns.close()

    def mark_saved(self) -> None:
        """A checkpoint has been committed: nothing is unsaved."""
        self.saved = replace(self.progress)
        self.turns.mark_saved()
        self.sessions.mark_saved()
        self.unsaved = Unsaved()
        self._prune_at = _PRUNE_ROWS

    def _count(self, counts: Mapping[ShareKey, Counts]) -> None:
        for share, more in counts.items():
            self.counts.setdefault(share, Counts()).add(more)
            self.unsaved.counts.setdefault(share, Counts()).add(more)
            self.progress.folded += more.folded
            self.progress.duplicates += more.duplicates
            self.progress.late += more.late

    def _prune(self) -> None:
        """Leave out evidence that has decayed to nothing."""
        if sum(map(len, self.unsaved.evidence.values())) < self._prune_at:
            return
        self.prune()
        left = sum(map(len, self.unsaved.evidence.values()))
        self._prune_at = max(_PRUNE_ROWS, 2 * left)

    def prune(self) -> None:
        """Leave out unsaved evidence that any consumer may drop."""
        for share, rows in self.unsaved.evidence.items():
            self.unsaved.evidence[share] = kept(rows, self.counts.get(share, Counts()))


def folded_of(progress: Progress) -> Folded:
    """The part of a writer's progress that is the fold's own."""
    return Folded(*(getattr(progress, name) for name in Folded._fields))
