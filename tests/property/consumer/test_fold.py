"""The fold against an oracle that works event by event, for any events, order and batching."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Outcome, RouterConfigured, Turn
from tests.factories import T0, config, configured, outcome, turn, uuid7
from tests.in_memory import InMemory
from tests.oracle import Oracle

HALF_LIVES = st.sampled_from(
    [
        {},
        {"quality": {"slow": 3600.0, "fast": 60.0}},
        {"quality": {"slow": None, "fast": None}, "latency": {"slow": 1.0, "fast": 0.5}},
    ]
)


REACTIONS = st.lists(
    st.sampled_from(["satisfaction", "failure", "misalignment"]), max_size=2, unique=True
).map(tuple)


ADDRESS = ("outcome_id", "turn_id", "session_id", "arm", "occurred_at")
RETRACTION = outcome(bytes(16), bytes(16), scores={})
SCORES = {"quality": 1.0, "other": 0.5}
REWARDS = st.sampled_from([SCORES, {**SCORES, "satisfaction": 1.0, "failure": 0.0}])


@st.composite
def logs(draw: st.DrawFn) -> list[Turn | Outcome | RouterConfigured]:
    """Configurations, turns and outcomes of a few turns, shuffled, repeated, some far too late."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    half_lives = draw(HALF_LIVES)
    window_s = draw(st.sampled_from([60.0, 86_400.0]))
    events: list[Turn | Outcome] = []
    for _ in range(draw(st.integers(1, 6))):
        turn_id = uuid7(T0 + draw(st.integers(0, 200_000)), rng)
        arm = draw(st.sampled_from(["a", "b"]))
        where = {"session_id": draw(st.sampled_from([None, "s1", "s2"])), "arm": arm}
        reaction = draw(REACTIONS) if where["session_id"] else ()
        probability = draw(st.floats(1e-9, 1.0))
        previous = draw(st.none() | st.sampled_from([e.turn_id for e in events] or [turn_id]))
        said = {"reaction": reaction, "previous_turn_id": previous}
        events.append(turn(turn_id, probability=probability, **said, **where))
        outcomes = draw(st.lists(_outcomes(turn_id, rng, where), max_size=4))
        events += [draw(_perhaps_void(each, outcomes)) for each in outcomes]
    events += draw(st.lists(st.sampled_from(events), max_size=4))
    shuffled = draw(st.permutations(events))
    cfg = config(rewards=draw(REWARDS), half_lives_s=half_lives)
    cfg = cfg.model_copy(update={"attribution_window_s": window_s})
    return [configured(cfg), *shuffled]


@st.composite
def _outcomes(
    draw: st.DrawFn, turn_id: bytes, rng: random.Random, where: dict[str, Any]
) -> Outcome:
    fields: dict[str, Any] = {
        "status": draw(st.sampled_from(["none", "ok", "error", "timeout", "cancelled"])),
        "arm_served": draw(st.sampled_from([None, "a", "b"])),
        "latency_ms": draw(st.none() | st.floats(0, 1e9)),
        "ttft_ms": draw(st.none() | st.floats(0, 1e5)),
        "tokens_in": draw(st.none() | st.integers(0, 2**31 - 1)),
        "tokens_out": draw(st.none() | st.integers(0, 10_000)),
        "cost_usd": draw(st.none() | st.floats(0, 2147.0)),
        "signals": draw(REACTIONS),
        "scores": draw(
            st.dictionaries(st.sampled_from(["quality", "other"]), st.floats(0, 1), max_size=2)
        ),
        "occurred_at": int.from_bytes(turn_id[:6], "big") + draw(st.integers(0, 100_000)),
    }
    if fields["status"] == "none" and not any(
        fields[name] not in (None, {}, ())
        for name in fields
        if name not in ("status", "arm_served", "occurred_at")
    ):
        fields["scores"] = {"quality": 1.0}
    if not fields["scores"] and fields["status"] == "none":
        fields["status"] = "ok"
    return outcome(turn_id, uuid7(T0, rng), **fields, **where)


@st.composite
def _perhaps_void(draw: st.DrawFn, one: Outcome, of_turn: list[Outcome]) -> Outcome:
    """The outcome as it is, as a correction of another of its turn, or as a mere retraction."""
    others = [each.outcome_id for each in of_turn if each.outcome_id != one.outcome_id]
    kind = draw(st.sampled_from(["report", "report", "correction", "retraction"]))
    if kind == "report":
        return one
    voids = draw(st.sampled_from([*others, one.turn_id]))  # the last is no outcome's id
    if kind == "correction":
        return replace(one, voids=voids)
    return replace(RETRACTION, **{name: getattr(one, name) for name in ADDRESS}, voids=voids)


@settings(max_examples=80, deadline=None)
@given(logs())
def test_the_fold_equals_the_oracle(log: list[Any]) -> None:
    folded = InMemory()
    folded.write(log)
    oracle = Oracle().fold(log)
    assert folded.dead == 0
    assert folded.as_oracle_rows() == folded.kept_of(oracle.rows)
    assert (folded.folded, folded.duplicates, folded.late) == (
        oracle.folded,
        oracle.duplicates,
        oracle.late,
    )


@settings(max_examples=40, deadline=None)
@given(logs(), st.data())
def test_batching_changes_nothing(log: list[Any], data: st.DataObject) -> None:
    whole, pieces = InMemory(), InMemory()
    whole.write(log)
    at = 0
    while at < len(log):
        step = data.draw(st.integers(1, len(log)))
        pieces.write(log[at : at + step])
        at += step
    assert pieces.rows == whole.rows
    assert pieces.turns == whole.turns
    assert pieces.stream_time == whole.stream_time


@settings(max_examples=40, deadline=None)
@given(logs())
def test_a_replay_on_top_changes_nothing(log: list[Any]) -> None:
    once, twice = InMemory(), InMemory()
    once.write(log)
    twice.write(log + log[1:])
    assert twice.rows == once.rows
    assert twice.folded == once.folded


@settings(max_examples=40, deadline=None)
@given(logs(), st.data())
def test_what_is_void_might_as_well_never_have_come(log: list[Any], data: st.DataObject) -> None:
    """Retractions, at any place in the log, of some of its outcomes."""
    wide = configured(config(rewards=SCORES))
    reports = [event for event in log[1:] if not getattr(event, "voids", None)]
    outcomes = [event for event in reports if isinstance(event, Outcome)]
    chosen = data.draw(st.lists(st.sampled_from(outcomes), max_size=3)) if outcomes else []
    with_voids: list[Any] = list(reports)
    for number, one in enumerate(chosen):
        own = {**{name: getattr(one, name) for name in ADDRESS}, "outcome_id": bytes([number] * 16)}
        retraction = replace(RETRACTION, **own, voids=one.outcome_id)
        with_voids.insert(data.draw(st.integers(0, len(with_voids))), retraction)
    void = {one.outcome_id for one in chosen}
    left = [event for event in reports if getattr(event, "outcome_id", None) not in void]
    voided, never = InMemory(), InMemory()
    voided.write([wide, *with_voids])
    never.write([wide, *left])
    assert voided.dead == 0
    assert voided.digests() == never.digests()


@settings(max_examples=40, deadline=None)
@given(logs(), st.randoms(use_true_random=False))
def test_within_the_window_sessions_may_interleave_in_any_way(
    log: list[Any], rng: random.Random
) -> None:
    """Sessions commute; within one, order settles repeats and who is reacted to."""
    by_session: dict[object, list[Any]] = {}
    for event in log[1:]:
        by_session.setdefault(event.session_id or event.turn_id, []).append(event)
    sessions = list(by_session.values())
    rng.shuffle(sessions)
    straight, shuffled = InMemory(), InMemory()
    wide = configured(config(rewards={**SCORES, "satisfaction": 1.0, "failure": 0.5}))
    straight.write([wide, *log[1:]])
    shuffled.write([wide, *(event for events in sessions for event in events)])
    assert shuffled.rows == straight.rows
    assert shuffled.sessions == straight.sessions
