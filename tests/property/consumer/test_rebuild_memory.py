"""A rebuild's state in memory against dictionaries, for any events, batches and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.fold import ShareKey
from consumer.ledger import Ledger
from consumer.progress import Progress
from consumer.ragged import Ragged
from consumer.rebuild.id_table import IdTable, halves_of
from consumer.rebuild.ledger_file import LedgerFile
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.state import PartitionFold
from consumer.rebuild.turn_states import UnsavedTurns
from consumer.records import Batch
from schemas.evidence import ZERO, SeriesKey, Sums
from tests.factories import records
from tests.in_memory import InMemory
from tests.property.consumer.test_fold import logs

IDS = st.binary(min_size=16, max_size=16) | st.integers(0, 40).map(lambda i: i.to_bytes(16, "big"))


@pytest.fixture(autouse=True, scope="module")
def few_turns_at_a_time() -> Iterator[None]:
    """So that a checkpoint is made in several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("consumer.rebuild.turn_states._TURNS_AT_A_TIME", 3)
        yield


class Tables:
    """What `Transaction.save_turns` leaves in Postgres, as a dictionary."""

    def __init__(self) -> None:
        self.turns: dict[tuple[int, int], tuple[int, bytes]] = {}

    def save(self, unsaved: UnsavedTurns) -> None:
        turns, before, after, entries, ledgers = unsaved
        ids = zip(turns.hi.tolist(), turns.lo.tolist(), strict=True)
        appended = entries.to_list()
        for place, turn in enumerate(ids):
            if place in ledgers:
                self.turns[turn] = int(after[place]), ledgers[place]
            elif before[place] == 0:
                assert turn not in self.turns, "a new turn that is stored already"
                if after[place]:
                    self.turns[turn] = int(after[place]), appended[place]
            else:
                self.turns[turn] = int(after[place]), self.turns[turn][1] + appended[place]

    def load(self, state: PartitionFold) -> None:
        ids = b"".join((hi << 64 | lo).to_bytes(16, "big") for hi, lo in self.turns)
        ledgers = [ledger for _, ledger in self.turns.values()]
        state.turns.load(
            halves_of(ids),
            np.array([counted for counted, _ in self.turns.values()], dtype=np.int64),
            Ragged(
                np.array([len(ledger) for ledger in ledgers], dtype=np.int64),
                np.frombuffer(b"".join(ledgers), dtype=np.uint8),
            ),
        )

    def read(self) -> dict[tuple[int, int], tuple[int, Ledger]]:
        return {turn: (at, Ledger.read(ledger)) for turn, (at, ledger) in self.turns.items()}


def rows(evidence: Mapping[ShareKey, Mapping[SeriesKey, Sums]]) -> dict[Any, Sums]:
    return {
        (share, series): sums
        for share, of_share in evidence.items()
        for series, sums in of_share.items()
        if sums != ZERO
    }


def expected(log: list[Any]) -> tuple[InMemory, dict[tuple[int, int], tuple[int, Ledger]]]:
    """The same log folded with dictionaries."""
    folded = InMemory()
    folded.write(log)
    sets, ledgers = folded.turns._counted, folded.turns._ledgers
    turns = {
        (turn >> 64, turn & (1 << 64) - 1): (
            sets.get((partition, turn), 0),
            Ledger.read(ledgers.get((partition, turn), b"")),
        )
        for partition, turn in sets.keys() | ledgers.keys()
    }
    return folded, {turn: at for turn, at in turns.items() if at != (0, Ledger())}


class Rebuilt:
    """A partition folded in memory, checkpointed into dictionaries, and begun again from them."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.evidence: dict[Any, Sums] = {}
        self._open = ExitStack()
        self.state = self._opened(Progress(0, 1, 0))

    def _opened(self, progress: Progress) -> PartitionFold:
        state = PartitionFold(progress, RebuildSettings(), saves=True)
        self._open.callback(state.close)
        return state

    def checkpoint(self) -> None:
        for some in self.state.turns.unsaved():
            self.tables.save(some)
        _add(self.evidence, rows(self.state.unsaved.evidence))
        self.state.mark_saved()

    def restart(self) -> None:
        before, self.state = self.state, self._opened(self.state.progress)
        self.state.routers, self.state.counts = before.routers, before.counts
        self.state.sessions = before.sessions
        self.tables.load(self.state)

    def close(self) -> None:
        self._open.close()


@settings(max_examples=80, deadline=None)
@given(logs(), st.data())
def test_any_batches_and_checkpoints_and_restarts_give_the_fold(
    log: list[Any], data: st.DataObject
) -> None:
    oracle, turns = expected(log)
    with closing(Rebuilt()) as rebuilt:
        everything, at = records(log), 0
        while at < len(everything):
            step = data.draw(st.integers(1, len(everything)), label="batch")
            rebuilt.state.fold(Batch.of({0: everything[at : at + step]}))
            at += step
            if data.draw(st.booleans(), label="checkpoint"):
                rebuilt.checkpoint()
                if data.draw(st.booleans(), label="restart"):
                    rebuilt.restart()
        rebuilt.checkpoint()
        progress = rebuilt.state.progress
        sessions = rebuilt.state.sessions.known(list(oracle.sessions))
    kept = {row: sums for row, sums in rebuilt.evidence.items() if oracle.keeps(*row)}
    assert {row: sums for row, sums in kept.items() if sums != ZERO} == {
        row: sums for row, sums in oracle.rows.items() if sums != ZERO
    }
    assert (progress.folded, progress.duplicates, progress.late, progress.dead) == (
        oracle.folded,
        oracle.duplicates,
        oracle.late,
        oracle.dead,
    )
    assert rebuilt.tables.read() == turns
    assert sessions == oracle.sessions


def _add(into: dict[Any, Sums], more: Mapping[Any, Sums]) -> None:
    for row, sums in more.items():
        into[row] = into.get(row, ZERO).plus(sums)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(IDS, max_size=50), max_size=20), st.randoms(use_true_random=False))
def test_an_id_table_is_a_dictionary(batches: list[list[bytes]], rng: Any) -> None:
    table, plain = IdTable(width=1), dict[bytes, int]()
    for batch in batches:
        for ids in (batch, rng.choices(batch, k=300) if batch else []):
            slots = table.place(halves_of(b"".join(ids)))
            values = [rng.getrandbits(64) for _ in set(ids)]
            latest = dict(zip(dict.fromkeys(ids), values, strict=True))
            unique = table.find(halves_of(b"".join(latest)))
            table.put(unique, 0, np.array(values, dtype=np.uint64))
            plain |= latest
            assert (table.values(slots, 0) == [latest[i] for i in ids]).all()
    known = list(plain)
    found = table.find(halves_of(b"".join(known)))
    assert table.values(found, 0).tolist() == list(plain.values())
    assert len(table) == len(plain)
    strangers = [i for i in (rng.randbytes(16) for _ in range(50)) if i not in plain]
    missing = table.find(halves_of(b"".join(strangers)))
    assert (missing == -1).all()
    assert (table.values(missing, 0) == 0).all()


def test_an_id_table_that_grows_and_forgets_keeps_its_marks() -> None:
    table, count = IdTable(width=2), 50_000
    ids = halves_of(np.random.default_rng(1).bytes(16 * count))
    for start in range(0, count, 7_000):
        slots = table.place(ids[start : start + 7_000])
        table.put(slots, 1, ids[start : start + 7_000, 1])
        if start < 21_000:
            table.mark_stored(slots)
    assert len(table.changed()) == count - 21_000
    assert table.is_stored(table.find(ids)).tolist() == [True] * 21_000 + [False] * (count - 21_000)
    odd = table.used()[table.values(table.used(), 1) % np.uint64(2) == 1]
    table.keep(odd)
    kept = ids[ids[:, 1] % np.uint64(2) == 1]
    assert len(table) == len(kept)
    assert (table.values(table.find(kept), 1) == kept[:, 1]).all()
    assert (table.find(ids[ids[:, 1] % np.uint64(2) == 0]) == -1).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=1, max_size=30)), max_size=40))
def test_a_ledger_file_gives_back_what_was_appended(entries: list[tuple[int, bytes]]) -> None:
    at, plain = dict[int, int](), dict[int, bytes]()
    with closing(LedgerFile()) as file:
        for turn, entry in entries:
            (position,) = file.append(
                Ragged(np.array([len(entry)]), np.frombuffer(entry, dtype=np.uint8)),
                np.array([at.get(turn, 0)], dtype=np.uint64),
                np.array([turn]),
            ).tolist()
            at[turn], plain[turn] = position, plain.get(turn, b"") + entry
        assert {turn: file.read(position) for turn, position in at.items()} == plain
        assert file.read(0) == b""
