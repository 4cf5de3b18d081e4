"""Columns come out of a large block as they do out of small ones, and out of single records."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from consumer.columns import MANY_ROWS, Outcomes, Turns
from consumer.decode import decode_batch
from consumer.records import Batch
from schemas.codec import Event
from tests.factories import T0, Record, outcome, records, turn, uuid7

SIGNALS = ("loop", "failure", "satisfaction")
COUNT = MANY_ROWS + 100


def batch_of(part: list[Record]) -> Batch:
    return Batch.of({0: part})


def log(count: int, rng: random.Random, *, empty: bool) -> list[Record]:
    events: list[Event] = []
    for i in range(count):
        turn_id = uuid7(T0 + i, rng)
        said = () if empty else tuple(rng.sample(SIGNALS, rng.randrange(3)))
        where: dict[str, Any] = {"session_id": rng.choice([None, "s", "t"]), "router": "r"}
        where |= {"request_type": rng.choice(["x", "y", "z"]), "arm": rng.choice("abc")}
        served = None if empty else rng.choice([None, "a", "d"])
        events.append(turn(turn_id, reaction=said, previous_turn_id=turn_id, **where))
        scores = {} if empty else {f"m{j}": rng.random() for j in range(rng.randrange(4))}
        fields: dict[str, Any] = {"scores": scores, "signals": said, "status": "ok"}
        if not empty:
            fields |= {"latency_ms": rng.choice([None, 2.5]), "tokens_in": rng.choice([None, 7])}
            fields |= {"voids": rng.choice([None, turn_id])}
        events.append(outcome(turn_id, uuid7(T0, rng), arm_served=served, **where, **fields))
    return records(events)


def common(block: Turns | Outcomes) -> Iterable[tuple[Any, ...]]:
    where = [block.addresses[at] for at in block.address.tolist()]
    return zip(block.turn_id, block.session_id, where, block.occurred_at.tolist(), strict=True)


def as_turns(block: Turns) -> list[Any]:
    rest = (block.probability.tolist(), block.previous_turn_id, map(list, block.reaction))
    return list(zip(common(block), *rest, strict=True))


def as_outcomes(block: Outcomes) -> list[Any]:
    scores: list[list[Any]] = [[] for _ in range(len(block))]
    at = block.scores
    for place, metric, value in zip(at.place, at.metric, at.value.tolist(), strict=True):
        scores[place].append((at.metrics[metric], value))
    measured = [
        [x if is_given else None for is_given, x in zip(given, value.tolist(), strict=True)]
        for given, value in block.measured.values()
    ]
    rest = (block.outcome_id, block.status, map(list, block.signals), block.voids)
    return list(zip(common(block), *rest, scores, *measured, strict=True))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(("kind", "rows_of"), [("turns", as_turns), ("outcomes", as_outcomes)])
def test_a_large_block_gives_what_small_ones_give(
    kind: str, rows_of: Callable[[Any], list[Any]], empty: bool
) -> None:
    whole = log(COUNT, random.Random(1), empty=empty)
    (large,) = getattr(decode_batch(batch_of(whole)), kind)
    small = [
        getattr(decode_batch(batch_of(whole[at : at + 200])), kind)[0]
        for at in range(0, len(whole), 200)
    ]
    assert len(large) == COUNT
    assert rows_of(large) == list(chain.from_iterable(map(rows_of, small)))
    assert len(large.addresses) == len(set(large.addresses))


def test_a_bad_record_in_a_large_block_leaves_the_others_as_they_are() -> None:
    whole = log(MANY_ROWS, random.Random(2), empty=False)
    good = decode_batch(batch_of(whole))
    broken = Record(10**6, T0, b"s", (whole[1].value or b"")[:-2])
    mixed = decode_batch(batch_of([*whole, broken]))
    assert [letter.row for letter in mixed.dead] == [len(whole)]
    for before, after in ((good.turns, mixed.turns), (good.outcomes, mixed.outcomes)):
        assert [block.row.tolist() for block in before] == [block.row.tolist() for block in after]
    assert as_outcomes(mixed.outcomes[0]) == as_outcomes(good.outcomes[0])


@pytest.mark.parametrize("key", [None, b"", b"t", b"s\0t"])
def test_a_record_under_another_key_is_dead_alone(key: bytes | None) -> None:
    whole = log(20, random.Random(3), empty=False)
    whole[6] = replace(whole[6], key=key)
    expected = [] if key == b"t" and whole[6] == log(20, random.Random(3), empty=False)[6] else [6]
    assert [letter.row for letter in decode_batch(batch_of(whole)).dead] == expected


def test_keys_that_hold_a_nul_are_compared_one_by_one() -> None:
    """Joined by it, "s" and "t\0u" would look like "s\0t" and "u"."""
    rng = random.Random(4)
    first, second = (turn(uuid7(T0 + i, rng), session_id=f"x{i}\0y") for i in range(2))
    good = records([first, second])
    assert decode_batch(batch_of(good)).dead == []
    wrong = [replace(good[0], key=b"x0"), replace(good[1], key=b"y\0x1\0y")]
    assert [letter.row for letter in decode_batch(batch_of(wrong)).dead] == [0, 1]
