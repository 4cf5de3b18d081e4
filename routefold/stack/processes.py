"""Child processes that can't outlive this one."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import psutil

Process = subprocess.Popen[bytes]

_GUARD = Path(__file__).with_name("_guard.py")
_KILL_WAIT_S = 10.0
_KILL_POLL_S = 0.01


def spawn(
    argv: Sequence[str | Path],
    *,
    log_path: Path,
    cwd: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Start a program (absolute path first) with its output appended to `log_path`.

    When this process dies, however it dies, the kernel sends `death_signal` to the child (Linux).
    The child has a session of its own: Ctrl-C in the terminal reaches this process only.
    """
    guarded = [sys.executable, "-I", "-S", _GUARD, str(int(death_signal)), str(os.getpid()), *argv]

    def start() -> Process:
        with log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own programs only
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
                env=env,
            )

    return _spawner.call(start)


class _Spawner:
    """Starts all children from one thread that lasts as long as the process.

    PR_SET_PDEATHSIG watches the *thread* that forked: a child started by a pool's worker would be
    killed when that worker ends. A daemon thread, and not an executor: an executor's
    threads end before `atexit` handlers run, which would kill the servers under a caller who stops
    them there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._calls: queue.SimpleQueue[tuple[Callable[[], Process], Future[Process]]]

    def call(self, start: Callable[[], Process]) -> Process:
        future: Future[Process] = Future()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # first call, or after a fork
                self._calls = queue.SimpleQueue()
                self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self._thread.start()
            self._calls.put((start, future))
        return future.result()

    def _run(self) -> None:
        while True:
            start, future = self._calls.get()
            try:
                future.set_result(start())
            except BaseException as error:
                future.set_exception(error)


_spawner = _Spawner()


def family(pid: int) -> list[psutil.Process]:
    """The process and all its descendants; empty if there is no such process."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL the processes, and wait until none of them runs any more."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
    deadline = time.monotonic() + _KILL_WAIT_S
    while not all(map(_is_gone, processes)) and time.monotonic() < deadline:
        time.sleep(_KILL_POLL_S)


def _is_gone(process: psutil.Process) -> bool:
    # A zombie holds no port, file or memory; in a container without an init nobody ever reaps it.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def running_with(*arguments: str) -> list[int]:
    """Pids of processes whose command line has every one of `arguments`, each as a whole word.

    This is how servers left by a killed run are found: their command line names their directory,
    which holds after pids were reused and when no pid file was written.
    """
    wanted = set(arguments)
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if wanted.issubset(process.info["cmdline"] or ())
    ]


def is_program(pid: int, name: str) -> bool:
    """Whether `pid` is a program of that name that still runs; a zombie doesn't."""
    try:
        process = psutil.Process(pid)
        return process.name() == name and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def tail(path: Path, lines: int = 20, limit_bytes: int = 16_384) -> str:
    """The last lines of a text file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
