"""The pure fold, driven as the writer drives it, with dictionaries for Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.facts import SessionKey
from consumer.fold import MAX_BATCH_EVENTS, Counts, ShareKey, complete, prepare, turns_of
from consumer.rebuild.contents import is_kept
from consumer.records import Batch, split
from consumer.routers import Routers
from consumer.sessions import SessionState, attribute, turns_moved
from consumer.turn_memory import TurnMemory
from consumer.writer import believe
from schemas.codec import Event
from schemas.evidence import SeriesKey, Sums, digest
from tests.factories import records
from tests.oracle import Row


class InMemory:
    """One writer of partition 0."""

    def __init__(self) -> None:
        self.routers: Routers = {}
        self.turns = TurnMemory()
        self.stream_time: dict[int, int] = {}
        self._rows: dict[tuple[ShareKey, SeriesKey], Sums] = {}
        self.counts: dict[ShareKey, Counts] = {}
        self.sessions: dict[SessionKey, SessionState] = {}
        self.folded = self.duplicates = self.late = self.dead = 0

    def write(self, events: Sequence[Event]) -> None:
        for piece in split(Batch.of({0: records(events)}), MAX_BATCH_EVENTS):
            self._write_batch(piece)

    def _write_batch(self, batch: Batch) -> None:
        self.routers, facts = believe(batch, self.routers)
        self.dead += len(facts.dead)
        voided = self.turns.voided(turns_moved(facts))
        facts, changed = attribute(facts, self.routers, self.sessions, self.stream_time, voided)
        self.sessions |= changed
        turns = turns_of(facts.events)
        prepared = prepare(facts, turns, self.turns.counted(turns), self.stream_time)
        result = complete(prepared, self.turns.ledgers(turns, prepared.to_settle))
        self.turns.save(turns, result)
        self.stream_time = dict(result.stream_time_ms)
        for share, evidence in result.evidence.items():
            for series, sums in evidence.items():
                known = self._rows.get((share, series), Sums(0, 0, 0))
                self._rows[share, series] = known.plus(sums)
        for share, counts in result.counts.items():
            self.counts.setdefault(share, Counts()).add(counts)
            self.folded += counts.folded
            self.duplicates += counts.duplicates
            self.late += counts.late

    @property
    def rows(self) -> dict[tuple[ShareKey, SeriesKey], Sums]:
        """The evidence that has not decayed to nothing: of the rest the fold may leave out any."""
        return {key: sums for key, sums in self._rows.items() if self.keeps(*key)}

    def keeps(self, share: ShareKey, series: SeriesKey) -> bool:
        return is_kept(series, self.counts.get(share, Counts()))

    def digests(self) -> dict[ShareKey, bytes]:
        """Of each share with any evidence left."""
        shares: dict[ShareKey, dict[SeriesKey, Sums]] = {}
        for (share, series), sums in self.rows.items():
            shares.setdefault(share, {})[series] = sums
        left = {share: rows for share, rows in shares.items() if any(map(any, rows.values()))}
        return {share: digest(rows) for share, rows in left.items()}

    def as_oracle_rows(self) -> dict[Row, list[int]]:
        """The evidence in the form of `tests.oracle`."""
        return {
            (k.router, k.request_type, s.arm, s.metric, s.pace, s.era): list(sums)
            for (k, s), sums in self.rows.items()
        }

    def kept_of(self, rows: Mapping[Row, list[int]]) -> dict[Row, list[int]]:
        """The rows of an oracle that has seen the same log, without what has decayed here."""
        return {row: sums for row, sums in rows.items() if self._keeps_row(row)}

    def _keeps_row(self, row: Row) -> bool:
        router, kind, arm, metric, pace, row_era = row
        for kept_pace, half_life_ms in self.routers[0, router].half_lives.paces(metric):
            if kept_pace == pace:
                series = SeriesKey(arm, metric, kept_pace, half_life_ms, row_era)
                return self.keeps(ShareKey(0, router, kind), series)
        raise AssertionError(f"the oracle has {row}, of a pace that is not kept")
