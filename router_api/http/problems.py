"""Problem documents (RFC 9457): the one shape of every answer that is not a success.

A problem names the field that is wrong and says what to do. It never quotes what the caller sent,
other than names: answers end up in logs and tickets, and a body may hold a conversation or a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
# A batch of 1,000 bad outcomes would otherwise be answered with more bytes than it had.
MAX_FAULTS: Final = 20
# A field's name may be a key of the caller's own making, of any length; a detail may quote one.
_MAX_FIELD_CHARS: Final = 200
_MAX_DETAIL_CHARS: Final = 500


class Fault(NamedTuple):
    """One thing wrong with a request: the field's path with dots ("scores.quality"), and why."""

    field: str
    message: str


class Kind(NamedTuple):
    """A kind of problem: its HTTP status, the last part of its `type` URN, and its title."""

    status: int
    slug: str
    title: str


MALFORMED_JSON: Final = Kind(400, "malformed-json", "The body is not valid JSON")
NOT_FOUND: Final = Kind(404, "not-found", "There is nothing at this address")
METHOD_NOT_ALLOWED: Final = Kind(405, "method-not-allowed", "The address has no such method")
BODY_TOO_LARGE: Final = Kind(413, "body-too-large", "The body is too large")
NOT_JSON: Final = Kind(415, "not-json", "The body must be sent as application/json")
INVALID_REQUEST: Final = Kind(422, "invalid-request", "The request does not fit its schema")
INTERNAL_ERROR: Final = Kind(500, "internal-error", "Something failed on our side")


class Problem(HTTPException):
    """An answer that is not a success; raise it anywhere below the application.

    An HTTPException, because FastAPI lets nothing else pass from a body that it reads itself.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers) if headers else None)
        self.kind = kind
        self.faults = faults


def respond(problem: Problem, correlation_id: str | None = None) -> Response:
    """The problem as an HTTP response."""
    document: dict[str, Any] = {
        "type": f"urn:routefold:problem:{problem.kind.slug}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail[:_MAX_DETAIL_CHARS],
    }
    if problem.faults:
        document["errors"] = [
            {"field": fault.field[:_MAX_FIELD_CHARS], "message": fault.message}
            for fault in problem.faults[:MAX_FAULTS]
        ]
    if correlation_id is not None:
        document["correlation_id"] = correlation_id
    # json.dumps escapes what is not ASCII: a lone surrogate in a key can still be sent back.
    return Response(
        json.dumps(document).encode(),
        problem.kind.status,
        problem.headers,
        MEDIA_TYPE,
    )
