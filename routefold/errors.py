"""What a command can end with, other than success.

    CommandError
    ├── Misuse      exit code 2   the call or a setting is wrong: nothing was tried
    └── Failure     exit code 1   it was tried and did not work
        ├── Unreachable         a server doesn't answer: start it, or correct its address
        ├── TopicMismatch       an existing topic isn't what this program needs
        └── ChildDied           a child process ended by itself; `detail` has its last log lines

The message is one line: what was wrong, with which value, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class CommandError(Exception):
    """Base of everything a command ends with on purpose.

    `detail` is further text, printed below the message; None for most errors.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail


class Misuse(CommandError):
    """The command line, a setting or a given file is wrong."""

    exit_code: ClassVar[int] = 2


class Failure(CommandError):
    """The command was understood and did not succeed."""


class Unreachable(Failure):
    """A server that the command needs does not answer."""


class TopicMismatch(Failure):
    """A topic exists with other partitions or settings than this program needs."""


class ChildDied(Failure):
    """A child process ended although nobody stopped it."""
