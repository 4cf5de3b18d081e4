"""Client of the HTTP API, for gateways that do not route in their own process. Knows no Kafka."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote
from uuid import UUID

import aiohttp
from uuid_utils import uuid7
from yarl import URL

from producer.errors import ProducerError

# The API answers outcomes within twice the publisher's send deadline; beyond this it is gone.
DEFAULT_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 3.0
MAX_ATTEMPTS: Final = 3
FIRST_PAUSE_S: Final = 0.1
# A Retry-After beyond this is the caller's decision, not a nap inside a call.
MAX_PAUSE_S: Final = 5.0
# Below the 5 s after which uvicorn closes an idle connection: a request sent into that moment is
# lost, and a pick must not be sent twice.
KEEP_ALIVE_S: Final = 4.0
# Answers of an API, or of a proxy before it, that may be different in a moment.
_TRANSIENT: Final = frozenset({429, 502, 503, 504})


class ClientError(ProducerError):
    """A call of the HTTP API failed."""


class ApiUnreachable(ClientError, aiohttp.ClientConnectionError):
    """The API did not answer: not connected, disconnected, or too late."""


class ApiError(ClientError):
    """The API answered with an error: the members of its problem document (RFC 9457).

    `errors` holds {"field": JSON path, "message": what is wrong} for each fault of the request.
    """

    def __init__(
        self, status: int, title: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        faults = [  # a detail that is about one field says the same
            f"{fault.get('field')}: {fault.get('message')}"
            for fault in errors
            if fault.get("message") != detail
        ]
        super().__init__(f"{status} {': '.join(filter(None, [title, detail, '; '.join(faults)]))}")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Pick:
    """The arm to call, and the token that outcomes of this turn are reported with."""

    turn_id: UUID
    turn_token: str
    arm: str
    request_type: str
    probability: float
    fallbacks: tuple[str, ...]
    snapshot_version: str
    snapshot_age_ms: int | None


class _Answer(NamedTuple):
    status: int
    body: Any  # parsed JSON, or the text when it isn't JSON
    retry_after_s: float | None


class RoutefoldClient:
    """Calls one API; an async context manager that keeps its connections open.

    Every method raises ApiError for an answer that is not a success, and ApiUnreachable when there
    is none. Calls that may be repeated without effect are tried MAX_ATTEMPTS times; a pick only
    once, because every pick is a turn of its own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        connections: int = 100,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`timeout_s` bounds each attempt. `headers` go with every request, such as a credential.

        Raises ValueError when `base_url` is not an http or https address.
        """
        self._base = URL(base_url.rstrip("/"))
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise ValueError(f"base_url must be like http://127.0.0.1:8080, not {base_url!r}")
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s)
        )
        self._timeout_s = timeout_s
        self._connections = connections
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE_S),
            timeout=self._timeout,
            headers=self._headers,
            # NaN is no JSON: fail here with a ValueError, not there with a malformed body.
            json_serialize=partial(json.dumps, allow_nan=False),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def pick(
        self,
        router: str,
        *,
        session_id: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        request_type: str | None = None,
        previous_turn: str | None = None,
        min_quality_tier: int | None = None,
        exclude: Sequence[str] = (),
        serving: str | None = None,
    ) -> Pick:
        """Ask which arm should answer a request. Tried once."""
        known = {
            "session_id": session_id,
            "messages": messages,
            "request_type": request_type,
            "previous_turn": previous_turn,
            "min_quality_tier": min_quality_tier,
            "exclude": list(exclude) or None,
            "serving": serving,
        }
        body = {name: value for name, value in known.items() if value is not None}
        answer = await self._call("POST", _router_path(router, "picks"), body, attempts=1)
        try:
            return Pick(
                turn_id=UUID(answer["turn_id"]),
                turn_token=answer["turn_token"],
                arm=answer["arm"],
                request_type=answer["request_type"],
                probability=answer["probability"],
                fallbacks=tuple(answer["fallbacks"]),
                snapshot_version=answer["snapshot"]["version"],
                snapshot_age_ms=answer["snapshot"]["age_ms"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _not_ours(answer) from error

    async def outcomes(self, reports: Sequence[Mapping[str, Any]]) -> list[str]:
        """Report outcomes, in the form of the API's body; their ids.

        A report without `outcome_id` is given one here, so that a repeated call counts once; keep
        it to take the report back (`voids`). All reports are accepted, or none.
        """
        if not reports:
            return []
        body = [{"outcome_id": str(uuid7()), **report} for report in reports]
        answer = await self._call("POST", "/v1/outcomes", body)
        try:
            return [str(outcome_id) for outcome_id in answer["outcome_ids"]]
        except (KeyError, TypeError) as error:
            raise _not_ours(answer) from error

    async def routers(self) -> dict[str, Any]:
        """{"routers": [{"name", "version", "arms", "request_types"}]}."""
        return await self._document("GET", "/v1/routers")

    async def state(self, router: str) -> dict[str, Any]:
        """What the router has learned: posteriors, counts, versions, freshness."""
        return await self._document("GET", _router_path(router, "state"))

    async def put_router(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Create or change the router that `config` names: {"router", "version", "changed"}.

        After a repeated attempt `changed` may be false although this call changed it.
        """
        if "router" not in config:
            raise ValueError("the configuration has no `router`: give its name there")
        return await self._document("PUT", _router_path(str(config["router"])), dict(config))

    async def ready(self) -> bool:
        """Whether the API is there and has caught up. Never raises ClientError; tried once."""
        try:
            await self._call("GET", "/readyz", attempts=1)
        except ClientError:
            return False
        return True

    async def _document(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self._call(method, path, body)
        if not isinstance(answer, dict):
            raise _not_ours(answer)
        return answer

    async def _call(
        self, method: str, path: str, body: Any = None, *, attempts: int = MAX_ATTEMPTS
    ) -> Any:
        """The body of a successful answer."""
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, attempts + 1):
            wait_s = random.uniform(0.5, 1.0) * pause_s  # callers that failed together spread out
            try:
                answer = await self._request(method, path, body)
            except ApiUnreachable:
                if attempt == attempts:
                    raise
            else:
                if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    return answer.body
                wait_s = max(wait_s, answer.retry_after_s or 0.0)
                transient = answer.status in _TRANSIENT and wait_s <= MAX_PAUSE_S
                if attempt == attempts or not transient:
                    raise _to_error(answer)
            await asyncio.sleep(wait_s)
            pause_s *= 2
        raise AssertionError("attempts must be at least 1")

    async def _request(self, method: str, path: str, body: Any) -> _Answer:
        if self._session is None:
            raise RuntimeError("the client is closed: use it as `async with RoutefoldClient(...)`")
        url = URL(f"{self._base}{path}", encoded=True)
        try:
            async with self._session.request(
                method, url, json=body, allow_redirects=False
            ) as response:
                text = await response.text(errors="replace")
        except TimeoutError as error:
            raise ApiUnreachable(
                f"{self._base} did not answer {method} {path} in {self._timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ApiUnreachable(f"{self._base} can't be reached: {error}") from error
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        return _Answer(response.status, parsed, _seconds(response.headers.get("Retry-After")))


def _router_path(router: str, *rest: str) -> str:
    return "/".join(["/v1/routers", quote(router, safe=""), *rest])


def _seconds(retry_after: str | None) -> float | None:
    # The other form, an HTTP date, is not worth trusting two clocks for.
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


def _to_error(answer: _Answer) -> ApiError:
    if isinstance(answer.body, dict):
        errors = answer.body.get("errors")
        return ApiError(
            answer.status,
            str(answer.body.get("title", "error")),
            str(answer.body.get("detail", "")),
            [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else (),
        )
    return ApiError(answer.status, "error without a problem document", _excerpt(answer.body))


def _not_ours(body: Any) -> ApiError:
    # Names of fields only: a body may hold a turn token, and errors are logged.
    found = f"fields {', '.join(map(str, body))}" if isinstance(body, dict) else _excerpt(body)
    return ApiError(HTTPStatus.OK, "not an answer of this API: is the address right?", found)


def _excerpt(body: Any) -> str:
    return " ".join(str(body).split())[:200]
