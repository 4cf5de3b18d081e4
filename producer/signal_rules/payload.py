"""What a tool's JSON answer says of itself: the names that runtimes and APIs report failure under.

Only the outermost names count. Further in are the data, and an order may have failed without the
look-up having failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

_ERRORS: Final = (
    "error",
    "errors",
    "err",
    "exception",
    "traceback",
    "error_message",
    "errorMessage",
)
_FLAGS: Final = ("is_error", "isError")
_SUCCESSES: Final = ("success", "ok", "succeeded")
_STATUSES: Final = ("status", "status_code", "statusCode", "http_status", "code")
_EXITS: Final = ("exit_code", "exitCode", "exit_status", "returncode", "return_code")
_FAILED_STATUSES: Final = ("error", "fail", "failure")  # not "failed": that is what jobs have
_EXITED_WELL: Final = (None, 0, "0", "")
_ERROR_STATUSES: Final = range(400, 600)


def parse(text: str) -> Mapping[str, object] | None:
    """The JSON object that a text is, or None."""
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def status_of(payload: Mapping[str, object]) -> int | None:
    """The HTTP error status that a payload reports."""
    for name in _STATUSES:
        status = payload.get(name)
        if isinstance(status, int) and status in _ERROR_STATUSES:
            return status
    return None


def reports_failure(payload: Mapping[str, object]) -> bool:
    return (
        status_of(payload) is not None
        or any(payload.get(name) for name in _ERRORS)
        or any(payload.get(name) is True for name in _FLAGS)
        or any(payload.get(name) is False for name in _SUCCESSES)
        or any(payload.get(name) not in _EXITED_WELL for name in _EXITS)
        or payload.get("status") in _FAILED_STATUSES
        or payload.get("type") == "error"
    )
