"""Scores, signals and reactions come out of a large block as they do out of a small one."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from consumer.decode import _MANY_ROWS, decode_batch
from consumer.records import Batch
from schemas.codec import Event
from tests.factories import T0, Record, outcome, records, turn, uuid7

SIGNALS = ("loop", "failure", "satisfaction")


def batch_of(part: list[Record]) -> Batch:
    return Batch.of({0: part})


def log(count: int, rng: random.Random, *, empty: bool) -> list[Record]:
    events: list[Event] = []
    for i in range(count):
        turn_id = uuid7(T0 + i, rng)
        said = () if empty else tuple(rng.sample(SIGNALS, rng.randrange(3)))
        events.append(turn(turn_id, session_id="s", reaction=said))
        scores = {} if empty else {f"m{j}": rng.random() for j in range(rng.randrange(4))}
        fields = {"scores": scores, "signals": said, "status": "ok"}
        events.append(outcome(turn_id, uuid7(T0, rng), session_id="s", **fields))
    return records(events)


@pytest.mark.parametrize("empty", [False, True])
def test_a_large_block_gives_what_small_ones_give(empty: bool) -> None:
    whole = log(_MANY_ROWS + 100, random.Random(1), empty=empty)
    large = decode_batch(batch_of(whole))
    small = [decode_batch(batch_of(whole[at : at + 200])) for at in range(0, len(whole), 200)]
    assert len(large.outcomes["row"]) == _MANY_ROWS + 100
    for name in ("scores", "signals", "turn_id", "status"):
        assert large.outcomes[name] == list(chain.from_iterable(d.outcomes[name] for d in small))
    reactions = chain.from_iterable(d.turns["reaction"] for d in small)
    assert large.turns["reaction"] == list(reactions)
    assert any(large.outcomes["scores"]) is not empty


def test_a_bad_record_in_a_large_block_leaves_the_others_as_they_are() -> None:
    whole = log(_MANY_ROWS, random.Random(2), empty=False)
    good = decode_batch(batch_of(whole))
    broken = Record(10**6, T0, b"s", (whole[1].value or b"")[:-2])
    mixed = decode_batch(batch_of([*whole, broken]))
    assert [letter.row for letter in mixed.dead] == [len(whole)]
    assert mixed.outcomes["scores"] == good.outcomes["scores"]
    assert mixed.turns == good.turns
