"""Runs a command's coroutine so that a signal ends it cleanly: cancelled once, and left to tidy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

# SIGHUP: the terminal was closed; what runs in it must not be left behind.
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal ended the command; `exit_code` is what a shell expects then."""

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(received.name)
        self.exit_code = 128 + received


def run(
    main: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run `main` to its end. Raises what it raises, or Interrupted after one of STOPPING.

    The first signal cancels `main`; later ones are ignored, so that its cleanup, which has
    deadlines of its own, is not cut short halfway.
    """
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_interruptible(main))


async def _interruptible(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:
            received.append(number)
            task.cancel()

    for number in STOPPING:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """An event that one of STOPPING sets. For servers, which then stop of their own accord."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
