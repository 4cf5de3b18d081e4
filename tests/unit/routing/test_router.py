"""Picks: what they depend on, when tables are rebuilt, and that they can be recomputed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from router_api.errors import NoEligibleArm, UnknownArm, UnknownRequestType
from router_api.routing import router as router_module
from router_api.routing.chances import choice_table
from router_api.routing.router import Choice, Router, recompute, salt, sticky_key
from router_api.routing.state import RouterState
from schemas.evidence import SeriesKey, Sums
from tests.factories import config, turn, uuid7
from tests.snapshots import AS_OF_MS, observed, snapshot, state_of

GOOD, BAD = [1.0] * 40, [0.0] * 40
A_WINS = {**observed("a", GOOD), **observed("b", BAD)}
B_WINS = {**observed("a", BAD), **observed("b", GOOD)}


def router_of(
    state: RouterState | None = None, *, min_rebuild_interval_ms: int = 100, **fields: Any
) -> Router:
    return Router(
        config(**fields),
        1,
        RouterState() if state is None else state,
        min_rebuild_interval_ms=min_rebuild_interval_ms,
    )


def pick(router: Router, session: str = "s", now_ms: int = 0, **constraints: Any) -> Choice:
    return router.choose("general", session.encode(), now_ms=now_ms, **constraints)


def sessions(count: int = 4000) -> Iterator[str]:
    return (f"session-{i}" for i in range(count))


# What a pick depends on


def test_evidence_decides() -> None:
    assert pick(router_of(state_of(snapshot(A_WINS)))).arm == "a"
    assert pick(router_of(state_of(snapshot(B_WINS)))).arm == "b"


def test_session_stays_with_its_arm() -> None:
    router = router_of(arms="abc")
    first = {session: pick(router, session).arm for session in sessions(200)}
    again = {session: pick(router, session).arm for session in reversed(list(first))}
    assert again == first
    assert set(first.values()) == {"a", "b", "c"}


def test_replicas_agree_however_the_evidence_came() -> None:
    shares = [
        snapshot(observed("a", [1.0, 0.0, 1.0]), partition=0),
        snapshot(observed("b", [1.0, 0.0]), partition=1),
        snapshot({**observed("a", [0.5]), **observed("b", [0.25])}, partition=3),
    ]
    stale = snapshot(observed("a", [0.0] * 99), partition=0, epoch=0)
    one = router_of(state_of(*shares))
    other = router_of(state_of(*reversed(shares), stale, *shares))

    for session in sessions(300):
        assert pick(one, session) == pick(other, session)


def test_logged_probability_is_the_share_of_keys() -> None:
    state = state_of(snapshot({**observed("a", [1.0, 0.0]), **observed("b", [1.0, 1.0])}))
    router = router_of(state, arms="abc")

    picks = [pick(router, session) for session in sessions()]

    logged = {choice.arm: choice.probability for choice in picks}
    counts = Counter(choice.arm for choice in picks)
    assert sum(logged.values()) == 1.0
    for arm, probability in logged.items():
        sigma = np.sqrt(len(picks) * probability * (1 - probability))
        assert abs(counts[arm] - len(picks) * probability) < 5 * sigma


def test_two_routers_place_a_session_independently() -> None:
    one, other = router_of(router="one"), router_of(router="other")
    same = sum(pick(one, session).arm == pick(other, session).arm for session in sessions(400))
    assert 100 < same < 300


def test_types_learn_apart() -> None:
    state = state_of(snapshot(A_WINS), snapshot(B_WINS, request_type="writing"))
    router = router_of(state)
    assert pick(router).arm == "a"
    assert router.choose("writing", b"s", now_ms=0).arm == "b"


def test_arm_that_left_the_configuration_is_not_picked() -> None:
    state = state_of(snapshot({**A_WINS, **observed("gone", GOOD)}))
    assert {pick(router_of(state), session).arm for session in sessions(100)} == {"a"}


def test_choice_names_what_it_was_made_from() -> None:
    state = state_of(snapshot(A_WINS, source_offset=12, partition=2), applied_at_ms=777)
    choice = pick(router_of(state, arms="abc"))

    assert choice.request_type == "general"
    assert choice.snapshot_version == "-.-.12.-"
    assert choice.applied_at_ms == 777
    assert choice.eligible == ("a", "b", "c")
    assert choice.fallbacks == ("c", "b")  # c is unknown, b is known to be bad


def test_without_evidence_the_age_is_unknown() -> None:
    choice = pick(router_of())
    assert choice.applied_at_ms is None
    assert choice.snapshot_version == "-.-.-.-"


# Constraints


def test_excluded_arm_is_neither_picked_nor_a_fallback() -> None:
    router = router_of(state_of(snapshot(A_WINS)), arms="abc")
    for session in sessions(50):
        choice = pick(router, session, exclude=("a",))
        assert "a" not in {choice.arm, *choice.fallbacks, *choice.eligible}


def test_order_of_exclusions_does_not_matter() -> None:
    router = router_of(arms="abcd")
    for session in sessions(50):
        one = pick(router, session, exclude=("a", "c"))
        assert one == pick(router, session, exclude=("c", "a", "c"))


def test_impossible_constraints_are_errors_of_the_request() -> None:
    router = router_of()
    with pytest.raises(UnknownRequestType, match="'poetry'") as unknown_type:
        router.choose("poetry", b"s", now_ms=0)
    assert unknown_type.value.field == "request_type"
    with pytest.raises(UnknownArm) as unknown_arm:
        pick(router, exclude=("a", "zz"))
    assert unknown_arm.value.field == "exclude.1"
    with pytest.raises(NoEligibleArm):
        pick(router, min_quality_tier=3)


def test_refused_requests_leave_nothing_behind() -> None:
    router = router_of()
    for i in range(1000):
        with pytest.raises(UnknownRequestType):
            router.choose(f"type_{i}", b"s", now_ms=0)
    assert [name for name, _, _ in router.state.shares()] == []
    assert router.resolve("type_1") == "general"
    assert len(router._views) == 0
    assert len(router.state._types) == 0


def test_classified_type_that_is_not_declared_falls_back() -> None:
    router = router_of(request_types=["writing", "poetry"])
    assert router.resolve("poetry") == "poetry"
    assert router.resolve("general") == "writing"


# When tables are rebuilt


def test_newer_evidence_waits_for_the_interval() -> None:
    state = state_of(snapshot(A_WINS, source_offset=1))
    router = router_of(state, min_rebuild_interval_ms=100)
    assert pick(router, now_ms=1000).arm == "a"

    state.apply(snapshot(B_WINS, source_offset=2), 1050)

    waiting = pick(router, now_ms=1099)
    assert (waiting.arm, waiting.snapshot_version) == ("a", "1.-.-.-")
    assert waiting.applied_at_ms == AS_OF_MS  # of the evidence used, not of what waits
    due = pick(router, now_ms=1100)
    assert (due.arm, due.snapshot_version) == ("b", "2.-.-.-")


def test_first_use_does_not_wait() -> None:
    state = state_of(snapshot(A_WINS, source_offset=1))
    router = router_of(state)
    pick(router, now_ms=1000)
    state.apply(snapshot(B_WINS, request_type="writing"), 1001)
    assert router.choose("writing", b"s", now_ms=1001).arm == "b"
    assert pick(router, now_ms=1001, exclude=("a",)).arm == "b"


def test_subsets_in_use_are_of_one_reading() -> None:
    state = state_of(snapshot(A_WINS, source_offset=1))
    router = router_of(state, arms="abc", min_rebuild_interval_ms=100)
    pick(router, now_ms=0)
    state.apply(snapshot(B_WINS, source_offset=2), 10)
    # Built after the change, but before the whole type is due: it must not mix states.
    assert pick(router, now_ms=20, exclude=("c",)).snapshot_version == "1.-.-.-"
    assert pick(router, now_ms=100, exclude=("c",)).snapshot_version == "2.-.-.-"


def test_clock_set_back_does_not_freeze_the_router() -> None:
    state = state_of(snapshot(A_WINS))
    router = router_of(state)
    pick(router, now_ms=10**12)
    state.apply(snapshot(B_WINS, source_offset=2), 0)
    assert pick(router, now_ms=5).arm == "b"


def test_stream_of_snapshots_rebuilds_at_the_interval_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builds = 0

    def counted(*arguments: Any) -> Any:
        nonlocal builds
        builds += 1
        return choice_table(*arguments)

    monkeypatch.setattr(router_module, "choice_table", counted)
    state = state_of(snapshot(A_WINS))
    router = router_of(state, min_rebuild_interval_ms=100)

    for now_ms in range(0, 2000, 10):  # a change every 50 ms, a pick every 10 ms
        if now_ms % 50 == 0:
            state.apply(snapshot(A_WINS, source_offset=2 + now_ms), now_ms)
        pick(router, now_ms=now_ms)

    assert builds == 20


def test_without_changes_nothing_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    router = router_of(state_of(snapshot(A_WINS)))
    before = pick(router, now_ms=0)
    monkeypatch.setattr(router_module, "choice_table", None)
    assert pick(router, now_ms=10**9) is before


def test_view_shows_the_newest_evidence_at_once() -> None:
    state = state_of(snapshot(A_WINS, source_offset=1))
    router = router_of(state)
    pick(router, now_ms=0)
    state.apply(snapshot(B_WINS, source_offset=2), 1)

    view, choices = router.view("general", now_ms=1)

    assert view.reading.version == "2.-.-.-"
    assert choices.table.probabilities[1] > 0.99
    assert view.beliefs.quality[1].mean > view.beliefs.quality[0].mean


def test_any_number_of_subsets_is_kept_bounded_and_right() -> None:
    router = router_of(arms="abcdefgh")
    expected = {session: pick(router, session) for session in sessions(20)}
    rng = random.Random(1)
    for _ in range(300):
        pick(router, exclude=tuple(rng.sample("abcdefgh", rng.randrange(1, 8))))

    assert {session: pick(router, session) for session in expected} == expected
    assert len(router._views["general"].sets) <= 64


# Hostile evidence


def test_poisoned_snapshot_neither_fails_nor_moves_a_pick() -> None:
    clean = router_of(state_of(snapshot(A_WINS)))
    nan: Any = float("nan")
    poison = {
        SeriesKey("b", "quality", "fast", 0, 0): Sums(-5, 3, 2),
        SeriesKey("b", "error", "slow", 0, 0): Sums(nan, nan, nan),
        SeriesKey("b", "success", "slow", 10**15, 10**17): Sums(1 << 4000, 1, 1),
        SeriesKey("a", "quality", "fast", 0, 0): Sums(0, 0, 0),
    }
    poisoned = router_of(state_of(snapshot({**A_WINS, **poison})))

    assert poisoned.state.refused_rows == 3
    for session in sessions(200):
        assert pick(poisoned, session).arm == pick(clean, session).arm


# Recomputing


def test_logged_turn_is_recomputed_bit_for_bit() -> None:
    rng = random.Random(7)
    state = state_of(snapshot({**observed("a", [1.0, 0.5]), **observed("b", [0.75, 0.5, 1.0])}))
    router = router_of(state, arms="abc")
    cfg, reading = router.config, state.of("general").read()

    for i in range(200):
        session_id = f"s{i}" if i % 2 else None
        turn_id = uuid7(AS_OF_MS, rng)
        key = sticky_key(cfg, session_id, turn_id)
        exclude = ("b",) if i % 3 == 0 else ()
        choice = router.choose("general", key, now_ms=5, exclude=exclude)
        logged = turn(
            turn_id,
            session_id=session_id,
            arm=choice.arm,
            eligible=choice.eligible,
            probability=choice.probability,
            snapshot_version=choice.snapshot_version,
        )

        assert recompute(logged, cfg, reading) == choice


def test_recomputing_needs_the_state_that_was_used() -> None:
    state = state_of(snapshot(A_WINS, source_offset=1))
    logged = turn(bytes(16), snapshot_version="2.-.-.-")
    with pytest.raises(ValueError, match=r"2\.-\.-\.-, reading is 1\.-\.-\.-"):
        recompute(logged, config(), state.of("general").read())
    with pytest.raises(ValueError, match="router"):
        recompute(turn(bytes(16), router="x"), config(), state.of("general").read())
    other = turn(bytes(16), snapshot_version="1.-.-.-", request_type="poetry")
    with pytest.raises(UnknownRequestType):
        recompute(other, config(), state.of("general").read())


def test_sticky_key_follows_the_policy() -> None:
    by_session, by_turn = config(), config(stickiness="turn")
    assert sticky_key(by_session, "s", b"t") == b"s"
    assert sticky_key(by_session, None, b"t") == b"t"
    assert sticky_key(by_turn, "s", b"t") == b"t"


def test_salt_fits_the_hash_for_the_longest_name() -> None:
    name = "r" * 128
    assert len(salt(name)) == 64
    assert pick(router_of(router=name)).arm in ("a", "b")
