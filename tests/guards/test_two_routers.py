"""Routers in one process learn apart: each its own lessons, and none of another's."""

from __future__ import annotations

import pytest

from tests.factories import config
from tests.guards.installation import Installation, share

# The better arm of each router, whose arms have the same names.
BEST = {"support": "a", "coding": "b"}
TURNS = 150


def test_two_routers_of_one_process_learn_apart() -> None:
    """Both see the same sessions, in turn, and are told opposite things."""
    installation = Installation(*(config(router=name) for name in BEST))
    for number in range(TURNS):
        for name, best in BEST.items():
            pick = installation.pick(name, session_id=f"s{number}")
            installation.report(pick, scores={"quality": float(pick.arm == best)})
        installation.wait(100)
    installation.fold()
    for name, best in BEST.items():
        late = [installation.pick(name, session_id=f"late-{i}").arm for i in range(200)]
        assert share(late, best) > 0.95
        assert installation.router(name).state.counts().folded == 2 * TURNS


def test_a_router_does_not_hear_what_another_is_told() -> None:
    """Feedback of one alone, signals of a session that both serve included."""
    installation = Installation(*(config(router=name) for name in BEST))
    silent = installation.shares("coding")
    messages = [{"role": "user", "content": "Write a poem about rain"}]
    for number in range(TURNS):
        session = f"s{number}"
        pick = installation.pick("support", session_id=session, messages=messages)
        installation.report(pick, status="error", scores={"quality": 0.0})
        installation.pick("coding", session_id=session)
        said = [
            *messages,
            {"role": "assistant", "content": "Rain falls."},
            {"role": "user", "content": "No, that's wrong. You ignored what I asked for."},
        ]
        installation.pick("support", session_id=session, messages=said)
        installation.wait(100)
    installation.fold()
    assert sum(each.observations for each in installation.quality("support", "writing")) > TURNS
    assert installation.shares("coding") == pytest.approx(silent)
    assert {each.observations for each in installation.quality("coding")} == {0.0}


def test_two_installations_of_one_process_learn_apart() -> None:
    """The same router twice, as two gateways in one process would have it."""
    one, other = Installation(config()), Installation(config())
    untouched = other.shares()
    for _ in range(TURNS):
        pick = one.pick()
        one.report(pick, scores={"quality": float(pick.arm == "a")})
        one.wait(100)
    one.fold()
    other.fold()
    assert one.shares()["a"] > 0.95
    assert other.shares() == untouched
