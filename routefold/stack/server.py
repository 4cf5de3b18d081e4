"""The life of one server process: start, wait until it serves, stop, kill, restart."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from routefold.stack import processes
from routefold.stack.errors import PortTaken, StackError, StartFailed

# A start takes 2 s, and 12 s where three times as many programs want to run as there are cores.
# Past a minute nothing will come.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0
_POLL_S = 0.02
_STACK_TRACES_LINES = 200  # the broker's last words may be followed by several of them
_PORT_TAKEN_TEXT = "Address already in use"  # both servers pass on the system's words


class Server(ABC):
    """A server of the local stack. Calls block; only `cancel` may come from another thread."""

    name: str
    stop_signal: signal.Signals
    # Sent by the kernel when our process dies without stopping the server.
    death_signal: signal.Signals

    def __init__(self, directory: Path, logs: Path) -> None:
        self.directory = directory
        self.log_path = logs / f"{self.name}.log"
        self._process: processes.Process | None = None
        self._cancelled = threading.Event()

    @abstractmethod
    def _prepare(self) -> None:
        """Initialise the data directory if needed, and write the configuration."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The program and its arguments."""

    @abstractmethod
    def _serves(self) -> bool:
        """Whether the server answers a real request."""

    def _environment(self) -> Mapping[str, str] | None:
        return None

    def _complete(self) -> None:  # noqa: B027 - most have nothing to do here
        """Called after each start, when the server answers."""

    @property
    def is_running(self) -> bool:
        """Whether the process runs; whether it answers is another question."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises StackError when it isn't running."""
        if self._process is None or self._process.poll() is not None:
            raise StackError(f"{self.name} is not running: call start() or restart() first.")
        return self._process.pid

    def start(self) -> None:
        """Return when the server answers. Raises StartFailed, PortTaken, StateBroken."""
        if self.is_running:
            raise StackError(f"{self.name} is already running (process {self.pid}).")
        self._prepare()
        self._launch()
        self._complete()

    def _launch(self) -> None:
        self._check_cancelled()
        previous = self.log_path.with_suffix(".previous.log")
        if self.log_path.exists():
            self.log_path.replace(previous)
        self._process = processes.spawn(
            self._command(),
            log_path=self.log_path,
            cwd=self.directory,
            death_signal=self.death_signal,
            env=self._environment(),
        )
        try:
            self._wait_until_it_serves(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait_until_it_serves(self, process: processes.Process) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._serves():
            self._check_cancelled()
            if process.poll() is not None:
                raise self._failure(f"ended with code {process.returncode} while starting")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {START_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)

    def _failure(self, reason: str) -> StartFailed:
        log_tail = processes.tail(self.log_path)
        if _PORT_TAKEN_TEXT in processes.tail(self.log_path, _STACK_TRACES_LINES):
            return PortTaken(self.name, "found its port in use", self.log_path, log_tail)
        return StartFailed(self.name, reason, self.log_path, log_tail)

    def _run_tool(self, argv: Sequence[str | Path], purpose: str) -> None:
        """Run a program to its end. Raises StartFailed with the end of its output."""
        self._check_cancelled()
        log_path = self.log_path.with_suffix(f".{purpose}.log")
        log_path.unlink(missing_ok=True)
        tool = processes.spawn(argv, log_path=log_path, cwd=self.directory, env=self._environment())
        try:
            code = tool.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            tool.kill()
            code = tool.wait()
        if code != 0:
            log_tail = processes.tail(log_path)
            reason = f"{purpose} ended with code {code}"
            raise StartFailed(self.name, reason, log_path, log_tail)

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise StartFailed(self.name, "was stopped while starting", self.log_path)

    def cancel(self) -> None:
        """Make a `start` in another thread end with StartFailed, and later ones until `stop`."""
        self._cancelled.set()

    def request_stop(self) -> None:
        """Ask the server to end, and return at once."""
        self.cancel()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the server to end, then make it. Idempotent; it can be started again."""
        self.request_stop()
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._cancelled.clear()

    def kill(self) -> None:
        """SIGKILL, as a crash test wants it: nothing is flushed, no process of it is left."""
        if self._process is None or self._process.poll() is not None:
            return
        family = processes.family(self._process.pid)
        self._process.kill()
        self._process.wait()
        processes.kill(family)

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same data and port."""
        self.stop()
        self.start()
