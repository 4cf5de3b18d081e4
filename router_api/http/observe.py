"""Every request ends in a status that is counted and timed; a crash becomes a problem document."""

from __future__ import annotations

import traceback
import uuid
from time import perf_counter
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router_api.http.problems import INTERNAL_ERROR, Problem, respond

_LOG: Final = structlog.get_logger(__name__)
# A pick takes tenths of a millisecond, an outcome waits for the broker: 5 ms to a few seconds.
_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# Not a status of HTTP: the client went away before it was answered (nginx writes it so too).
_CLIENT_GONE: Final = 499
_MAX_FRAMES: Final = 30


class HttpMetrics:
    """Counts and latencies of requests, by route and not by path: few series, whatever is asked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "routefold_http_requests",
            "Requests answered, by route and status",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "routefold_http_request_seconds",
            "Time from a request's head to its complete answer",
            ("route",),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        # labels() validates and locks, twice: 2 µs that a pick need not spend.
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that ended with `status` after `seconds`."""
        route = getattr(scope.get("route"), "path", "other")
        children = self._children.get((route, status))
        if children is None:
            children = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._children[route, status] = children
        requests, duration = children
        requests.inc()
        duration.observe(seconds)


class Observed:
    """ASGI middleware: measures requests, and answers for those that crash.

    The log gets the correlation id of the answer, the type of the error and where it happened, but
    not its message: an unexpected error may well quote the conversation it choked on.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = perf_counter()
        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = status or _CLIENT_GONE
        except Exception as error:
            correlation_id = _log_crash(scope, error)
            # A response that has begun can't be changed; the server closes what is incomplete.
            if not status:
                problem = Problem(
                    INTERNAL_ERROR,
                    "The request was not carried out. Try again, and report the correlation_id.",
                )
                await respond(problem, correlation_id)(scope, receive, noting)
        finally:
            self._metrics.answered(scope, status, perf_counter() - started)


def _log_crash(scope: Scope, error: Exception) -> str:
    correlation_id = uuid.uuid4().hex
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    _LOG.error(
        "http_request_crashed",
        correlation_id=correlation_id,
        method=scope["method"],
        route=getattr(scope.get("route"), "path", "other"),
        error=_type_chain(error),
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
    return correlation_id


def _type_chain(error: BaseException) -> str:
    """`KeyError from ValueError`: the types of an error and of what caused it."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < _MAX_FRAMES:
        names.append(type(cause).__qualname__)
        cause = cause.__cause__ or cause.__context__
    return " from ".join(names)
