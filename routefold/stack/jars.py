"""The broker's jars: fetched once per machine, checked against jars.lock before every start."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from platformdirs import user_cache_path
from rich.console import Console

from routefold.stack.broker import KAFKA_VERSION
from routefold.stack.errors import DownloadFailed, JarsChanged
from routefold.stack.fetch import Fetcher
from routefold.stack.locks import locked
from routefold.stack.progress import counted

LOCK_FILE = Path(__file__).with_name("jars.lock")
CACHE_VARIABLE = "ROUTEFOLD_CACHE_DIR"


@dataclass(frozen=True, slots=True)
class JarLock:
    """SHA-256 by file name, and the name of the directory in the cache that holds these files."""

    digests: Mapping[str, str]
    directory_name: str

    @classmethod
    def read(cls, path: Path = LOCK_FILE) -> Self:
        """Lines as `sha256sum` writes them; a line that starts with # is a comment."""
        text = path.read_text()
        lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        digests = {name: digest for digest, name in lines}
        # Another lock, another directory: checkouts of different age share one cache.
        identity = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cls(digests, f"kafka-{KAFKA_VERSION}-{identity}")

    def missing_from(self, directory: Path) -> list[str]:
        return sorted(name for name in self.digests if not (directory / name).is_file())

    def differences(self, directory: Path) -> list[str]:
        """What in `directory` isn't as locked, one phrase per file; empty when all is well."""
        present = {entry.name for entry in directory.iterdir()}
        problems = [f"{name} is missing" for name in sorted(self.digests.keys() - present)]
        problems += [
            f"{name} is not in jars.lock" for name in sorted(present - self.digests.keys())
        ]
        for name in sorted(self.digests.keys() & present):
            if sha256(directory / name) != self.digests[name]:
                problems.append(f"{name} has another SHA-256 than in jars.lock")
        return problems


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_dir(environ: Mapping[str, str]) -> Path:
    """ROUTEFOLD_CACHE_DIR, else the user's cache directory."""
    override = environ.get(CACHE_VARIABLE)
    return Path(override).absolute() if override else user_cache_path("routefold")


def ensure_jars(
    lock: JarLock,
    cache: Path,
    choose_fetcher: Callable[[], Fetcher],
    console: Console | None = None,
) -> list[Path]:
    """The paths of all locked jars, fetched if need be, each one's content checked now.

    Safe to call from several processes at once: one downloads, the others wait. A directory in the
    cache appears complete and checked, or not at all. Raises DownloadFailed, JarsChanged.
    """
    home = cache / lock.directory_name
    if lock.missing_from(home):
        _download(lock, home, choose_fetcher, console)
    # 45 MB in 0.1 s: hashing anew each time is simpler than any memory of what was hashed.
    problems = lock.differences(home)
    if problems:
        raise JarsChanged(f"{_summary(problems)}. Delete {home} and start again to fetch it anew.")
    return [home / name for name in sorted(lock.digests)]


def _download(
    lock: JarLock, home: Path, choose_fetcher: Callable[[], Fetcher], console: Console | None
) -> None:
    def say_waiting() -> None:
        if console is not None:
            console.print("Another process is downloading Kafka; waiting for it.")

    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with locked(home.with_name(f"{home.name}.lock"), on_wait=say_waiting):
            if lock.missing_from(home):  # else: downloaded while we waited
                _download_alone(lock, home, choose_fetcher(), console)
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename or home.parent}"
        raise DownloadFailed(
            f"Kafka's jars can't be stored ({reason}). Set {CACHE_VARIABLE} to a directory with "
            "100 MB of room that you may write."
        ) from error


def _download_alone(lock: JarLock, home: Path, fetch: Fetcher, console: Console | None) -> None:
    for leftover in home.parent.glob(f"{home.name}.partial-*"):  # of a killed download
        shutil.rmtree(leftover, ignore_errors=True)
    title = f"Kafka {KAFKA_VERSION}, once per machine"
    problems: list[str] = []
    # A damaged file may come from a local repository (~/.m2): the second attempt doesn't use it.
    for trust_local in (True, False):
        with tempfile.TemporaryDirectory(
            prefix=f"{home.name}.partial-", dir=home.parent
        ) as partial:
            jars, repository = Path(partial, "jars"), Path(partial, "repository")
            jars.mkdir()
            repository.mkdir()
            with counted(console, title, total=len(lock.digests)) as on_jar:
                fetch(jars, repository, trust_local=trust_local, on_jar=on_jar)
            problems = lock.differences(jars)
            if not problems:
                _publish(jars, home)
                return
    raise DownloadFailed(
        f"what was downloaded is not what jars.lock names ({_summary(problems)}): "
        "try again, and check the mirror or proxy between this machine and its repository."
    )


def _publish(jars: Path, home: Path) -> None:
    """Put the directory in place. Synced first: a power cut must not leave it with empty files."""
    for jar in jars.iterdir():
        with jar.open("rb") as file:
            os.fsync(file.fileno())
    if home.exists():  # somebody deleted a file of it
        shutil.rmtree(home)
    jars.rename(home)


def _summary(problems: list[str]) -> str:
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more
