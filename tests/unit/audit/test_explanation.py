"""What decided a choice, what would have turned it, and which turns the belief came from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from routefold.audit.levers import Lever, Situation, levers
from routefold.audit.parts import parts
from routefold.audit.provenance import observations, strongest
from router_api.routing.beliefs import beliefs
from schemas.evidence import SeriesKey, Sums
from schemas.router_config import RouterConfig
from tests.factories import T0, config
from tests.snapshots import observed, snapshot, state_of
from tests.unit.evaluate.frames import joined, scored

GOOD_A = observed("a", [1.0] * 8 + [0.0] * 2) | observed("b", [1.0] * 5 + [0.0] * 5)


def priced(**fields: Any) -> RouterConfig:
    """Arm a costs 2, arm b costs 1, arm c has no price."""
    plain = config(arms=("a", "b", "c"), **fields).model_dump()
    for arm, usd in zip(plain["arms"], (2.0, 1.0), strict=False):
        arm["price"] = {"usd_per_request": usd}
    return RouterConfig.model_validate(plain)


def situation(
    cfg: RouterConfig, evidence: dict[SeriesKey, Sums], eligible: tuple[str, ...] = ("a", "b")
) -> Situation:
    reading = state_of(snapshot(evidence)).of("general").read()
    believed = beliefs(cfg, "general", reading.metrics)
    return Situation(cfg, "general", reading, believed, eligible)


def lever_of(found: list[Lever], kind: str, name: str, *, rising: bool | None = None) -> Lever:
    matching = [
        lever
        for lever in found
        if (lever.kind, lever.name) == (kind, name) and rising in (None, lever.after > lever.before)
    ]
    (lever,) = matching
    return lever


def test_parts_are_what_the_score_is_made_of() -> None:
    at = situation(priced(weights={"quality": 0.8, "cost": 0.2}), GOOD_A, ("a", "b", "c"))
    by_name = {part.name: part for part in parts(at)}
    assert [part.probability for part in parts(at)] == sorted(
        (part.probability for part in parts(at)), reverse=True
    )
    assert sum(part.probability for part in by_name.values()) == pytest.approx(1.0)
    a = by_name["a"]
    quality = at.believed.quality[0]
    assert a.quality == quality.mean
    assert a.interval_90[0] < a.quality < a.interval_90[1]
    assert a.quality_part == pytest.approx(0.8 * quality.mean)
    assert a.cost_part == 0.0
    assert by_name["b"].cost_part == pytest.approx(0.2)
    assert by_name["c"].cost_part == pytest.approx(0.1), "an unknown price is the mean of the known"
    assert a.score == pytest.approx(a.quality_part)
    assert a.speed_part == 0.0


def test_only_eligible_arms_have_parts() -> None:
    assert {part.name for part in parts(situation(priced(), GOOD_A))} == {"a", "b"}


def test_every_lever_turns_the_choice_just_where_it_says() -> None:
    at = situation(priced(weights={"quality": 0.9, "cost": 0.1}), GOOD_A)
    assert at.likeliest == "a"
    found = levers(at)
    assert {(lever.kind, lever.name) for lever in found} >= {
        ("bad observations", "a"),
        ("good observations", "b"),
        ("weight", "quality"),
        ("weight", "cost"),
    }
    assert {lever.then for lever in found} == {"b"}

    less = lever_of(found, "bad observations", "a")
    quality = at.believed.quality[0]
    for share, likeliest in ((0.999, "a"), (1.001, "b")):
        worse = replace(quality, beta=quality.beta + share * less.after)
        changed = replace(at.believed, quality=(worse, *at.believed.quality[1:]))
        assert replace(at, believed=changed).likeliest == likeliest

    cost = lever_of(found, "weight", "cost")
    for weight, likeliest in ((cost.after - 0.002, "a"), (cost.after + 0.002, "b")):
        other = priced(weights={"quality": 1.0 - weight, "cost": weight})
        assert replace(at, config=other).likeliest == likeliest


def test_a_price_can_turn_it_where_cost_counts() -> None:
    cfg = RouterConfig.model_validate(
        {
            **priced(weights={"quality": 0.7, "cost": 0.3}).model_dump(),
            "arms": [
                {"name": "a", "price": {"usd_per_request": 1.1}},
                {"name": "b", "price": {"usd_per_request": 1.0}},
                {"name": "c", "price": {"usd_per_request": 9.0}},
            ],
        }
    )
    at = situation(cfg, GOOD_A, ("a", "b", "c"))
    assert at.likeliest == "a"
    dearer = lever_of(levers(at), "price", "a")
    assert dearer.after > 1.0
    assert dearer.then == "b"


def test_without_weight_a_price_turns_nothing() -> None:
    at = situation(priced(weights={"quality": 1.0, "cost": 0.0}), GOOD_A)
    assert not [lever for lever in levers(at) if lever.kind == "price"]


def test_an_arm_alone_has_no_levers() -> None:
    assert levers(situation(priced(), GOOD_A, ("a",))) == []


def turns_table() -> pl.DataFrame:
    at = pl.Series([T0, T0 + 3_600_000], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC"))
    return joined(
        {**scored([1.0])[0], "turn_id": str(UUID(int=1)), "occurred_at": at[0], "status": "ok"},
        {**scored([0.0])[0], "turn_id": str(UUID(int=2)), "occurred_at": at[1]},
        {"turn_id": str(UUID(int=3)), "occurred_at": at[1], "arm_served": "b"},
        {"turn_id": str(UUID(int=4)), "occurred_at": at[1], "signals": ["failure"]},
        {"turn_id": str(UUID(int=5)), "occurred_at": at[1], "status": "timeout"},
    )


def reactions_table(*pairs: tuple[int, str]) -> pl.DataFrame:
    rows = [(str(UUID(int=turn)), signal) for turn, signal in pairs]
    return pl.DataFrame(rows, {"turn_id": pl.String, "signal": pl.String}, orient="row")


def test_observations_are_those_of_the_arm_that_served() -> None:
    found = observations(turns_table(), reactions_table((1, "loop"), (3, "loop")), ["a"])
    rows = {
        (UUID(row["turn_id"]).int, row["metric"], row["value"])
        for row in found.iter_rows(named=True)
    }
    assert set(found["arm"]) == {"a"}
    assert rows == {
        (1, "quality", 1.0),
        (2, "quality", 0.0),
        (1, "success", 1.0),
        (5, "success", 0.0),
        (5, "error", 0.0),
        (4, "failure", 0.0),
        (1, "loop", 0.0),
    }


def test_the_strongest_turns_are_those_that_moved_the_mean_most() -> None:
    cfg = config(rewards={"quality": 1.0, "failure": 0.5})
    evidence = observed("a", [1.0], at_ms=T0) | observed("a", [0.5], metric="failure", at_ms=T0)
    rows = {key: value for key, value in evidence.items() if key.metric == "quality"}
    both = Sums(2 * 65536, 65536 * 1024, 65536 * 1024**2)
    rows = {next(iter(rows)): both}
    reading = state_of(snapshot(rows, as_of_ms=T0)).of("general").read()
    believed = beliefs(cfg, "general", reading.metrics).quality[0]
    observed_ = observations(turns_table(), reactions_table(), ["a"])
    found = strongest(observed_, cfg, ["a"], believed, reading, 5)
    assert [each.turn_id.int for each in found] in ([1, 2], [2, 1])
    prior = cfg.prior.of(cfg.arms[0], "general")
    for each in found:
        value = each.observed["quality"]
        without = (prior.alpha + 1.0 - value) / (prior.alpha + prior.beta + 1.0)
        assert each.by == pytest.approx(believed.mean - without)
        assert each.weighs == pytest.approx(1.0)


def test_what_was_long_ago_moves_less() -> None:
    cfg = config(
        rewards={"quality": 1.0},
        half_lives_s={"quality": {"slow": 3600.0, "fast": None}},
    )
    half_life_ms = 3_600_000
    evidence = observed("a", [0.0], at_ms=T0 + half_life_ms, half_life_ms=half_life_ms)
    reading = state_of(snapshot(evidence, as_of_ms=T0 + half_life_ms)).of("general").read()
    believed = beliefs(cfg, "general", reading.metrics).quality[0]
    found = strongest(
        observations(turns_table(), reactions_table(), ["a"]), cfg, ["a"], believed, reading, 5
    )
    assert [each.turn_id.int for each in found] == [2, 1]
    assert [each.weighs for each in found] == pytest.approx([1.0, 0.5], rel=1e-4)
