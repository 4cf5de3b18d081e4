"""Which problem answers which failure: one table, and the handlers that FastAPI calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from router_api.errors import (
    RETRY_AFTER_S,
    BadToken,
    InvalidPick,
    InvalidReport,
    NoEligibleArm,
    NotReady,
    RequestError,
    RoutingError,
    Unavailable,
    UnknownArm,
    UnknownRequestType,
    UnknownRouter,
)
from router_api.http.body import faults_of, invalid
from router_api.http.problems import (
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Fault,
    Kind,
    Problem,
    respond,
)

UNKNOWN_ROUTER: Final = Kind(404, "unknown-router", "There is no such router")
UNKNOWN_ARM: Final = Kind(422, "unknown-arm", "The router has no such arm")
UNKNOWN_REQUEST_TYPE: Final = Kind(422, "unknown-request-type", "The router has no such type")
NO_ELIGIBLE_ARM: Final = Kind(422, "no-eligible-arm", "The constraints leave no arm")
BAD_TOKEN: Final = Kind(422, "bad-token", "The turn token was not issued here")
INVALID_OUTCOME: Final = Kind(422, "invalid-outcome", "The outcome can't be accepted")
NOT_READY: Final = Kind(503, "not-ready", "This replica is still reading its state")
UNAVAILABLE: Final = Kind(503, "unavailable", "Events can't be stored now")

_KINDS: Final[Mapping[type[RoutingError], Kind]] = {
    UnknownRouter: UNKNOWN_ROUTER,
    UnknownArm: UNKNOWN_ARM,
    UnknownRequestType: UNKNOWN_REQUEST_TYPE,
    NoEligibleArm: NO_ELIGIBLE_ARM,
    BadToken: BAD_TOKEN,
    InvalidPick: INVALID_REQUEST,
    InvalidReport: INVALID_OUTCOME,
    RequestError: INVALID_REQUEST,
    NotReady: NOT_READY,
    Unavailable: UNAVAILABLE,
}


def problem_of(error: RoutingError, *, without: str = "") -> Problem | None:
    """The problem for an error of the routing service; None for one that is no answer, but a bug.

    `without` is the part of the field's path that the caller's body does not have.
    """
    kind = next((_KINDS[base] for base in type(error).__mro__ if base in _KINDS), None)
    if kind is None:
        return None
    faults = []
    if error.field:
        below = error.field.removeprefix(without).removeprefix(".")
        faults.append(Fault(below or "body", str(error)))
    headers = None
    if kind.status == 503:
        seconds = getattr(error, "retry_after_s", RETRY_AFTER_S)
        headers = {"Retry-After": str(max(1, math.ceil(seconds)))}
    return Problem(kind, str(error), faults, headers)


def install(app: FastAPI) -> None:
    """Make every error that reaches FastAPI a problem document."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(RoutingError, _on_routing_error)


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return respond(error)
    kind = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(error.status_code)
    if kind is None:
        kind = Kind(error.status_code, f"http-{error.status_code}", str(error.detail))
    return respond(Problem(kind, str(error.detail), headers=error.headers))


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond(invalid(faults_of(error.errors())))


async def _on_routing_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RoutingError)
    problem = problem_of(error)
    if problem is None:
        raise error
    return respond(problem)
