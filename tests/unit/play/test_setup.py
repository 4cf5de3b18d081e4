"""The router to play on: made from the file, given, or there already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from routefold.play.errors import LogError, OptionsError, UnknownRouter
from routefold.play.log import Log, read_log
from routefold.play.options import PlayOptions
from routefold.play.setup import agree_on_router, config_from_log
from schemas.request_types import REQUEST_TYPES
from schemas.router_config import RouterConfig
from tests.unit.play.doubles import MemoryGateway, row

WriteLog = Callable[..., Path]


@pytest.fixture
def log(write_log: WriteLog) -> Log:
    cheap, dear = {"y": 0, "usd": 0.1}, {"y": 1, "usd": 0.4}
    return read_log(write_log([row("sql", a=cheap, b=dear), row("general", a=dear, b=dear)]))


def configured(*arms: str, **fields: Any) -> RouterConfig:
    return RouterConfig.model_validate(
        {
            "router": "mine",
            "arms": [{"name": arm} for arm in arms],
            "request_types": ["sql", "general"],
            **fields,
        }
    )


def test_a_fresh_router_has_the_logs_arms_types_and_mean_prices(log: Log) -> None:
    config = config_from_log(log, "play-1")
    assert config.router == "play-1"
    assert config.arm_names == ("a", "b")
    assert [arm.price.usd_per_request for arm in config.arms if arm.price] == pytest.approx(
        [0.25, 0.4]
    )
    assert {arm.tier for arm in config.arms} == {2}
    assert config.request_types == ("sql", "general")
    assert (config.weights.quality, config.weights.cost) == (0.7, 0.3)
    assert config.rewards == {"quality": 1.0}


def test_rows_without_a_type_may_get_any_built_in_one(write_log: WriteLog) -> None:
    log = read_log(write_log([row("sql", a=1), row(None, "write a poem", a=1)]))
    assert config_from_log(log, "r").request_types == ("sql", *REQUEST_TYPES)


def test_too_many_types_are_a_fault_of_the_file(write_log: WriteLog) -> None:
    log = read_log(write_log([row(f"t{i}", a=1) for i in range(65)]))
    with pytest.raises(LogError, match="request_types"):
        config_from_log(log, "r")


async def test_a_given_configuration_is_put_under_its_own_name(log: Log) -> None:
    gateway = MemoryGateway(lambda *_: "a")
    config = configured("a")
    agreed, _ = await agree_on_router(gateway, log, PlayOptions(config=config), "fresh")
    assert agreed == config
    assert gateway.configs == {"mine": config}


async def test_an_existing_router_is_played_on_as_it_is(log: Log) -> None:
    gateway = MemoryGateway(lambda *_: "a")
    gateway.configs["mine"] = configured("b", "a")
    agreed, state = await agree_on_router(gateway, log, PlayOptions(router="mine"), "fresh")
    assert agreed == configured("b", "a")
    assert state["events"]["duplicates"] == 7
    assert list(gateway.configs) == ["mine"]


async def test_an_absent_router_is_an_error_at_once(log: Log) -> None:
    with pytest.raises(UnknownRouter, match="mine"):
        await agree_on_router(MemoryGateway(lambda *_: "a"), log, PlayOptions(router="mine"), "f")


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (configured("a", "z"), "no outcomes of arm 'z'; it has a, b"),
        (configured("a", request_types=["general"]), "request type 'sql'.*add it to request_types"),
        (configured("a", rewards={"error": 1.0}), "do not declare 'quality'.*add `quality: 1.0`"),
    ],
)
async def test_a_router_that_does_not_fit_is_refused_before_it_is_put(
    log: Log, config: RouterConfig, fault: str
) -> None:
    gateway = MemoryGateway(lambda *_: "a")
    with pytest.raises(OptionsError, match=fault):
        await agree_on_router(gateway, log, PlayOptions(config=config), "fresh")
    assert gateway.configs == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"turns": 0},
        {"seed": -1},
        {"sessions": 0},
        {"stall_timeout_s": 0.0},
        {"stall_timeout_s": float("nan")},
        {"router": "r", "config": configured("a")},
    ],
)
def test_options_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        PlayOptions(**fields)
