"""What a router can't do, grouped by what the caller can do about it.

RoutingError
├── RequestError            correct the request; `field` names what is wrong in it
│   ├── UnknownRouter       configure it first, or correct its name
│   ├── UnknownArm          the router has no such arm
│   ├── UnknownRequestType  the router does not learn about such a type
│   ├── NoEligibleArm       the constraints leave nothing to choose from: loosen them
│   ├── BadToken            not a turn token of this installation
│   ├── InvalidPick         a field of a pick request is out of range
│   └── InvalidReport       a field of an outcome is out of range
├── NotReady                still reading the state: ask again in a moment, or another replica
└── Unavailable             neither broker nor spool took the event: send it again, same ids
"""

from __future__ import annotations

from typing import Final

RETRY_AFTER_S: Final = 1.0


class RoutingError(Exception):
    """Base of everything this package raises on purpose.

    `field` is the JSON path of the field concerned ("outcomes.3.scores.quality"), None where the
    request is not at fault.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class RequestError(RoutingError):
    """The request can't be served as it is; sending it again changes nothing."""


class UnknownRouter(RequestError):
    """No router of this name has been configured."""


class UnknownArm(RequestError):
    """The router's configuration has no arm of this name."""


class UnknownRequestType(RequestError):
    """The router's configuration has no request type of this name."""


class NoEligibleArm(RequestError):
    """The request's constraints exclude every arm. The message says which rule excluded which."""


class BadToken(RequestError):
    """The text is not a turn token signed with one of our keys."""


class InvalidPick(RequestError):
    """A field of a pick request is missing or out of range."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field)


class InvalidReport(RequestError):
    """A field of an outcome report is missing or out of range."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field)


class NotReady(RoutingError):
    """The state has not been read to the end offsets taken at start."""


class Unavailable(RoutingError):
    """What was sent is stored nowhere. Sending it again after `retry_after_s` counts once."""

    def __init__(self, message: str, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


# A name comes from outside and may be of any length; a message is one line in a log.
_MAX_QUOTED_CHARS: Final = 80
_MAX_LISTED: Final = 8


def quoted(name: str) -> str:
    """A name for a message: in quotes, escaped, shortened."""
    shown = name if len(name) <= _MAX_QUOTED_CHARS else f"{name[:_MAX_QUOTED_CHARS]}…"
    return ascii(shown)


def listed(names: list[str]) -> str:
    """Names for a message: the first few, then how many there are."""
    shown = ", ".join(names[:_MAX_LISTED])
    left = len(names) - _MAX_LISTED
    return f"{shown} and {left} more" if left > 0 else shown or "none"
