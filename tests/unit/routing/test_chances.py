"""Chances: what decides between arms and between deployments, the guards; there always are some."""

from __future__ import annotations

from typing import Any

import pytest

from router_api.routing import chances
from router_api.routing.beliefs import Beliefs, Health
from router_api.routing.chances import choice_table
from router_api.routing.choice import win_probabilities
from schemas.evidence import NOTHING, Effective
from schemas.posterior import BetaPosterior
from schemas.router_config import RouterConfig
from tests.factories import config

WELL = Health(50.0, 50.0)
DOWN = Health(8.0, 0.0)
ONLY_TIME = {"quality": 0.0, "cost": 0.0, "latency": 1.0}


def believed(
    *shapes: tuple[float, float],
    times: tuple[Effective, ...] | None = None,
    health: tuple[Health, ...] | None = None,
) -> Beliefs:
    """Beliefs of arms without deployments; well, and never timed, unless stated."""
    n = len(shapes)
    known = health or (WELL,) * n
    seen = times or (NOTHING,) * n
    return Beliefs(
        quality=tuple(BetaPosterior(alpha, beta, alpha + beta) for alpha, beta in shapes),
        times=seen,
        calls=tuple(max(a.n, b.calls) for a, b in zip(seen, known, strict=True)),
        recent_calls=(0.0,) * n,
        health=known,
    )


def took(octaves: float, calls: float = 50.0, spread: float = 0.3) -> Effective:
    """Evidence of calls of about 2^octaves milliseconds."""
    x = 64 * octaves
    return Effective(calls, calls * x, calls * (x * x + (64 * spread) ** 2))


def router(**fields: Any) -> RouterConfig:
    return RouterConfig.model_validate({"router": "r", **fields})


def priced(*usd: float, **fields: Any) -> RouterConfig:
    arms = [{"name": f"arm-{i}", "price": {"usd_per_request": each}} for i, each in enumerate(usd)]
    return router(arms=arms, **fields)


def many(n: int, **fields: Any) -> RouterConfig:
    return router(arms=[{"name": f"arm-{i}"} for i in range(n)], **fields)


def probabilities(router: RouterConfig, beliefs: Beliefs, mask: int | None = None) -> list[float]:
    everything = (1 << len(router.deployments)) - 1
    table, learned = choice_table(router, "general", beliefs, mask or everything)
    assert learned
    assert sum(table.probabilities) == 1.0
    return list(table.probabilities)


# Between arms


def test_better_arm_is_likelier_and_cheapness_weighs_in() -> None:
    assert probabilities(config(), believed((60, 40), (40, 60)))[0] > 0.95
    assert probabilities(priced(2.0, 1.0), believed((50, 50), (50, 50)))[1] > 0.95


def test_only_quality_counts_where_its_weight_is_1() -> None:
    only_quality = priced(9.0, 1.0, weights={"quality": 1.0, "cost": 0.0})
    assert probabilities(only_quality, believed((5, 5), (5, 5))) == pytest.approx([0.5, 0.5])


def test_only_price_counts_where_its_weight_is_1() -> None:
    only_price = priced(9.0, 1.0, weights={"quality": 0.0, "cost": 1.0})
    assert probabilities(only_price, believed((500, 5), (5, 500))) == [0.0, 1.0]


def test_only_time_counts_where_its_weight_is_1() -> None:
    times = (took(11.0), took(9.0))
    chance = probabilities(many(2, weights=ONLY_TIME), believed((500, 5), (5, 500), times=times))
    assert chance[1] > 0.99


def test_time_does_not_count_without_a_weight() -> None:
    times = (took(12.0), took(8.0))
    with_times = probabilities(many(2), believed((5, 5), (6, 4), times=times))
    assert with_times == probabilities(many(2), believed((5, 5), (6, 4)))


def test_time_quality_and_price_are_one_objective() -> None:
    """Half a span of speed (a factor of 4 of 16) is worth half the weight of latency."""
    weights = {"quality": 0.5, "cost": 0.0, "latency": 0.5}
    times = (took(10.0, 1e4), took(8.0, 1e4))
    sure = 1e5
    slower_but = [
        probabilities(
            many(2, weights=weights, speed={"buffer": 0.0}),
            believed((sure * better, sure * (1 - better)), (sure * 0.3, sure * 0.7), times=times),
        )[0]
        for better in (0.75, 0.85)
    ]
    assert slower_but[0] < 0.05
    assert slower_but[1] > 0.95


def test_arms_within_the_buffer_are_equal() -> None:
    times = tuple(took(octaves, 1e4, 0.01) for octaves in (9.0, 9.05, 9.1, 10.0))
    chance = probabilities(many(4, weights=ONLY_TIME), believed(*[(5, 5)] * 4, times=times))
    assert chance[:3] == pytest.approx([1 / 3] * 3, abs=0.02)
    assert chance[3] < 0.001


def test_exploration_is_a_share_of_the_variance() -> None:
    """Beta(5, 5) and Beta(6, 4) with 1 are Beta(2.5, 2.5) and Beta(3, 2) with a half."""
    halved = probabilities(many(2, exploration=0.5), believed((2.5, 2.5), (3, 2)))
    assert halved == probabilities(many(2, exploration=1.0), believed((5, 5), (6, 4)))


def test_less_exploration_leaves_more_to_the_best() -> None:
    chances = [
        probabilities(many(2, exploration=share), believed((60, 40), (50, 50)))[0]
        for share in (4.0, 1.0, 0.5, 0.1)
    ]
    assert chances == sorted(chances)
    assert chances[-1] - chances[0] > 0.2


# Guards


def test_an_arm_of_unknown_speed_is_tried_and_never_by_everyone() -> None:
    known = (took(11.0),) * 19
    well = (WELL,) * 19
    equal_priors = [(5, 5)] * 20
    router = many(20, weights=ONLY_TIME)

    new = believed(*equal_priors, times=(*known, NOTHING), health=(*well, Health(0.0, 0.0)))
    one_lucky_call = (*known, took(8.0, calls=1.0))
    lucky = believed(*equal_priors, times=one_lucky_call, health=(*well, Health(1.0, 1.0)))

    assert 0.04 < probabilities(router, new)[19] <= 0.1
    assert probabilities(router, lucky)[19] == pytest.approx(0.1)


def test_where_all_are_unknown_all_are_tried() -> None:
    cold = believed(*[(5, 5)] * 20, health=(Health(0.0, 0.0),) * 20)
    assert probabilities(many(20, weights=ONLY_TIME), cold) == pytest.approx([0.05] * 20)


def test_a_new_arm_gets_its_share_by_its_prior_at_once() -> None:
    new = (Health(0.0, 0.0), WELL)
    assert probabilities(many(2), believed((7, 3), (50, 50), health=new))[0] > 0.7


def test_what_fails_now_is_left_out_but_probed() -> None:
    chance = probabilities(
        many(3), believed((90, 10), (50, 50), (50, 50), health=(DOWN, WELL, WELL))
    )
    assert chance[0] == pytest.approx(0.01)
    assert chance[1] == pytest.approx(chance[2])


def test_what_would_not_be_picked_is_not_probed_either() -> None:
    chance = probabilities(many(2), believed((5, 900), (900, 5), health=(DOWN, WELL)))
    assert chance == [0.0, 1.0]


def test_where_all_fail_none_is_left_out() -> None:
    assert probabilities(many(2), believed((5, 5), (5, 5), health=(DOWN, DOWN))) == pytest.approx(
        [0.5, 0.5]
    )


def test_answers_that_do_not_come_are_worth_nothing() -> None:
    shaky = Health(100.0, 70.0)
    chance = probabilities(many(2), believed((800, 200), (700, 300), health=(shaky, WELL)))
    assert chance[1] > 0.95


def test_floor_is_kept_for_every_eligible_arm() -> None:
    floored = config(arms="abc", min_probability=0.1)
    table, _ = choice_table(floored, "general", believed((900, 1), (1, 900), (1, 900)), 0b101)
    assert table.arms == ("a", "c")
    assert table.probabilities == pytest.approx((0.9, 0.1))


# Between deployments

DEPLOYED = [{"name": "m", "deployments": ["eu", "us", "asia"]}, {"name": "b"}]


def deployments(times: tuple[Effective, ...], health: tuple[Health, ...]) -> Beliefs:
    return Beliefs(
        quality=(BetaPosterior(60, 40, 90), BetaPosterior(40, 60, 90)),
        times=times,
        calls=tuple(each.n for each in times),
        recent_calls=(0.0,) * len(times),
        health=health,
    )


def test_deployments_share_what_their_arm_gets_and_time_decides_between_them() -> None:
    times = (took(9.0), took(9.0), took(11.0), took(8.0))
    chance = probabilities(router(arms=DEPLOYED), deployments(times, (WELL,) * 4))

    alone = probabilities(config(), believed((60, 40), (40, 60)))
    assert sum(chance[:3]) == pytest.approx(alone[0])
    assert chance[0] == pytest.approx(chance[1], abs=0.01)
    assert chance[2] < 0.001  # slow; arm b is faster still, but between arms time has no weight
    assert chance[3] == pytest.approx(alone[1])


def test_an_arm_is_there_while_one_of_its_deployments_is() -> None:
    times = (took(9.0),) * 4
    chance = probabilities(router(arms=DEPLOYED), deployments(times, (DOWN, DOWN, WELL, WELL)))
    assert chance[:2] == pytest.approx([0.01, 0.01])
    assert chance[2] > 0.9


# Whatever happens


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(((1e-9, 1e-9), (1e-9, 1e-9)), id="hardly a prior"),
        pytest.param(((3e9, 7e9), (7e9, 3e9)), id="more than can be integrated"),
        pytest.param(((1e-9, 1e9), (1e9, 1e-9)), id="both"),
    ],
)
@pytest.mark.parametrize("latency", [0.0, 0.2])
def test_any_mass_that_a_configuration_allows_gives_chances(
    shapes: tuple[tuple[float, float], ...], latency: float
) -> None:
    weights = {"quality": 0.7, "cost": 0.3 - latency, "latency": latency}
    probabilities(config(weights=weights), believed(*shapes))


def test_when_the_quadrature_fails_the_priors_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing_for_evidence(alpha: Any, *rest: Any) -> Any:
        if alpha.max() > 100:
            raise ArithmeticError
        return win_probabilities(alpha, *rest)

    monkeypatch.setattr(chances, "win_probabilities", failing_for_evidence)
    tiers = router(arms=[{"name": "a", "tier": 1}, {"name": "b", "tier": 3}])
    never_seen = (Health(0.0, 0.0),) * 2

    table, learned = choice_table(tiers, "general", believed((900, 9), (9, 900)), 0b11)

    shapes = [tiers.prior.of(arm, "general") for arm in tiers.arms]
    priors = believed(*((each.alpha, each.beta) for each in shapes), health=never_seen)
    assert not learned
    assert table == choice_table(tiers, "general", priors, 0b11)[0]
    assert table.probabilities[1] > table.probabilities[0]


def test_when_nothing_can_be_computed_all_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise ArithmeticError

    monkeypatch.setattr(chances, "win_probabilities", failing)

    table, learned = choice_table(config(arms="abcd"), "general", believed(*[(1, 1)] * 4), 0b1111)

    assert not learned
    assert table.probabilities == (0.25,) * 4
