"""The directory of an archive while an export writes to it.

New files are made below `.staging`, moved into place together, and listed by a new manifest, which
is written last and in one step. Whatever interrupts an export, the archive stays what its manifest
says; leftovers are removed by the next export.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from routefold.errors import Failure, Misuse
from routefold.history import manifest as manifests
from routefold.history.archive import Archive, open_archive
from routefold.history.manifest import EVENTS, LOCK_NAME, TABLES, Manifest

_STAGING: Final = ".staging"


class Workspace:
    """An archive that is ours to add to, until the block of `open_workspace` ends."""

    def __init__(self, directory: Path, before: Archive | None) -> None:
        self.directory: Final = directory
        self.staging: Final = directory / _STAGING
        # The archive as it was; None for the first export.
        self.before: Final = before

    def commit(self, manifest: Manifest) -> None:
        """Make the archive what the manifest says: its new files are in `staging`."""
        folders: set[Path] = set()
        for file in manifest.files:
            staged = self.staging / file.path
            if staged.exists():
                target = self.directory / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                manifests.sync(staged)
                staged.replace(target)
                folders.update((target.parent, target.parent.parent))
        for folder in folders:
            manifests.sync(folder)
        manifests.write(self.directory, manifest)
        _remove_unlisted(self.directory, manifest)


@contextmanager
def open_workspace(directory: Path) -> Iterator[Workspace]:
    """Hold an archive's directory, made if it is missing, while the block runs.

    Raises Misuse for a directory with something else in it, Failure when another export writes to
    it or the file system refuses, ArchiveDamaged.
    """
    try:
        _require_ours(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            finished = (directory / manifests.FILE_NAME).exists()
            before = open_archive(directory) if finished else None
            _remove_unlisted(directory, before.manifest if before else None)
            shutil.rmtree(directory / _STAGING, ignore_errors=True)
            try:
                yield Workspace(directory, before)
            finally:
                shutil.rmtree(directory / _STAGING, ignore_errors=True)
    except OSError as error:
        raise Failure(f"{directory} can't be written: {error.strerror or error}") from error


def _require_ours(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise Misuse(f"{directory} is not a directory")
    names = {entry.name for entry in directory.iterdir()}
    if names and not names & {manifests.FILE_NAME, LOCK_NAME}:
        raise Misuse(f"{directory} holds something else: name an empty directory, or an archive")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The kernel drops the lock when its holder dies, however it dies."""
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another export is writing to {directory}: wait for its end") from None
        yield
    finally:
        os.close(descriptor)


def _remove_unlisted(directory: Path, manifest: Manifest | None) -> None:
    """Remove our files that are not part of the archive: replaced, or never finished."""
    listed = {file.path for file in manifest.files} if manifest else set()
    for table in (EVENTS, *TABLES):
        for file in (directory / table).glob("*/*.parquet"):
            if file.relative_to(directory).as_posix() not in listed:
                file.unlink(missing_ok=True)
