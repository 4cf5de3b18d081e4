"""Child processes that are watched together and stopped together.

Each child is in a session of its own, so that Ctrl-C in the terminal reaches the parent only, and
the kernel kills it when the parent dies, however it dies (routefold.stack.processes).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from time import monotonic
from typing import Any, Final, TypeVar

from routefold.errors import ChildDied
from routefold.stack.processes import Process, spawn, tail

T = TypeVar("T")

# The whole stack must be down within 10 s of Ctrl-C: five for these, the rest for the servers.
STOP_DEADLINE_S: Final = 5.0
TAIL_LINES: Final = 15
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Child:
    """One running child."""

    name: str
    process: Process
    log_path: Path


class Supervisor:
    """Starts, watches and stops the children of one command."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: list[Child] = []

    def start(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Run `routefold ARGUMENTS` in the environment `env`, with its output in `NAME.log`."""
        log_path = self._log_dir / f"{name}.log"
        if log_path.exists():
            log_path.replace(log_path.with_suffix(".previous.log"))
        # -P: a folder that happens to be called like a package must not be imported from here.
        command = [sys.executable, "-P", "-m", "routefold", *arguments]
        process = spawn(command, log_path=log_path, cwd=Path.cwd(), env=env)
        self.adopt(Child(name, process, log_path))

    def adopt(self, child: Child) -> None:
        """Watch and stop a process that leads a session of its own."""
        self._children.append(child)

    def check(self) -> None:
        """Raises ChildDied if a child has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise ChildDied(
                    f"`routefold {child.name}` {describe_exit(code)}; its log is {child.log_path}",
                    detail=tail(child.log_path, TAIL_LINES) or None,
                )

    async def watch(self) -> None:
        """Never returns; raises ChildDied when a child ends."""
        while True:
            self.check()
            await asyncio.sleep(_POLL_S)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, unless a child ends first: then `work` is cancelled.

        Raises what `work` raises, or ChildDied. A cancellation is passed on to `work`, which may
        answer it with a result of its own.
        """
        working, watching = asyncio.ensure_future(work), asyncio.ensure_future(self.watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            working.cancel()
            result = await working
            task = asyncio.current_task()
            while task is not None and task.cancelling():
                task.uncancel()
            return result
        finally:
            watching.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            self.check()
        return working.result()

    async def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM to all, SIGKILL to those still alive after the shared deadline. Idempotent."""
        for child in self._children:
            with suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)
        end = monotonic() + deadline_s
        for child in self._children:
            with suppress(TimeoutExpired):
                await asyncio.to_thread(child.process.wait, max(0.0, end - monotonic()))
        for child in self._children:
            if child.process.poll() is None:
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        self._children.clear()


def describe_exit(code: int) -> str:
    """A return code of subprocess in words."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
