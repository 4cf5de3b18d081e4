"""What is wrong with an archive, or with a log that should continue one.

Failure
└── ArchiveError
    ├── NoArchive       there is no finished archive in the directory
    ├── ArchiveDamaged  a file is missing or not what was written
    └── LogDiffers      the log does not go on where the archive ends
"""

from __future__ import annotations

from routefold.errors import Failure


class ArchiveError(Failure):
    """Base of what is wrong with an archive."""


class NoArchive(ArchiveError):
    """The directory holds no archive, or one whose first export was never finished."""


class ArchiveDamaged(ArchiveError):
    """The archive's files are not those that its manifest lists."""


class LogDiffers(ArchiveError):
    """The log is not the one that was archived, or has lost what comes next."""
