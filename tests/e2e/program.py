"""The `routefold` program as a process, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# A start takes some 6 s on two idle cores; a loaded machine gets ten times that.
START_TIMEOUT_S = 80.0
STOP_LIMIT_S = 10.0
COMMAND_TIMEOUT_S = 150.0


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "routefold", *arguments]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ROUTEFOLD_")}


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Up:
    """A running `routefold up`."""

    def __init__(self, process: subprocess.Popen[str], endpoints: dict[str, Any]) -> None:
        self.process = process
        self.url = str(endpoints["api_url"])
        self.family = psutil.Process(process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end; fails when that takes longer than promised."""
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_S)

    def survivors(self) -> list[psutil.Process]:
        """What is left of all processes it had, after a moment for the kernel."""
        _, alive = psutil.wait_procs(self.family, timeout=3)
        return alive


class Shell:
    """Runs commands in one directory, and stops at the end what they left running."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.up_errors = directory / "up.stderr"
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """A command to its end."""
        done = subprocess.run(
            program(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.directory,
            timeout=COMMAND_TIMEOUT_S,
            env=clean_environment(),
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def up(self) -> Up:
        """`routefold up` on a free port, once it says that it is up."""
        with self.up_errors.open("w") as errors:
            process = subprocess.Popen(
                program("up", "--port", "0", "--json"),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.directory,
                env=clean_environment(),
            )
        self._started.append(process)
        return Up(process, self._endpoints(process))

    def _endpoints(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The JSON document that `up` prints when everything is ready."""
        assert process.stdout is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        text = ""
        while time.monotonic() < deadline and (line := process.stdout.readline()):
            text += line
            if line == "}\n":
                found: dict[str, Any] = json.loads(text)
                return found
        raise AssertionError(f"`up` did not start: {self.up_errors.read_text()}")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(STOP_LIMIT_S)
            assert process.stdout is not None
            process.stdout.close()


def wait_for_child(pid: int, name: str, timeout_s: float = 60.0) -> list[psutil.Process]:
    """All descendants, at the moment when one of them has `name` in its command line."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        family = psutil.Process(pid).children(recursive=True)
        for child in family:
            with suppress(psutil.Error):
                if any(name in word.rsplit("/", 1)[-1] for word in child.cmdline()):
                    return family
        time.sleep(0.02)
    raise AssertionError(f"no {name} was started")


def processes_in(directory: Path) -> list[int]:
    """Processes whose command line names the directory."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in word for word in process.info["cmdline"] or ())
    ]
