"""What can keep a recorded log from being played.

PlayError
├── LogError            the file: what is wrong, in which line, and how to put it right
├── OptionsError        the options, or a router that doesn't fit the file
└── GatewayError        the router refused a request
    ├── UnknownRouter   it does not (yet) know the router's name
    └── Unavailable     it can't answer just now: the same request may be sent again
"""

from __future__ import annotations

from pathlib import Path


class PlayError(Exception):
    """Base of everything that playing raises on purpose."""


class LogError(PlayError):
    """A file that can't be played. The message begins with `file:line` where a line is at fault."""

    def __init__(self, path: Path, line: int | None, fault: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}: {fault}" if line is None else f"{path}:{line}: {fault}")


class OptionsError(PlayError):
    """Options that contradict each other, are out of range, or don't fit the file."""


class GatewayError(PlayError):
    """The router refused a request, and would refuse it again."""


class UnknownRouter(GatewayError):
    """The router's name is not known to whom we asked; just after a PUT it may be soon."""


class Unavailable(GatewayError):
    """The router can't answer now; the request was not answered and may be repeated."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
