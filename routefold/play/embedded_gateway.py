"""A RoutingService in this process as the player's router: no HTTP in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import router_api.errors as routing
from routefold.play.errors import GatewayError, Unavailable, UnknownRouter
from routefold.play.gateway import QUALITY, Picked, PlayedOutcome, chat
from router_api.service import OutcomeReport, PickRequest, RoutingService
from schemas.router_config import RouterConfig


class EmbeddedGateway:
    """Through a RoutingService that the caller has started, and stops."""

    def __init__(self, service: RoutingService) -> None:
        self._service = service

    async def put_router(self, config: RouterConfig) -> int:
        with service_errors():
            version, _ = await self._service.put_router(config)
        return version

    async def pick(
        self, router: str, *, session_id: str, request_type: str | None, prompt: str | None
    ) -> Picked:
        request = PickRequest(
            session_id=session_id, request_type=request_type, messages=chat(prompt)
        )
        with service_errors():
            pick = self._service.pick(router, request)
        return Picked(pick.turn_token, pick.arm, pick.request_type)

    async def outcomes(self, outcomes: Sequence[PlayedOutcome]) -> int:
        reports = [
            OutcomeReport(
                turn_token=each.turn_token,
                outcome_id=each.outcome_id,
                status=each.status,
                latency_ms=each.latency_ms,
                tokens_in=each.tokens_in,
                tokens_out=each.tokens_out,
                cost_usd=each.cost_usd,
                scores={QUALITY: each.quality},
            )
            for each in outcomes
        ]
        with service_errors():
            return len(await self._service.record(reports))

    async def state(self, router: str) -> Mapping[str, Any]:
        with service_errors():
            return self._service.state(router)


@contextmanager
def service_errors() -> Iterator[None]:
    """Raises the service's errors as the player's."""
    try:
        yield
    except routing.UnknownRouter as error:
        raise UnknownRouter(str(error)) from error
    except routing.Unavailable as error:
        raise Unavailable(str(error), error.retry_after_s) from error
    except routing.NotReady as error:
        raise Unavailable(str(error)) from error
    except routing.RoutingError as error:
        raise GatewayError(str(error)) from error
