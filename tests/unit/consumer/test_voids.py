"""What a void takes back, step by step; `tests/property/consumer/test_fold.py` has the rest."""

from __future__ import annotations

import random
from typing import Any

import pytest

from consumer.fold import fold, turns_of
from consumer.records import Batch
from consumer.sessions import TurnKey
from consumer.voids import MAX_WAITING
from consumer.writer import believe
from schemas.events import Outcome
from tests.factories import T0, config, configured, outcome, records, turn, uuid7
from tests.in_memory import InMemory

RNG = random.Random(1)
TURN_ID = uuid7(T0, RNG)
ARMS = ("a", "b", "c")
REWARDS = {"quality": 1.0, "other": 1.0, "failure": 0.5}
CONFIG = configured(config(arms=ARMS, rewards=REWARDS, half_lives_s={"quality": {"fast": None}}))
DAY_MS = 86_400_000


def said(name: str, turn_id: bytes = TURN_ID, **fields: Any) -> Outcome:
    """An outcome that is known by a letter. `voids` is a letter, too."""
    voids = fields.pop("voids", None)
    return outcome(turn_id, _id(name), voids=None if voids is None else _id(voids), **fields)


def void(name: str, of: str, **fields: Any) -> Outcome:
    return said(name, voids=of, **{"scores": {}, **fields})


def _id(name: str) -> bytes:
    return name.encode() * 16


def counted(*events: Outcome) -> tuple[float | None, tuple[int, int, int]]:
    """The quality that counts, and the events (folded, duplicates, late) but for the turn's own."""
    folded = InMemory()
    folded.write([CONFIG, turn(TURN_ID), *events])
    rows = [row for key, row in folded.as_oracle_rows().items() if key[3] == "quality" and row[0]]
    assert len(rows) <= 1
    assert folded.dead == 0
    value = rows[0][1] / rows[0][0] / 1024 if rows else None
    return value, (folded.folded - 1, folded.duplicates, folded.late)


GOOD: dict[str, Any] = {"scores": {"quality": 1.0}}
FAIR: dict[str, Any] = {"scores": {"quality": 0.5}}
BAD: dict[str, Any] = {"scores": {"quality": 0.0}}


@pytest.mark.parametrize(
    ("events", "value", "counts"),
    [
        pytest.param([said("o", **GOOD), void("v", "o")], None, (2, 0, 0), id="retraction"),
        pytest.param([said("o", **GOOD), void("v", "o", **BAD)], 0.0, (2, 0, 0), id="correction"),
        pytest.param(
            [said("o", **GOOD), void("v", "o"), said("p", **BAD)], 0.0, (3, 0, 0), id="said anew"
        ),
        pytest.param(
            [said("o", **GOOD), void("v", "o"), said("o", **GOOD), void("v", "o")],
            None,
            (2, 2, 0),
            id="both come again",
        ),
        pytest.param(
            [said("o", **GOOD), void("v", "o", **BAD), void("v", "o", **BAD)],
            0.0,
            (2, 1, 0),
            id="a correction comes again",
        ),
        pytest.param([void("v", "o"), said("o", **GOOD)], None, (0, 2, 0), id="overtaken"),
        pytest.param(
            [void("v", "o", **BAD), said("o", **GOOD)], 0.0, (1, 1, 0), id="overtaken correction"
        ),
        pytest.param(
            [said("o", **GOOD), void("v", "o", **BAD), void("w", "v")],
            None,
            (3, 0, 0),
            id="a void voided",
        ),
        pytest.param(
            [void("w", "v"), said("o", **GOOD), void("v", "o", **BAD)],
            None,
            (2, 1, 0),
            id="a void voided beforehand still voids",
        ),
        pytest.param(
            [said("o", **GOOD), void("v", "o", **BAD), void("w", "v", **FAIR)],
            0.5,
            (3, 0, 0),
            id="corrected twice",
        ),
        pytest.param(
            [said("o", **GOOD), said("p", **BAD), void("v", "p")],
            1.0,
            (1, 2, 0),
            id="it had added nothing",
        ),
        pytest.param(
            [said("o", **GOOD), said("p", **BAD), void("v", "p", **FAIR)],
            1.0,
            (1, 2, 0),
            id="it had added nothing, nor does its correction",
        ),
        pytest.param(
            [said("o", **GOOD), said("p", **BAD), void("v", "o")],
            0.0,
            (2, 1, 0),
            id="the second moves up",
        ),
        pytest.param(
            [said("o", **GOOD), said("p", **BAD), void("v", "o", **FAIR)],
            0.5,
            (2, 1, 0),
            id="a correction comes before the second",
        ),
        pytest.param(
            [said("o", **GOOD), said("p", **BAD), said("p", **BAD), void("v", "o"), void("w", "p")],
            None,
            (3, 2, 0),
            id="the second moves up once",
        ),
        pytest.param(
            [
                *(said("o", **GOOD), said("p", **BAD), said("r", **BAD)),
                *(void("v", "p", **FAIR), void("w", "o")),
            ],
            0.5,
            (2, 3, 0),
            id="a correction waits in the place of what it corrects",
        ),
        pytest.param([said("o", **GOOD), void("v", "x")], 1.0, (1, 1, 0), id="of no outcome"),
    ],
)
def test_what_counts_after_a_void(
    events: list[Outcome], value: float | None, counts: tuple[int, int, int]
) -> None:
    assert counted(*events) == (value, counts)


def test_a_void_of_another_turns_outcome_finds_nothing() -> None:
    folded = InMemory()
    folded.write([CONFIG, said("o", **GOOD), void("v", "o", turn_id=uuid7(T0 + 1, RNG))])
    assert (folded.folded, folded.duplicates) == (1, 1)


def test_a_void_that_names_another_router_finds_nothing() -> None:
    elsewhere = configured(config("elsewhere", arms=ARMS, rewards=REWARDS))
    folded = InMemory()
    folded.write([CONFIG, elsewhere, said("o", **GOOD), void("v", "o", router="elsewhere")])
    assert (folded.folded, folded.duplicates) == (1, 1)
    folded.write([void("w", "o")])
    assert folded.folded == 2
    assert not folded.digests()


def test_all_that_an_outcome_added_is_taken_from_the_arm_that_served() -> None:
    everything = said(
        "o",
        arm_served="b",
        status="ok",
        latency_ms=900.0,
        ttft_ms=80.0,
        tokens_in=3,
        tokens_out=400,
        cost_usd=0.02,
        scores={"quality": 0.3, "other": 0.9},
        signals=("failure",),
    )
    folded, never = InMemory(), InMemory()
    folded.write([CONFIG, turn(TURN_ID), everything])
    folded.write([void("v", "o", arm="a")])
    never.write([CONFIG, turn(TURN_ID)])
    assert folded.digests() == never.digests()


def test_only_what_it_added_is_taken_back() -> None:
    first = said("o", scores={"quality": 1.0})
    second = said("p", scores={"quality": 0.0, "other": 0.5})
    folded, never = InMemory(), InMemory()
    folded.write([CONFIG, first, second, void("v", "p")])
    never.write([CONFIG, first])
    assert folded.digests() == never.digests()


def test_beyond_the_window_a_void_is_refused() -> None:
    folded = InMemory()
    later = turn(uuid7(T0 + 2 * DAY_MS, RNG))
    folded.write([CONFIG, said("o", **GOOD), later, void("v", "o")])
    assert (folded.folded, folded.late) == (2, 1)
    assert folded.digests() == _digests(CONFIG, said("o", **GOOD), later)


def test_at_the_end_of_the_window_a_void_is_in_time() -> None:
    folded = InMemory()
    folded.write([CONFIG, said("o", **GOOD), void("v", "o", occurred_at=T0 + DAY_MS)])
    assert (folded.folded, folded.late) == (2, 0)


def _digests(*events: Any) -> object:
    folded = InMemory()
    folded.write(events)
    return folded.digests()


def test_a_reaction_that_came_second_counts_when_the_first_is_void() -> None:
    one = turn(TURN_ID, session_id="s", arm="a")
    two = turn(uuid7(T0 + 9, RNG), session_id="s", arm="b", reaction=("failure",))
    told = said("o", session_id="s", scores={}, status="none", signals=("failure",), arm="a")
    folded = InMemory()
    folded.write([CONFIG, one, told, two, void("v", "o", session_id="s")])
    assert folded.digests() == _digests(CONFIG, one, two)


def test_a_void_fallback_that_comes_again_gets_no_credit() -> None:
    one = turn(TURN_ID, session_id="s", arm="a")
    served = said("o", session_id="s", arm_served="b", **GOOD)
    two = turn(uuid7(T0 + 9, RNG), session_id="s", reaction=("failure",))
    folded = InMemory()
    folded.write([CONFIG, one, served, void("v", "o", session_id="s")])
    folded.write([served])
    folded.write([two])
    assert folded.digests() == _digests(CONFIG, one, two)


def test_outcomes_without_end_do_not_fill_a_ledger() -> None:
    folded = InMemory()
    flood = [outcome(TURN_ID, uuid7(T0, RNG), **BAD) for _ in range(100)]
    folded.write([CONFIG, said("o", **GOOD), *flood])
    assert len(folded.turns.ledger(TurnKey(0, TURN_ID)).records) == 1 + MAX_WAITING
    folded.write([void("v", "o")])
    assert folded.folded == 2
    (row,) = (row for key, row in folded.as_oracle_rows().items() if key[3] == "quality")
    assert row[1] == 0
    assert row[0] > 0


def test_a_fold_with_voids_needs_their_ledgers() -> None:
    batch = Batch.of({0: records([CONFIG, void("v", "o")])})
    _, facts = believe(batch, {})
    turns = turns_of(facts.events)
    counts = InMemory().turns.counted(turns)
    with pytest.raises(ValueError, match="1 turns have voids"):
        fold(facts, turns, counts, {})
    assert fold(facts, turns, counts, {}, {0: b""}).counted.tolist() == [1 << 23]


def test_an_outcome_that_voids_itself_is_a_dead_letter() -> None:
    folded = InMemory()
    folded.write([CONFIG, void("v", "v")])
    assert (folded.dead, folded.duplicates) == (1, 0)
