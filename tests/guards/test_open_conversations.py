"""Feedback finds the turn that earned it, however many conversations are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from consumer.fold import ShareKey
from consumer.recent import RecentSessions, RecentTurns
from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.evidence import UNIT_WEIGHT
from tests.factories import config, configured, records
from tests.guards.installation import Installation

CONVERSATIONS = 10_000
ARMS = ("a", "b", "c", "d")
REQUEST = {"role": "user", "content": "Write a short poem about the sea"}
ANSWER = {"role": "assistant", "content": "The sea is wide, the sea is deep."}
COMPLAINT = {"role": "user", "content": "No, that's not what I asked for. It must rhyme."}


def conversed(arms: Iterable[str], conversations: int) -> tuple[Installation, Counter[str]]:
    """Conversations of two requests each, of which the second complains about the first's answer;
    the installation after them, and how many complaints each arm has earned.

    Each waits for all the others between its two requests. They are heard by different replicas,
    and the second goes to another arm than the first: who served last has earned nothing.
    """
    installation = Installation(config(arms=arms), replicas=4)
    first = {
        f"s{number}": installation.pick(
            replica=number % 4, session_id=f"s{number}", messages=[REQUEST]
        )
        for number in range(conversations)
    }
    installation.wait(60_000)
    for number, (session, pick) in enumerate(first.items()):
        installation.pick(
            replica=(number + 1) % 4,
            session_id=session,
            messages=[REQUEST, ANSWER, COMPLAINT],
            exclude=[pick.arm],
        )
    return installation, Counter(pick.arm for pick in first.values())


def test_ten_thousand_open_conversations_get_all_their_feedback_attributed() -> None:
    installation, earned = conversed(ARMS, CONVERSATIONS)
    installation.fold()
    metrics = installation.router().state.of("writing").read().metrics
    assert {arm: metrics[arm]["misalignment"].slow.n for arm in ARMS} == dict(earned)
    assert installation.router().state.counts() == (2 * CONVERSATIONS, 0, 0)


@pytest.mark.integration
async def test_more_open_conversations_than_the_writer_remembers_lose_nothing(
    database: str,
) -> None:
    """What a cache of two hundred has forgotten is read from the store."""
    installation, earned = conversed(ARMS, 2000)
    log = records([configured(config(arms=ARMS)), *installation.emitted])
    store = await Store.connect(database)
    writer = Writer(store, turns=RecentTurns(200), sessions=RecentSessions(200))
    await writer.take([0])
    for start in range(0, len(log), 500):
        await writer.write(Batch.of({0: log[start : start + 500]}))
    await store.close()
    evidence = writer.shares.evidence()[ShareKey(0, "r", "writing")]
    complaints = {
        series.arm: sums.n // UNIT_WEIGHT
        for series, sums in evidence.items()
        if (series.metric, series.pace) == ("misalignment", "slow")
    }
    assert complaints == dict(earned)
