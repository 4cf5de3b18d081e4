"""The router that a log is played on: made from the file, given, or already there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from routefold.play.errors import LogError, OptionsError, Unavailable, UnknownRouter
from routefold.play.gateway import QUALITY, Gateway
from routefold.play.log import Log
from routefold.play.options import PlayOptions
from routefold.play.patience import patiently
from schemas.request_types import REQUEST_TYPES
from schemas.router_config import Arm, Price, RouterConfig, Weights, describe

EQUAL_TIER: Final = 2  # nothing is known beforehand: what is learned comes from the log alone
WEIGHTS: Final = Weights(quality=0.7, cost=0.3)
REWARDS: Final[Mapping[str, float]] = {QUALITY: 1.0}


def config_from_log(log: Log, name: str) -> RouterConfig:
    """A router with the log's arms, each at its mean cost a request, and the log's request types.

    Rows without a type may get any of the built-in ones. Raises LogError if no router can be so.
    """
    types = dict.fromkeys(each for each in log.request_types if each is not None)
    if log.prompts:
        types |= dict.fromkeys(REQUEST_TYPES)
    mean_usd = log.cost_usd.mean(axis=0)
    try:
        return RouterConfig(
            router=name,
            arms=tuple(
                Arm(name=arm, tier=EQUAL_TIER, price=Price(usd_per_request=float(usd)))
                for arm, usd in zip(log.arms, mean_usd, strict=True)
            ),
            request_types=tuple(types),
            weights=WEIGHTS,
            rewards=dict(REWARDS),
        )
    except ValidationError as error:
        raise LogError(log.path, None, f"no router can be made of it: {describe(error)}") from None


async def agree_on_router(
    gateway: Gateway, log: Log, options: PlayOptions, fresh_name: str
) -> tuple[RouterConfig, Mapping[str, Any]]:
    """The configuration to play on, known to the gateway, and the router's state before the play.

    Raises OptionsError when the router doesn't fit the log, GatewayError when it can't be had.
    """
    if options.router is not None:
        state = await patiently(_reader(gateway, options.router))
        config = RouterConfig.model_validate(state["config"])
        require_fit(config, log)
        return config, state
    config = options.config or config_from_log(log, fresh_name)
    require_fit(config, log)
    version = await patiently(lambda: gateway.put_router(config))
    state = await patiently(
        _reader(gateway, config.router, version), repeat_on=(UnknownRouter, Unavailable)
    )
    return config, state


def require_fit(config: RouterConfig, log: Log) -> None:
    """Raises OptionsError unless every pick of this router has an outcome in the log, and every
    outcome a place in the router."""
    absent = [arm for arm in config.arm_names if arm not in log.arms]
    if absent:
        raise OptionsError(
            f"router {config.router}: {log.path} has no outcomes of arm {absent[0]!r}; "
            f"it has {', '.join(log.arms)}. Take the arm out of the configuration"
        )
    unknown = {each for each in log.request_types if each is not None} - {*config.request_types}
    if unknown:
        raise OptionsError(
            f"router {config.router}: {log.path} has rows of request type {min(unknown)!r}, "
            "which is not in the configuration; add it to request_types"
        )
    if QUALITY not in config.rewards:
        raise OptionsError(
            f"router {config.router}: its rewards do not declare {QUALITY!r}, "
            f"which the rows' y is reported as; add `{QUALITY}: 1.0` to rewards"
        )


def _reader(
    gateway: Gateway, router: str, version: int = 0
) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    async def read() -> Mapping[str, Any]:
        state = await gateway.state(router)
        if state["version"] < version:
            raise UnknownRouter(
                f"router {router}: the API still has version {state['version']} after {version} "
                "was put; is it connected to Kafka?"
            )
        return state

    return read
