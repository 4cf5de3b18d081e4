"""Feedback finds the turn that earned it, however many conversations are open."""

from __future__ import annotations

from collections import Counter

from schemas.posterior import MetricEvidence
from tests.factories import config
from tests.guards.installation import Installation

CONVERSATIONS = 10_000
ARMS = ("a", "b", "c", "d")
REQUEST = {"role": "user", "content": "Write a short poem about the sea"}
ANSWER = {"role": "assistant", "content": "The sea is wide, the sea is deep."}
COMPLAINT = {"role": "user", "content": "No, that's not what I asked for. It must rhyme."}


def test_ten_thousand_open_conversations_get_all_their_feedback_attributed() -> None:
    """Each waits for all the others between its two requests; four replicas hear them by chance.

    The first request goes to any arm, the second to another one: who served last gets nothing.
    """
    installation = Installation(config(arms=ARMS), replicas=4)
    first = {
        f"s{number}": installation.pick(
            replica=number % 4, session_id=f"s{number}", messages=[REQUEST]
        )
        for number in range(CONVERSATIONS)
    }
    installation.wait(60_000)
    for number, (session, pick) in enumerate(first.items()):
        installation.pick(
            replica=(number + 1) % 4,
            session_id=session,
            messages=[REQUEST, ANSWER, COMPLAINT],
            exclude=[pick.arm],
        )
    installation.fold()
    expected = Counter(pick.arm for pick in first.values())
    state = installation.router().state.of("writing").read()
    seen = {arm: of_arm.get("misalignment") for arm, of_arm in state.metrics.items()}
    assert {arm: _count(found) for arm, found in seen.items()} == dict(expected)
    assert installation.router().state.counts() == (2 * CONVERSATIONS, 0, 0)


def _count(found: MetricEvidence | None) -> float:
    return 0.0 if found is None else found.slow.n
