"""The directory that holds a local stack: its servers' data, logs, secrets, and `state.json`.

    .routefold-state   marks the directory as ours: only a marked directory is ever deleted
    state.json         format version, ports, Kafka's cluster id, which servers are initialised
    kafka/  postgres/  one server's data each
    logs/              one file per server
    secrets/           generated passwords, mode 0600

A server is entered as initialised after its first start is complete. Whatever a server left behind
without that entry is half of a first start, holds nothing of value, and is made again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from routefold.stack.errors import NotAStateDir, StateBroken, StateInUse
from routefold.stack.locks import try_lock

MARKER = ".routefold-state"
FORMAT_VERSION = 1
_LOCK = ".lock"
_STATE = "state.json"
# What may be there before state.json is: a directory with no more than this holds no data yet.
_SCAFFOLD = frozenset({MARKER, _LOCK, ".gitignore", f"{_STATE}.new"})
_MARKER_TEXT = "State of a Routefold local stack. Deleted by the --fresh option.\n"


def _new_cluster_id() -> str:
    """16 random bytes in Kafka's base64; never with a leading dash, which reads as an option."""
    while True:
        text = urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on 127.0.0.1; None until first chosen."""

    kafka: int | None = None
    kafka_controller: int | None = None
    postgres: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What `state.json` says."""

    ports: Ports = Ports()
    kafka_cluster_id: str = field(default_factory=_new_cluster_id)
    initialised: frozenset[str] = frozenset()

    def to_json(self) -> str:
        document = {
            "version": FORMAT_VERSION,
            "ports": asdict(self.ports),
            "kafka_cluster_id": self.kafka_cluster_id,
            "initialised": sorted(self.initialised),
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError, AttributeError on what `to_json` didn't write."""
        document: Any = json.loads(text)
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"format version {document['version']!r}, expected {FORMAT_VERSION}")
        ports: Mapping[str, int | None] = document["ports"]
        if not all(port is None or isinstance(port, int) for port in ports.values()):
            raise TypeError(f"ports must be numbers, not {ports!r}")
        if not isinstance(document["kafka_cluster_id"], str):
            raise TypeError("kafka_cluster_id must be a text")
        return cls(Ports(**ports), document["kafka_cluster_id"], frozenset(document["initialised"]))


class StateDir:
    """A state directory, locked by this process until `close`."""

    def __init__(self, path: Path, lock: int, state: State) -> None:
        self.path = path
        self.state = state
        self._lock = lock
        self._update_lock = threading.Lock()  # the servers start in parallel
        for directory in (self.kafka, self.postgres, self.logs, self.secrets):
            directory.mkdir(mode=0o700, exist_ok=True)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create or reopen the directory.

        Raises StateInUse, StateBroken, and NotAStateDir for a directory that holds something else.
        """
        path = path.resolve()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_marked(path)
            lock = _lock(path)
            try:
                _scaffold(path)
                return cls(path, lock, _load(path))
            except BaseException:
                os.close(lock)
                raise
        except OSError as error:
            raise StateBroken(path, f"can't be used ({error.strerror or error})") from error

    @property
    def kafka(self) -> Path:
        return self.path / "kafka"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    def is_initialised(self, server: str) -> bool:
        return server in self.state.initialised

    def set_initialised(self, server: str) -> None:
        """Enter that the server's first start is complete."""
        with self._update_lock:
            self._save(replace(self.state, initialised=self.state.initialised | {server}))

    def set_ports(self, ports: Ports) -> None:
        with self._update_lock:
            self._save(replace(self.state, ports=ports))

    def _save(self, state: State) -> None:
        _write(self.path, state)
        self.state = state

    def close(self) -> None:
        """Let others open the directory. Idempotent."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def wipe(path: Path) -> None:
    """Delete a state directory and all data in it; nothing happens if there is none.

    Raises NotAStateDir when the directory holds something and isn't marked as ours, StateInUse when
    a stack runs on it.
    """
    if not path.exists():
        return
    path = path.resolve()
    _check_marked(path)
    lock = _lock(path)
    try:
        # The marker goes last: an interrupted wipe leaves a directory that can be wiped again.
        for entry in sorted(path.iterdir(), key=lambda entry: entry.name == MARKER):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        path.rmdir()
    finally:
        os.close(lock)


def _check_marked(path: Path) -> None:
    if not path.is_dir():
        raise NotAStateDir(path, MARKER)
    if {entry.name for entry in path.iterdir()} - {_LOCK} and not (path / MARKER).is_file():
        raise NotAStateDir(path, MARKER)


def _lock(path: Path) -> int:
    lock = try_lock(path / _LOCK)
    if lock is None:
        holder = (path / _LOCK).read_text().strip() or "unknown"
        raise StateInUse(
            f"a stack already runs on {path} (process {holder}): "
            "stop it first, or choose another directory."
        )
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _scaffold(path: Path) -> None:
    for name, text in ((MARKER, _MARKER_TEXT), (".gitignore", "*\n")):
        if not (path / name).exists():
            (path / name).write_text(text)


def _load(path: Path) -> State:
    file = path / _STATE
    if not file.exists():
        unexpected = sorted({entry.name for entry in path.iterdir()} - _SCAFFOLD)
        if unexpected:
            raise StateBroken(path, f"has {', '.join(unexpected)} but no {_STATE}")
        state = State()
        _write(path, state)
        return state
    try:
        return State.from_json(file.read_text())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"no {error} in it" if isinstance(error, KeyError) else str(error)
        raise StateBroken(path, f"{_STATE} can't be read ({detail})") from error


def _write(path: Path, state: State) -> None:
    """Replace state.json as a whole: a crash leaves the old one or the new one."""
    fresh = path / f"{_STATE}.new"
    with fresh.open("w") as file:
        file.write(state.to_json())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path / _STATE)
