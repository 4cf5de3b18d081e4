"""Posts outcomes in small batches: a request for each would cost more than the pick itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from routefold.play.errors import GatewayError
from routefold.play.gateway import PlayedOutcome

MAX_BATCH: Final = 64
# The first outcome of a batch waits this long for company: short beside the 150 ms in which an
# outcome reaches the routers, long enough to fill a batch at a thousand turns a second.
MAX_WAIT_S: Final = 0.02

Send = Callable[[Sequence[PlayedOutcome]], Awaitable[None]]


@dataclass(slots=True)
class _Batch:
    """`fate` is None once accepted, else why it was not; a result, never an exception, because
    those who wait for it may all have been cancelled."""

    outcomes: list[PlayedOutcome] = field(default_factory=list)
    fate: asyncio.Future[Exception | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class OutcomeBatches:
    """Collects what concurrent sessions post, and sends it; several batches may be under way.

    `send` returns when the whole batch is accepted and raises when it never will be.
    """

    def __init__(
        self, send: Send, *, max_batch: int = MAX_BATCH, max_wait_s: float = MAX_WAIT_S
    ) -> None:
        self._send = send
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._open: _Batch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def post(self, outcome: PlayedOutcome) -> None:
        """Returns when the outcome is accepted. Raises what `send` raised for its batch."""
        if self._open is None:
            self._open = _Batch()
            self._timer = asyncio.get_running_loop().call_later(self._max_wait_s, self._close)
        batch = self._open
        batch.outcomes.append(outcome)
        if len(batch.outcomes) >= self._max_batch:
            self._close()
        # Others wait for the same batch: a cancelled session must not take it from them.
        error = await asyncio.shield(batch.fate)
        if error is not None:
            raise error

    async def drain(self, timeout_s: float) -> None:
        """Sends what is left, waits at most `timeout_s`, and gives up what is not accepted then."""
        self._close()
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open is not None:
            task = asyncio.create_task(self._deliver(self._open))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            self._open = None

    async def _deliver(self, batch: _Batch) -> None:
        error: Exception | None = GatewayError(
            "the outcomes were given up before they were accepted"
        )
        try:
            await self._send(batch.outcomes)
            error = None
        except Exception as failure:
            error = failure
        finally:
            batch.fate.set_result(error)
