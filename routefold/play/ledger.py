"""What happened in a play, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from routefold.play.report import Percentiles
from routefold.play.sequence import IntArray

_NOT_PLAYED: Final = -1


class Ledger:
    """A row for each planned turn, filled in when its arm is picked."""

    def __init__(self, rows: IntArray) -> None:
        self.rows = rows
        self.events_accepted = 0
        self._arms = np.full(len(rows), _NOT_PLAYED, dtype=np.int64)
        self._types = np.zeros(len(rows), dtype=np.int64)
        self._pick_ns = np.zeros(len(rows), dtype=np.int64)
        self._type_numbers: dict[str, int] = {}

    def enter(self, turn: int, arm: int, request_type: str, pick_ns: int) -> None:
        """`arm` was picked for `turn`, under `request_type`, in `pick_ns`."""
        self._arms[turn] = arm
        self._types[turn] = self._type_numbers.setdefault(request_type, len(self._type_numbers))
        self._pick_ns[turn] = pick_ns

    def played(self) -> Played:
        """The turns that were played, in the order of the plan."""
        done = self._arms != _NOT_PLAYED
        return Played(
            rows=self.rows[done],
            arms=self._arms[done],
            types=self._types[done],
            type_names=tuple(self._type_numbers),
            pick_ns=self._pick_ns[done],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """Columns of equal length: each turn's row, arm number, type number and pick time."""

    rows: IntArray
    arms: IntArray
    types: IntArray
    type_names: tuple[str, ...]
    pick_ns: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pick_latency_us(self) -> Percentiles:
        if not len(self):
            return Percentiles(None, None)
        p50, p99 = np.percentile(self.pick_ns / 1000.0, (50, 99))
        return Percentiles(float(p50), float(p99))
