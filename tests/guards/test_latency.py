"""Time: recovered deployments come back, the unknown is not flooded, one time-out is no ban."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from schemas.router_config import RouterConfig
from tests.factories import config
from tests.guards.installation import Answer, Installation, closed_loop, share

BURST = 40
MOST_OF_A_BURST = 8


def deployed(*names: str, **fields: Any) -> RouterConfig:
    """A router of one model, at these places."""
    return config(arms=["model"], deployments={"model": names}, **fields)


def places(n: int) -> list[str]:
    return [f"place-{number:02}" for number in range(n)]


@pytest.mark.parametrize(
    ("clients", "floor"),
    [
        # what was learned of its time fades, and is hardly anything after twenty minutes
        pytest.param(1, 0.0, id="a request a second"),
        # by then many requests have come; a floor bounds them at any rate
        pytest.param(8, 0.01, id="eight a second with a floor"),
    ],
)
def test_a_recovered_deployment_wins_its_traffic_back(clients: int, floor: float) -> None:
    """Known to take three times as long as the others; from then on it takes a tenth."""
    slow, *others = names = places(4)
    installation = Installation(deployed(*names, min_probability=floor))
    installation.fold_every_ms = 2000
    for name in names:
        took_ms = 3000.0 if name == slow else 1000.0
        called = closed_loop(
            installation,
            lambda _arm, number, took_ms=took_ms: Answer.ok(took_ms + number),  # type: ignore[misc]
            clients=1,
            requests=10,
            exclude=[each for each in names if each != name],
        )
        assert set(called) == {name}

    called = closed_loop(
        installation,
        lambda arm, number: Answer.ok(100.0 if arm == slow else 1000.0 + number % 7),
        clients=clients,
        requests=2200,
    )
    assert share(called[:40], others) > 0.9
    assert share(called[:1800], slow) > 0.0
    assert share(called[2000:], slow) > 0.9


@pytest.mark.parametrize(
    ("known", "lucky_calls"),
    [
        pytest.param(0, 0, id="all of twenty are new"),
        pytest.param(19, 0, id="one of twenty is new"),
        pytest.param(19, 1, id="one of twenty was fast once"),
    ],
)
def test_a_burst_does_not_meet_on_one_unproven_deployment(known: int, lucky_calls: int) -> None:
    """40 requests before the first of them is answered."""
    names = places(20)
    old, new = names[:known], names[known:]
    installation = Installation(deployed(*names))
    if old:
        closed_loop(
            installation,
            lambda _arm, number: Answer.ok(800.0 + number % 5),
            clients=known,
            requests=400,
            exclude=new,
        )
    for _ in range(lucky_calls):
        pick = installation.pick(exclude=old)
        installation.report(pick, status="ok", latency_ms=50.0)
    installation.wait(1000)
    burst = Counter(installation.pick().arm for _ in range(BURST))
    assert max(burst[name] for name in new) <= MOST_OF_A_BURST
    assert min(installation.shares()[name] for name in new) > 0.0


def test_long_answers_do_not_make_a_deployment_fast() -> None:
    """What counts is the time of a request, not seconds a token: the slower one writes ten times
    as much."""
    called = closed_loop(
        Installation(deployed("quick", "wordy")),
        lambda arm, number: (
            Answer.ok(600.0 + number % 5, tokens_out=5)
            if arm == "quick"
            else Answer.ok(1600.0 + number % 5, tokens_out=50)
        ),
        clients=4,
        requests=400,
    )
    assert share(called[100:], "quick") > 0.9


def test_the_time_to_the_first_token_counts_where_it_is_told_to() -> None:
    called = closed_loop(
        Installation(deployed("early", "short", speed={"metric": "ttft_ms"})),
        lambda arm, number: (
            Answer.ok(2000.0, ttft_ms=100.0 + number % 5)
            if arm == "early"
            else Answer.ok(500.0, ttft_ms=400.0 + number % 5)
        ),
        clients=4,
        requests=400,
    )
    assert share(called[100:], "early") > 0.9


def test_each_request_type_has_its_own_times() -> None:
    installation = Installation(deployed("one", "other"))
    fast = {"writing": "one", "general": "other"}
    for request_type, name in fast.items():
        called = closed_loop(
            installation,
            lambda arm, number, name=name: Answer.ok(  # type: ignore[misc]
                (300.0 if arm == name else 900.0) + number % 5
            ),
            clients=4,
            requests=300,
            request_type=request_type,
        )
        assert share(called[100:], name) > 0.9


@pytest.mark.parametrize(("warm_up", "clients"), [(0, 2), (200, 8)])
def test_one_timeout_is_one_bad_sample_and_no_ban(warm_up: int, clients: int) -> None:
    """Neither as all that is known of a deployment, nor after much that was good; and what the
    caller waited for it is not the time of a request."""
    names = places(4)
    hit: list[str] = []

    def answer(arm: str, number: int) -> Answer:
        if number == warm_up:
            hit.append(arm)
            return Answer(500.0, {"status": "timeout", "latency_ms": 600_000.0})
        return Answer.ok(500.0 + number % 7)

    installation = Installation(deployed(*names))
    called = closed_loop(installation, answer, clients=clients, requests=warm_up + 300)
    fair = 1 / len(names)
    assert share(called[warm_up + 20 :], hit) > fair / 2
