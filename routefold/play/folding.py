"""Waits until everything accepted has been folded, by the router's own counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from routefold.play.errors import GatewayError
from routefold.play.gateway import Gateway

# Reading a state costs the API a posterior for every cell; five a second is smooth enough to watch.
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Counts:
    """Events by what became of them. Dead letters are counted for the whole installation, as an
    event that can't be read names no router."""

    folded: int
    duplicates: int
    late: int
    dead: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Counts:
        events = state["events"]
        return cls(events["folded"], events["duplicates"], events["late"], events["dead"])

    @property
    def settled(self) -> int:
        return self.folded + self.duplicates + self.late + self.dead

    def since(self, start: Counts) -> Counts:
        return replace(
            self,
            folded=self.folded - start.folded,
            duplicates=self.duplicates - start.duplicates,
            late=self.late - start.late,
            dead=self.dead - start.dead,
        )


class FoldWatch:
    """Follows one router's counts from the state in which the play began."""

    def __init__(self, gateway: Gateway, router: str, before: Mapping[str, Any]) -> None:
        self._gateway = gateway
        self._router = router
        self._before = Counts.of(before)
        self.state = before

    @property
    def counts(self) -> Counts:
        """What became of events since the beginning, as last read."""
        return Counts.of(self.state).since(self._before)

    async def read(self) -> Counts:
        """The counts of now. Raises GatewayError."""
        self.state = await self._gateway.state(self._router)
        return self.counts

    async def until_settled(
        self, accepted: int, stall_timeout_s: float, on_progress: Callable[[int], None]
    ) -> str | None:
        """Returns when `accepted` events are folded, duplicates, late or dead; then None.

        When no count has moved for `stall_timeout_s`, returns what is wrong instead.
        """
        settled = -1
        moved_at = time.monotonic()
        trouble = "is the consumer running?"
        while True:
            try:
                counts = await self.read()
            except GatewayError as error:
                trouble = f"the router's state can't be read: {error}"
            else:
                trouble = "is the consumer running?"
                if counts.settled != settled:
                    settled = counts.settled
                    moved_at = time.monotonic()
                    on_progress(min(settled, accepted))
                if settled >= accepted:
                    return None
            if time.monotonic() - moved_at > stall_timeout_s:
                return (
                    f"{accepted - max(settled, 0):,} of {accepted:,} accepted events are not "
                    f"folded, and none was for {stall_timeout_s:g} s; {trouble}"
                )
            await asyncio.sleep(POLL_S)
