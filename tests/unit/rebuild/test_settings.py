"""What a rebuild does otherwise: configurations rewritten, sources left out, nonsense refused."""

from __future__ import annotations

import random
from typing import Any

import pytest

from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.settings import RebuildSettings, RevisedLog, check_against
from consumer.records import Batch
from consumer.routers import KnownRouter
from schemas.codec import decode
from schemas.events import RouterConfigured
from schemas.router_config import RouterConfig, parse_config
from tests.factories import T0, Record, config, configured, outcome, records, turn, uuid7


def revised(settings: RebuildSettings, *events: Any) -> list[Any]:
    left = RevisedLog(settings).revise(Batch.of({0: records(events)}))
    return [decode(value or b"") for value in left.values]


def config_in(event: Any) -> RouterConfig:
    assert isinstance(event, RouterConfigured)
    return parse_config(event.config)


def known(cfg: RouterConfig) -> KnownRouter:
    return KnownRouter.first(cfg, 1, cfg.model_dump_json())


def test_the_live_settings_leave_the_log_alone() -> None:
    log = Batch.of({0: records([configured(config()), turn(uuid7(T0, random.Random(1)))])})
    assert RevisedLog(RebuildSettings()).revise(log) is log
    assert RebuildSettings().is_live


def test_half_lives_and_rewards_are_those_of_every_configuration() -> None:
    settings = RebuildSettings.make(
        half_lives_s={"quality.slow": 7200.0, "latency.fast": None},
        rewards={"*": {"error": 0.0}, "chat": {"quality": 0.5, "loop": 2.0}},
    )
    weights = {"quality": 1.0, "error": 1.0}
    chat, other = revised(
        settings,
        configured(config("chat", rewards=weights)),
        configured(config("other", rewards=weights), 7),
    )
    assert (other.version, other.router) == (7, "other")
    for event in (chat, other):
        quality, latency = (
            config_in(event).half_lives_s.quality,
            config_in(event).half_lives_s.latency,
        )
        assert (quality.slow, quality.fast) == (7200.0, 900.0)
        assert (latency.slow, latency.fast) == (300.0, None)
    assert config_in(chat).rewards == {"quality": 0.5, "error": 0.0, "loop": 2.0}
    assert config_in(chat).signals == ("loop",)
    assert config_in(other).rewards == {"quality": 1.0, "error": 0.0}


def test_events_of_an_excluded_source_are_gone_and_offsets_stay() -> None:
    rng = random.Random(2)
    turns = [turn(uuid7(T0 + i, rng), source=("app", "bad")[i % 2]) for i in range(6)]
    says = [outcome(t.turn_id, uuid7(T0, rng), source="bad") for t in turns]
    settings = RebuildSettings.make(exclude_sources=("bad",))
    log = records([configured(config()), *turns, *says])
    left = RevisedLog(settings).revise(Batch.of({0: log}))
    assert left.offset.tolist() == [0, 1, 3, 5]
    assert revised(settings, *turns, *says) == turns[::2]


def test_a_record_that_can_not_be_read_has_no_source() -> None:
    """It stays, and becomes a dead letter as in the live fold; its neighbours are told apart."""
    rng = random.Random(3)
    good, bad = (turn(uuid7(T0, rng), source=source) for source in ("app", "bad"))
    log = records([good, bad, good])
    broken = Record(9, T0, b"k", (log[0].value or b"")[:-3])
    excluding = RevisedLog(RebuildSettings.make(exclude_sources=("bad",)))
    left = excluding.revise(Batch.of({0: [*log, broken]}))
    assert left.values == [log[0].value, log[2].value, broken.value]


def test_a_configuration_that_can_not_be_read_stays_as_it_is() -> None:
    event = configured(config())
    broken = RouterConfigured(
        router="r", version=1, config="{nonsense", occurred_at=T0, source="test"
    )
    settings = RebuildSettings.make(rewards={"*": {"quality": 0.5}})
    first, second = revised(settings, event, broken)
    assert config_in(first).rewards["quality"] == 0.5
    assert second == broken


def test_settings_that_a_later_configuration_can_not_have_end_the_rebuild() -> None:
    settings = RebuildSettings.make(half_lives_s={"quality.slow": 600.0})
    narrow = config(half_lives_s={"quality": {"slow": None, "fast": 60.0}})
    assert config_in(revised(settings, configured(narrow))[0]).half_lives_s.quality.slow == 600.0
    with pytest.raises(
        RebuildRefused, match=r"router 'r' .* from offset 0 on: .*shorter than slow"
    ):
        revised(settings, configured(config()))


@pytest.mark.parametrize(
    "fields",
    [
        {"half_lives_s": {"speed.slow": 5.0}},
        {"half_lives_s": {"quality.slow": 0.01}},
        {"rewards": {"*": {"quality": -1}}},
        {"rewards": {"*": {"quality": "much"}}},
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RebuildRefused, match=next(iter(fields))):
        RebuildSettings.make(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rewards": {"chit": {"quality": 1}}}, "'chit': no such router"),
        ({"exclude_arms": ("zz",)}, "'zz': no router ever had it"),
        ({"half_lives_s": {"quality.slow": 30.0}}, "router 'r' can't have these settings"),
    ],
)
def test_what_no_router_can_have_is_refused_beforehand(
    fields: dict[str, Any], message: str
) -> None:
    settings = RebuildSettings.make(**fields)
    with pytest.raises(RebuildRefused, match=message):
        check_against(settings, [known(config())])
    check_against(settings, [])  # of tables that are lost nothing is known


def test_equal_settings_are_equal_however_they_were_written() -> None:
    one = RebuildSettings.make(exclude_sources=("b", "a", "b"), exclude_arms=["x"])
    two = RebuildSettings.make(exclude_sources=["a", "b"], exclude_arms=("x",))
    assert one == two
    assert RebuildSettings.model_validate(one.model_dump(mode="json")) == one
    assert one.differences(RebuildSettings()) == [
        "exclude_sources: ['a', 'b'], not as configured",
        "exclude_arms: ['x'], not as configured",
    ]
