"""What a writer remembers is what is stored, however little it may remember."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumer.facts import SessionKey, session_key
from consumer.fold import TurnSets
from consumer.recent import RecentSessions, RecentTurns
from consumer.sessions import SessionState
from tests.factories import T0, uuid7

PARTITIONS = (0, 3)
Stored = dict[tuple[int, bytes], int]


def turn_sets(turns: list[tuple[int, bytes]]) -> TurnSets:
    halves = np.frombuffer(b"".join(turn_id for _, turn_id in turns), dtype=">u8").reshape(-1, 2)
    return TurnSets(
        np.array([partition for partition, _ in turns], dtype=np.int64),
        halves[:, 0].astype(np.uint64),
        halves[:, 1].astype(np.uint64),
        np.arange(len(turns)),
    )


def newest(stored: Stored, partition: int) -> bytes | None:
    return max((turn_id for at, turn_id in stored if at == partition), default=None)


@given(st.integers(1, 30), st.integers(0, 2**32))
def test_sets_are_those_that_are_stored(capacity: int, seed: int) -> None:
    rng = random.Random(seed)
    pool = [(p, uuid7(T0 + rng.randrange(50), rng)) for p in PARTITIONS for _ in range(60)]
    stored: Stored = dict.fromkeys(pool[::7], 1)
    recent = RecentTurns(capacity)
    for partition in PARTITIONS:
        recent.take(partition, newest(stored, partition))
    for _ in range(40):
        if rng.random() < 0.1:
            recent.drop([3])
            recent.take(3, newest(stored, 3))
        batch = rng.sample(pool, rng.randrange(1, 8))
        turns = turn_sets(batch)
        counted, unknown = recent.counted(turns)
        for place, turn in enumerate(batch):
            if unknown[place]:
                counted[place] = stored.get(turn, 0)
            assert counted[place] == stored.get(turn, 0)
        counted |= rng.choice([0, 1, 1 << 40])
        stored |= {
            turn: value for turn, value in zip(batch, counted.tolist(), strict=True) if value
        }
        recent.keep(turns, counted)
        assert len(recent) <= capacity


def test_new_turns_and_recent_ones_are_not_looked_for() -> None:
    rng = random.Random(1)
    recent = RecentTurns(100)
    recent.take(0, uuid7(T0, rng))
    turns = turn_sets([(0, uuid7(T0 + 1 + at, rng)) for at in range(50)])
    counted, unknown = recent.counted(turns)
    assert not unknown.any()
    assert not counted.any()
    recent.keep(turns, np.arange(1, 51))
    counted, unknown = recent.counted(turns)
    assert not unknown.any()
    assert counted.tolist() == list(range(1, 51))


def state(turn_id: bytes) -> SessionState:
    return SessionState(turn_id, "r", "general", "a", 1, satisfied=False)


def test_sessions_used_longest_ago_go_first() -> None:
    rng = random.Random(2)
    keys = [session_key(0, "r", f"s{number}") for number in range(4)]
    recent = RecentSessions(3)
    recent.keep({key: state(uuid7(T0, rng)) for key in keys[:3]})
    recent.keep({keys[0]: state(uuid7(T0 + 1, rng))})
    recent.keep({keys[3]: state(uuid7(T0 + 2, rng))})
    known, unknown = recent.split(keys)
    assert set(known) == {keys[0], keys[2], keys[3]}
    assert unknown == [keys[1]]
    assert known[keys[0]].turn_id[:6] == (T0 + 1).to_bytes(6, "big")


def test_what_was_given_up_or_cleaned_up_is_forgotten() -> None:
    rng = random.Random(3)
    old, young, elsewhere = (SessionKey(p, bytes([p, n] * 8)) for p, n in ((0, 1), (0, 2), (1, 3)))
    recent = RecentSessions()
    recent.keep({old: state(uuid7(T0, rng)), elsewhere: state(uuid7(T0, rng))})
    recent.keep({young: state(uuid7(T0 + 10, rng))})
    recent.forget_before(0, T0 + 10)
    assert set(recent.split([old, young, elsewhere]).known) == {young, elsewhere}
    recent.drop([1])
    assert set(recent.split([old, young, elsewhere]).known) == {young}
