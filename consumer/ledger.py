"""The ledger of a turn: what each outcome has said about it, so that it can be taken back exactly.

Entries stand one behind the other, in log order; all numbers are big-endian:

    outcome id (16)   cell (8)   kind and number of facts (1)   of each fact: code (1), value (4)

The facts of an entry are counted, or wait (`consumer.voids`), or there are none and the outcome is
void. As long as nothing waits and nothing is void a ledger only grows, and need not be read for
that. A cell is held as a hash of its names: 64 bits do, as there are thousands and not billions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumer.cells import Cell
from consumer.facts import Facts
from consumer.ragged import Ragged, interleave, stable_order
from consumer.routers import KnownRouter

_COUNTED: Final = 0
_WAITING: Final = 64  # above the number of facts that a turn can have
_VOID: Final = 255
_HEAD: Final = Struct(">16sQB")
_FACT: Final = Struct(">Bi")
_HEADS: Final = np.dtype([("outcome", "V16"), ("cell", ">u8"), ("facts", "u1")])
_FACTS: Final = np.dtype([("code", "u1"), ("fixed", ">i4")])
# Entries are put together in units of a fact: a head is as long as five of them.
_UNIT: Final = np.dtype(f"V{_FACT.size}")
_HEAD_UNITS: Final = _HEAD.size // _FACT.size


class Fact(NamedTuple):
    """One metric of the turn, as an outcome has reported it."""

    cell: int  # its tag
    code: int
    fixed: int


@dataclass(slots=True)
class Record:
    """The facts of one outcome by code."""

    counted: dict[int, Fact] = field(default_factory=dict)
    waiting: dict[int, Fact] = field(default_factory=dict)

    def says(self, code: int) -> bool:
        return code in self.counted or code in self.waiting


@dataclass(slots=True)
class Ledger:
    """One turn's ledger: its outcomes in order, and those that are void."""

    records: dict[bytes, Record] = field(default_factory=dict)
    voided: set[bytes] = field(default_factory=set)

    @classmethod
    def read(cls, data: bytes) -> Self:
        ledger = cls()
        at = 0
        while at < len(data):
            outcome_id, cell, kind = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            if kind == _VOID:
                ledger.voided.add(outcome_id)
                continue
            record = ledger.records.setdefault(outcome_id, Record())
            facts = record.counted if kind < _WAITING else record.waiting
            end = at + kind % _WAITING * _FACT.size
            for code, fixed in _FACT.iter_unpack(data[at:end]):
                facts[code] = Fact(cell, code, fixed)
            at = end
        return ledger

    def to_bytes(self) -> bytes:
        return b"".join([*self._entries(), *(_HEAD.pack(v, 0, _VOID) for v in sorted(self.voided))])

    def _entries(self) -> Iterator[bytes]:
        for outcome_id, record in self.records.items():
            for kind, facts in ((_COUNTED, record.counted), (_WAITING, record.waiting)):
                by_cell: dict[int, list[bytes]] = {}
                for cell, code, fixed in facts.values():
                    by_cell.setdefault(cell, []).append(_FACT.pack(code, fixed))
                for cell, packed in by_cell.items():
                    yield _HEAD.pack(outcome_id, cell, kind + len(packed)) + b"".join(packed)


def outcome_ids(data: bytes) -> set[bytes]:
    """The outcomes in a ledger, without reading all of it."""
    found: set[bytes] = set()
    at = 0
    while at < len(data):
        outcome_id, _, kind = _HEAD.unpack_from(data, at)
        found.add(outcome_id)
        at += _HEAD.size + (0 if kind == _VOID else kind % _WAITING * _FACT.size)
    return found


@lru_cache(maxsize=1 << 14)
def cell_tag(router: str, request_type: str, arm: str) -> int:
    """What a ledger calls a cell."""
    names = "\x1f".join((router, request_type, arm)).encode()
    return int.from_bytes(hashlib.blake2b(names, digest_size=8).digest(), "big")


def tag_of(cell: Cell) -> int:
    return cell_tag(cell.router.router, cell.request_type, cell.arm)


def tags_of_router(router: KnownRouter) -> Mapping[int, tuple[str, str]]:
    """(request type, arm) by tag, of all that the router ever had."""
    return _tags(router.router, router.request_types, router.arms)


@lru_cache(maxsize=64)
def _tags(
    router: str, request_types: tuple[str, ...], arms: tuple[str, ...]
) -> Mapping[int, tuple[str, str]]:
    return {cell_tag(router, kind, arm): (kind, arm) for kind in request_types for arm in arms}


def entries_of(
    facts: Facts, turn_of_event: NDArray[np.int64], turns: int, new: NDArray[np.bool_]
) -> Ragged:
    """For each of the turns the entries of those of its facts that are new, and of outcomes."""
    outcome = facts.outcomes[facts.events.row]
    which = np.flatnonzero(new & (outcome[facts.event] >= 0))
    turn = turn_of_event[facts.event[which]]
    which = which[stable_order(turn, turns)]
    event = facts.event[which]
    starts = np.flatnonzero(np.diff(event, prepend=-1))
    counts = np.diff(starts, append=len(event))
    first = event[starts]
    heads = np.empty(len(starts), dtype=_HEADS)
    heads["outcome"] = facts.outcome_ids[outcome[first]]
    heads["cell"] = _tags_of(facts)[facts.events.cell[first]]
    heads["facts"] = counts
    bodies = np.empty(len(which), dtype=_FACTS)
    bodies["code"], bodies["fixed"] = facts.code[which], facts.fixed[which]
    units = interleave(
        heads.view(_UNIT).reshape(-1, _HEAD_UNITS), bodies.view(_UNIT).reshape(-1), counts
    )
    lengths = np.zeros(turns, dtype=np.int64)
    np.add.at(lengths, turn_of_event[first], _HEAD.size + _FACT.size * counts)
    return Ragged(lengths, units.view(np.uint8))


def _tags_of(facts: Facts) -> NDArray[Any]:
    return np.array([tag_of(cell) for cell in facts.cells], dtype=np.uint64)
