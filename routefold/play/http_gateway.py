"""A running API as the player's router."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from producer.client import ApiError, ApiUnreachable, RoutefoldClient
from routefold.play.errors import GatewayError, Unavailable, UnknownRouter
from routefold.play.gateway import QUALITY, Picked, PlayedOutcome, chat
from schemas.router_config import RouterConfig

# Answers of an API that starts, or of a proxy before one that is away.
_TRANSIENT: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class HttpGateway:
    """Through a RoutefoldClient that the caller has entered, and closes."""

    def __init__(self, client: RoutefoldClient) -> None:
        self._client = client

    async def put_router(self, config: RouterConfig) -> int:
        with _http_errors():
            answer = await self._client.put_router(config.model_dump(mode="json"))
        return int(answer["version"])

    async def pick(
        self, router: str, *, session_id: str, request_type: str | None, prompt: str | None
    ) -> Picked:
        with _http_errors():
            pick = await self._client.pick(
                router, session_id=session_id, request_type=request_type, messages=chat(prompt)
            )
        return Picked(pick.turn_token, pick.arm, pick.request_type)

    async def outcomes(self, outcomes: Sequence[PlayedOutcome]) -> int:
        with _http_errors():
            return len(await self._client.outcomes([_report_body(each) for each in outcomes]))

    async def state(self, router: str) -> Mapping[str, Any]:
        with _http_errors():
            return await self._client.state(router)


def _report_body(outcome: PlayedOutcome) -> dict[str, Any]:
    measured = {
        "latency_ms": outcome.latency_ms,
        "tokens_in": outcome.tokens_in,
        "tokens_out": outcome.tokens_out,
        "cost_usd": outcome.cost_usd,
    }
    known = {name: value for name, value in measured.items() if value is not None}
    return {
        "turn_token": outcome.turn_token,
        "outcome_id": str(outcome.outcome_id),
        "completion": {"status": outcome.status, **known},
        "scores": {QUALITY: outcome.quality},
    }


@contextmanager
def _http_errors() -> Iterator[None]:
    try:
        yield
    except ApiUnreachable as error:
        raise Unavailable(str(error)) from error
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise UnknownRouter(str(error)) from error
        if error.status in _TRANSIENT:
            raise Unavailable(str(error)) from error
        raise GatewayError(str(error)) from error
