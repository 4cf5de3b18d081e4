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
        # what was learned of its time fades within minutes
        pytest.param(1, 0.0, id="two requests a second"),
        # by then many requests have come; a floor bounds them at any rate
        pytest.param(8, 0.01, id="sixteen a second with a floor"),
    ],
)
def test_a_recovered_deployment_wins_its_traffic_back(clients: int, floor: float) -> None:
    """For 400 requests one takes three times as long as the others; then a tenth of it."""
    names = places(4)

    def answer(arm: str, number: int) -> Answer:
        then_and_now = 1500.0 if number < 400 else 50.0
        return Answer.ok(then_and_now if arm == names[0] else 500.0 + number % 7)

    installation = Installation(deployed(*names, min_probability=floor))
    installation.fold_every_ms = 500
    called = closed_loop(installation, answer, clients=clients, requests=2800)
    assert share(called[200:400], names[0]) < 0.1
    assert share(called[400:2400], names[0]) > 0.0
    assert share(called[2600:], names[0]) > 0.9


@pytest.mark.parametrize("known", [0, 19])
def test_a_burst_does_not_meet_on_one_unproven_deployment(known: int) -> None:
    """40 requests before the first of them is answered; the deployments that are not known to be
    as fast as 400 ms are new."""
    names = places(20)
    installation = Installation(deployed(*names))

    def warm(_arm: str, number: int) -> Answer:
        return Answer.ok(400.0 + number % 5)

    if known:
        new = names[known:]
        closed_loop(installation, warm, clients=known, requests=400, exclude=new)
        installation.wait(1000)
    burst = Counter(installation.pick().arm for _ in range(BURST))
    assert max(burst[name] for name in names[known:]) <= MOST_OF_A_BURST
    if known:
        assert installation.shares()[names[-1]] > 0.0


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


@pytest.mark.parametrize("warm_up", [0, 200])
def test_one_timeout_is_one_bad_sample_and_no_ban(warm_up: int) -> None:
    names = places(4)

    def answer(arm: str, number: int) -> Answer:
        if number == warm_up:
            hit.append(arm)
            return Answer(10_000.0, {"status": "timeout"})
        return Answer.ok(500.0 + number % 7)

    hit: list[str] = []
    called = closed_loop(Installation(deployed(*names)), answer, clients=8, requests=warm_up + 600)
    fair = 1 / len(names)
    assert share(called[warm_up + 100 :], hit) > fair / 2
