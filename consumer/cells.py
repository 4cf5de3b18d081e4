"""Where events are credited, and those that no cell is known for."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.columns import Address, Outcomes, Turns
from consumer.records import Batch, DeadLetter
from consumer.routers import KnownRouter, Routers

REASON_ROUTER: Final = "unknown_router"
REASON_REQUEST_TYPE: Final = "unknown_request_type"
REASON_ARM: Final = "unknown_arm"


class Cell(NamedTuple):
    """Where an event's facts are credited: `router` is the one its partition knows."""

    partition: int
    router: KnownRouter
    request_type: str
    arm: str


class Cells:
    """Interns the addresses of a batch. `known` lists the cells found so far."""

    def __init__(self, routers: Routers) -> None:
        self.known: list[Cell] = []
        self._routers = routers
        self._index: dict[tuple[int, Address], int] = {}
        self._faults: dict[tuple[int, Address], tuple[str, str]] = {}

    def of(
        self, batch: Batch, block: Turns | Outcomes, dead: list[DeadLetter]
    ) -> NDArray[np.int64]:
        """Each event's cell as an index into `known`; -1, and a dead letter, where it has none."""
        count = len(block.addresses)
        where = batch.partition[block.row].astype(np.int64) * count + block.address
        distinct, each = np.unique(where, return_inverse=True)
        names = [(at // count, block.addresses[at % count]) for at in distinct.tolist()]
        cells = np.array([self._cell(*name) for name in names], dtype=np.int64)[each]
        for place in np.flatnonzero(cells < 0).tolist():
            fault = self._faults[names[each[place]]]
            dead.append(DeadLetter(int(block.row[place]), *fault))
        return cells

    def _cell(self, partition: int, address: Address) -> int:
        if (partition, address) not in self._index:
            self._index[partition, address] = self._intern(partition, address)
        return self._index[partition, address]

    def _intern(self, partition: int, address: Address) -> int:
        known = self._routers.get((partition, address.router))
        fault = _address_fault(known, *address)
        if fault is not None:
            self._faults[partition, address] = fault
            return -1
        assert known is not None
        arm = address.arm_served or address.arm
        self.known.append(Cell(partition, known, address.request_type, arm))
        return len(self.known) - 1


def _address_fault(
    known: KnownRouter | None, router: str, request_type: str, arm: str, arm_served: str | None
) -> tuple[str, str] | None:
    if known is None:
        return REASON_ROUTER, f"router {router!r} has not been configured"
    if request_type not in known.request_types:
        return REASON_REQUEST_TYPE, f"router {router!r} knows no request type {request_type!r}"
    for name in (arm, arm_served):
        if name is not None and name not in known.arms:
            return REASON_ARM, f"router {router!r} never had an arm {name!r}"
    return None
