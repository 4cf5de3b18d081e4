"""The plan of a play is fixed by its seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routefold.play.sequence import MAX_TURNS_PER_SESSION, row_sequence, sessions

seeds = st.integers(0, 2**63)


@given(rows=st.integers(1, 50), turns=st.integers(1, 200), seed=seeds)
def test_each_pass_plays_every_row_once(rows: int, turns: int, seed: int) -> None:
    sequence = row_sequence(rows, turns, seed).tolist()
    assert len(sequence) == turns
    for start in range(0, turns - rows + 1, rows):
        assert sorted(sequence[start : start + rows]) == list(range(rows))
    rest = sequence[turns - turns % rows :]
    assert len(set(rest)) == len(rest)


@given(turns=st.integers(1, 500), seed=seeds)
def test_sessions_cover_the_turns_in_order(turns: int, seed: int) -> None:
    ranges = list(sessions(turns, seed))
    assert [turn for each in ranges for turn in each] == list(range(turns))
    assert all(1 <= len(each) <= MAX_TURNS_PER_SESSION for each in ranges)


def test_a_seed_gives_the_same_plan_again_and_another_seed_another() -> None:
    assert np.array_equal(row_sequence(1000, 2500, 7), row_sequence(1000, 2500, 7))
    assert not np.array_equal(row_sequence(1000, 2500, 7), row_sequence(1000, 2500, 8))
    assert list(sessions(2500, 7)) == list(sessions(2500, 7))
    assert list(sessions(2500, 7)) != list(sessions(2500, 8))


def test_passes_differ_and_a_longer_play_begins_like_a_shorter_one() -> None:
    sequence = row_sequence(100, 200, 1)
    assert not np.array_equal(sequence[:100], sequence[100:])
    assert np.array_equal(row_sequence(100, 50, 1), sequence[:50])


def test_sessions_have_one_to_six_turns_of_each_length() -> None:
    assert {len(each) for each in sessions(5000, 0)} == set(range(1, MAX_TURNS_PER_SESSION + 1))
