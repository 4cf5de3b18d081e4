"""Bodies: bytes to JSON values to models, with a fault that names its field, and never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from router_api.http.bodies import (
    CONFIG,
    OUTCOME,
    OUTCOMES,
    PICK,
    OutcomeBody,
    PickBody,
    to_ms,
)
from router_api.http.body import parse_json, validated
from router_api.http.problems import MAX_FAULTS, Problem, respond
from schemas.router_config import RouterConfig

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
# Known fields with wrong values reach much further into the models than random keys.
near_misses = st.dictionaries(
    st.sampled_from(
        sorted({*PickBody.model_fields, *OutcomeBody.model_fields, *RouterConfig.model_fields})
    ),
    json_values,
    max_size=6,
)


def outcome_of(call: Callable[[], object]) -> tuple[object, Problem | None]:
    """What a call returned, or the problem it raised; anything else is the test's failure."""
    try:
        return call(), None
    except Problem as problem:
        return None, problem


def fields_of(problem: Problem) -> list[str]:
    return [fault.field for fault in problem.faults]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"session_id": "\xc3\x28"}',
        b'{"session_id": "\\ud800"}',
        b'{"\\uD800": 1}',
        b'{"a": 1, "a": 2}',
        b'{"scores": {"quality": NaN}}',
        b'{"scores": {"quality": -Infinity}}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"{} {}",
        "\ufeff{}".encode(),
        '{"session_id": "s"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_with_one_meaning_is_a_400(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.status_code == 400


def test_escaped_pairs_of_surrogates_are_ordinary_characters() -> None:
    assert parse_json(b'{"session_id": "\\ud83d\\ude00"}') == {"session_id": "\U0001f600"}


def test_parse_problems_do_not_quote_the_body() -> None:
    with pytest.raises(Problem) as caught:
        parse_json(b'{"turn_token": "tok-secret", "turn_token": "tok-secret"}')
    assert b"tok-secret" not in bytes(respond(caught.value).body)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_value_or_a_400(body: bytes) -> None:
    value, problem = outcome_of(lambda: parse_json(body))
    if problem is None:
        assert value == json.loads(body)
    else:
        assert problem.status_code == 400


@given(
    st.sampled_from([PICK, OUTCOME, OUTCOMES, CONFIG]),
    json_values | near_misses | st.lists(near_misses, max_size=3),
)
def test_any_value_is_a_model_or_a_422_that_names_a_field(
    adapter: TypeAdapter[Any], value: object
) -> None:
    _, problem = outcome_of(lambda: validated(adapter, value))
    if problem is not None:
        assert problem.status_code == 422
        document = json.loads(bytes(respond(problem).body))
        assert 1 <= len(document["errors"]) <= MAX_FAULTS
        assert all(error["field"] and error["message"] for error in document["errors"])


@pytest.mark.parametrize(
    ("outcome", "field"),
    [
        ({"scores": {"quality": 1.1}}, "scores.quality"),
        ({"scores": {"quality": -0.1}}, "scores.quality"),
        ({"scores": {"quality": "1"}}, "scores.quality"),
        ({"scores": {"quality": True}}, "scores.quality"),
        ({"scores": {"quality": 10**400}}, "scores.quality"),
        ({"scores": {"quality": float("inf")}}, "scores.quality"),
        ({"completion": {"status": "fine"}}, "completion.status"),
        ({"completion": {"latency_ms": 3}}, "completion.status"),
        ({"completion": {"status": "ok", "latency_ms": 1e10}}, "completion.latency_ms"),
        ({"completion": {"status": "ok", "tokens_in": 2**31}}, "completion.tokens_in"),
        ({"completion": {"status": "ok", "tokens_in": 1.5}}, "completion.tokens_in"),
        ({"completion": {"status": "ok", "cost_usd": -1}}, "completion.cost_usd"),
        ({"completion": {"status": "ok", "status_code": 99}}, "completion.status_code"),
        ({"outcome_id": "not-a-uuid"}, "outcome_id"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-01-31"}, "occurred_at"),
        ({"occurred_at": "1769851800"}, "occurred_at"),
        ({"occurred_at": 1769851800}, "occurred_at"),
        ({"occurred_at": "2026-01-31T09:30:00"}, "occurred_at"),
        ({"occurred_at": "2026-02-31T09:30:00Z"}, "occurred_at"),
        ({"turn_token": "x" * 5000}, "turn_token"),
        ({"score": {"quality": 1}}, "score"),
    ],
)
def test_faults_of_an_outcome_name_their_field(outcome: dict[str, object], field: str) -> None:
    with pytest.raises(Problem) as caught:
        validated(OUTCOME, {"turn_token": "t"} | outcome)
    assert fields_of(caught.value) == [field]


@pytest.mark.parametrize(
    ("pick", "field"),
    [
        ({"session_id": ""}, "session_id"),
        ({"session_id": "s" * 257}, "session_id"),
        ({"session_id": "a\x00b"}, "session_id"),
        ({"session_id": 7}, "session_id"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"min_quality_tier": 0}, "min_quality_tier"),
        ({"min_quality_tier": True}, "min_quality_tier"),
        ({"exclude": "cheap"}, "exclude"),
        ({"exclude": ["cheap", 1]}, "exclude.1"),
        ({"sesion_id": "s"}, "sesion_id"),
    ],
)
def test_faults_of_a_pick_name_their_field(pick: dict[str, object], field: str) -> None:
    with pytest.raises(Problem) as caught:
        validated(PICK, pick)
    assert fields_of(caught.value) == [field]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "arms"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "arms"),
        ({"arms": [{"name": "a", "strengths": ["cooking"]}]}, "arms.0.strengths"),
        ({"arms": [{"name": "a", "price": {"usd_per_1m_in": 1}}]}, "arms.0.price"),
        ({"arms": [{"name": "a"}], "weights": {"quality": 0.9, "cost": 0.9}}, "weights"),
        ({"arms": [{"name": "a"}], "rewards": {"Quality": 1.0}}, "rewards.Quality"),
    ],
)
def test_faults_of_a_configuration_name_their_field(config: dict[str, object], field: str) -> None:
    with pytest.raises(Problem) as caught:
        validated(CONFIG, {"router": "main"} | config)
    assert fields_of(caught.value) == [field]


def test_faults_of_a_batch_name_the_index() -> None:
    good = {"turn_token": "t", "scores": {"quality": 1}}
    bad = {"turn_token": "t", "scores": {"quality": 2}}
    with pytest.raises(Problem) as caught:
        validated(OUTCOMES, [good, good, good, bad], "outcomes")
    assert fields_of(caught.value) == ["outcomes.3.scores.quality"]


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_1_to_1000_outcomes(size: int) -> None:
    with pytest.raises(Problem) as caught:
        validated(OUTCOMES, [{"turn_token": "t"}] * size, "outcomes")
    assert fields_of(caught.value) == ["outcomes"]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-01-31T09:30:00.1239Z", 1769851800123),
        ("2026-01-31t09:30:00z", 1769851800000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
    ],
)
def test_times_are_milliseconds_since_1970(text: str, ms: int) -> None:
    time = validated(OUTCOME, {"turn_token": "t", "occurred_at": text}).occurred_at
    assert time is not None
    assert to_ms(time) == ms


def test_nulls_are_like_fields_left_out() -> None:
    outcome = {"turn_token": "t", "completion": None, "scores": None, "occurred_at": None}
    assert validated(OUTCOME, outcome) == validated(OUTCOME, {"turn_token": "t"})
