"""Repeats a request while the router can't answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from routefold.play.errors import GatewayError, Unavailable

T = TypeVar("T")

# A restarted broker or API is back within 10-20 s; one that isn't back after 30 s is down.
PATIENCE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


async def patiently(
    request: Callable[[], Awaitable[T]],
    *,
    repeat_on: type[GatewayError] | tuple[type[GatewayError], ...] = Unavailable,
    patience_s: float = PATIENCE_S,
) -> T:
    """The answer of `request`, sent again with growing pauses while it raises `repeat_on`.

    The pause that the router asks for is kept. After `patience_s` the last error is raised.
    """
    deadline = time.monotonic() + patience_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await request()
        except repeat_on as error:
            asked = error.retry_after_s if isinstance(error, Unavailable) else None
            wait = max(pause, asked or 0.0)
            if time.monotonic() + wait > deadline:
                raise
        await asyncio.sleep(wait)
        pause = min(2.0 * pause, _LONGEST_PAUSE_S)
