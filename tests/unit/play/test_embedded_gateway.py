"""The service's errors as the player's. Plays on a running service are in the integration tests."""

from __future__ import annotations

from uuid import uuid4

import pytest

import router_api.errors as routing
from routefold.play.embedded_gateway import EmbeddedGateway, service_errors
from routefold.play.errors import GatewayError, Unavailable, UnknownRouter
from routefold.play.gateway import PlayedOutcome
from router_api.service import RoutingService
from router_api.tokens import TurnTokens
from schemas.router_config import RouterConfig
from schemas.topics import Topics


async def test_a_service_that_is_not_ready_may_be_asked_again() -> None:
    service = RoutingService(
        bootstrap_servers="127.0.0.1:1", topics=Topics(), tokens=TurnTokens(["k" * 32]), source="t"
    )
    gateway = EmbeddedGateway(service)
    config = RouterConfig.model_validate({"router": "r", "arms": [{"name": "a"}]})
    outcome = PlayedOutcome(
        turn_token="t",
        outcome_id=uuid4(),
        quality=1.0,
        failed=False,
        latency_ms=None,
        tokens_in=None,
        tokens_out=None,
        cost_usd=0.0,
    )
    for call in (
        gateway.put_router(config),
        gateway.pick("r", session_id="s", request_type="general", prompt=None),
        gateway.outcomes([outcome]),
        gateway.state("r"),
    ):
        with pytest.raises(Unavailable, match="not started"):
            await call


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (routing.UnknownRouter("no router x"), UnknownRouter),
        (routing.NotReady("reading"), Unavailable),
        (routing.Unavailable("no broker", retry_after_s=2.5), Unavailable),
        (routing.InvalidReport("outcomes.0", "it says nothing"), GatewayError),
    ],
)
def test_each_refusal_becomes_its_error(
    raised: routing.RoutingError, expected: type[GatewayError]
) -> None:
    with pytest.raises(GatewayError, match=str(raised)) as error, service_errors():
        raise raised
    assert type(error.value) is expected
    if isinstance(raised, routing.Unavailable):
        assert isinstance(error.value, Unavailable)
        assert error.value.retry_after_s == 2.5
