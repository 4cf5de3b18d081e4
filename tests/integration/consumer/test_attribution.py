"""Feedback reaches the turn that earned it, on real Postgres."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.codec import Event
from schemas.events import Turn
from tests.factories import T0, config, configured, outcome, records, turn, uuid7
from tests.fixtures.pipeline import stored_evidence, table

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c", "d")
SIGNALS = ("satisfaction", "misalignment", "failure", "loop")
CONFIG = configured(config(arms=ARMS, rewards={"quality": 1.0, **dict.fromkeys(SIGNALS, 0.5)}))


@pytest.fixture
async def writer(database: str) -> AsyncIterator[Writer]:
    store = await Store.connect(database)
    opened = Writer(store)
    await opened.take([0])
    yield opened
    await store.close()


def credited(database: str) -> dict[tuple[str, str, str], float]:
    """Observations by (request type, arm, signal), of the signals alone."""
    return {
        (key[2], key[3], key[4]): sums.n / 65536
        for key, sums in stored_evidence(database).items()
        if key[4] in SIGNALS and key[5] == "slow"
    }


def conversation(rng: random.Random, *reactions: tuple[str, ...]) -> list[Turn]:
    """A session that changes its arm and type with every turn."""
    types = ("writing", "general", "code_generation", "factual_lookup")
    return [
        turn(
            uuid7(T0 + 1000 * number, rng),
            session_id="s",
            arm=ARMS[number % 4],
            request_type=types[number % 4],
            reaction=reaction,
        )
        for number, reaction in enumerate(reactions)
    ]


async def test_each_turn_gets_the_credit_that_its_successor_brings(
    writer: Writer, database: str
) -> None:
    turns = conversation(
        random.Random(1),
        (),
        ("misalignment",),
        ("failure", "loop"),
        ("satisfaction",),
        ("satisfaction", "misalignment"),
    )
    for record in records([CONFIG, *turns]):  # each in a batch of its own
        await writer.write(Batch.of({0: [record]}))
    assert credited(database) == {
        ("writing", "a", "misalignment"): 1,
        ("general", "b", "failure"): 1,
        ("general", "b", "loop"): 1,
        ("code_generation", "c", "satisfaction"): 1,
        # the second thanks of a session is manners, and adds nothing
        ("factual_lookup", "d", "misalignment"): 1,
    }
    counts = "SELECT sum(folded), sum(duplicates), sum(late) FROM event_counts"
    assert table(database, counts) == [(5, 0, 0)]


async def test_thanks_before_two_exchanges_are_a_greeting(writer: Writer, database: str) -> None:
    turns = conversation(random.Random(2), (), ("satisfaction",), ("satisfaction",))
    await writer.write(Batch.of({0: records([CONFIG, *turns])}))
    assert credited(database) == {("general", "b", "satisfaction"): 1}


async def test_repeats_and_overtaken_turns_change_nothing(writer: Writer, database: str) -> None:
    one, two, three, four = conversation(
        random.Random(3), (), ("failure",), ("misalignment",), ("loop",)
    )
    events: list[Event] = [CONFIG, one, three, two, two, three, four, one, four]
    await writer.write(Batch.of({0: records(events)}))
    # `two` came behind `three`: it neither speaks about `one` again nor hides `three` from `four`
    assert credited(database) == {
        ("writing", "a", "misalignment"): 1,
        ("code_generation", "c", "loop"): 1,
    }


async def test_a_fallback_that_served_gets_the_credit(writer: Writer, database: str) -> None:
    rng = random.Random(4)
    first, second = conversation(rng, (), ("failure",))
    served = outcome(
        first.turn_id,
        uuid7(T0 + 500, rng),
        session_id="s",
        arm=first.arm,
        arm_served="d",
        request_type=first.request_type,
        status="ok",
    )
    await writer.write(Batch.of({0: records([CONFIG, first, served, second])}))
    assert credited(database) == {("writing", "d", "failure"): 1}


async def test_ten_thousand_open_conversations_lose_no_feedback(
    writer: Writer, database: str
) -> None:
    """Round robin: each conversation waits for all the others between two of its turns."""
    conversations, rng = 10_000, random.Random(5)
    events: list[Event] = [CONFIG]
    for round_ in range(3):
        events += [
            turn(
                uuid7(T0 + 100_000 * round_ + number, rng),
                session_id=f"s{number}",
                arm=ARMS[(number + round_) % 4],
                reaction=("misalignment",) if round_ else (),
            )
            for number in range(conversations)
        ]
    await writer.write(Batch.of({0: records(events)}))
    shares = credited(database)
    assert sum(shares.values()) == 2 * conversations
    assert set(shares.values()) == {conversations / 2}


async def test_a_reaction_to_a_turn_long_ago_is_refused(writer: Writer, database: str) -> None:
    rng = random.Random(6)
    days_ms = 86_400_000
    old = turn(uuid7(T0, rng), session_id="s")
    new = turn(uuid7(T0 + 2 * days_ms, rng), session_id="s", reaction=("failure",))
    await writer.write(Batch.of({0: records([CONFIG, old, new])}))
    assert credited(database) == {}
    await writer.forget_sessions()
    assert table(database, "SELECT exchanges FROM sessions") == [(1,)]


@pytest.mark.parametrize("housekeeping", [False, True])
async def test_a_session_begins_anew_after_its_window_whatever_has_been_cleaned_up(
    writer: Writer, database: str, housekeeping: bool
) -> None:
    rng = random.Random(10)
    hours_ms = 3_600_000
    at_hours = {0: (), 1: (), 2: ("satisfaction",), 40: (), 41: (), 42: ("satisfaction",)}
    turns = [
        turn(uuid7(T0 + hours * hours_ms, rng), session_id="s", reaction=reaction)
        for hours, reaction in at_hours.items()
    ]
    elsewhere = turn(uuid7(T0 + 39 * hours_ms, rng), session_id="other")
    await writer.write(Batch.of({0: records([CONFIG, *turns[:3], elsewhere])}))
    if housekeeping:
        await writer.forget()
        await writer.forget_sessions()
    await writer.write(Batch.of({0: records(turns[3:], 5)}))
    assert credited(database) == {("general", "a", "satisfaction"): 2}


async def test_session_ids_are_not_stored(writer: Writer, database: str) -> None:
    await writer.write(Batch.of({0: records([CONFIG, *conversation(random.Random(7), ())])}))
    (row,) = table(database, "SELECT s::text FROM sessions AS s")
    assert ",s," not in str(row[0])


async def test_a_reaction_to_a_turn_that_has_not_arrived_is_credited_to_nobody(
    writer: Writer, database: str
) -> None:
    rng = random.Random(8)
    one, two = conversation(rng, (), ("failure",))
    three = turn(
        uuid7(T0 + 9000, rng),
        session_id="s",
        reaction=("misalignment",),
        previous_turn_id=two.turn_id,
    )
    await writer.write(Batch.of({0: records([CONFIG, one, three, two])}))
    assert credited(database) == {}


async def test_without_a_signal_that_counts_no_session_is_followed(
    writer: Writer, database: str
) -> None:
    turns = conversation(random.Random(9), (), ("failure",))
    plain = configured(config(arms=ARMS, rewards={"quality": 1.0}))
    await writer.write(Batch.of({0: records([plain, *turns])}))
    assert credited(database) == {}
    assert table(database, "SELECT count(*) FROM sessions") == [(0,)]
    assert table(database, "SELECT sum(folded) FROM event_counts") == [(2,)]
