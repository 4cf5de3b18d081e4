"""Log records to tables: every field as it was published, and what is left out, counted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from uuid import UUID

import polars as pl
import pytest

from consumer.records import Batch
from routefold.history.columns import CONFIGS, JOINED, OUTCOMES, TURNS, Column, schema_of
from routefold.history.joined import join
from routefold.history.tables import BLOCK_RECORDS, Tables, tables_of
from schemas.codec import encode
from schemas.events import Outcome, RouterConfigured, Turn
from tests.factories import (
    T0,
    Record,
    config,
    configured,
    outcome,
    records,
    traffic,
    turn,
    uuid7,
)

RNG = random.Random(5)
TURN_ID, OTHER_ID, OUTCOME_ID = (uuid7(T0 + i, RNG) for i in range(3))
LOG_TIME_MS = T0 + 10**9


def tables(*events: Turn | Outcome | RouterConfigured, router: str | None = None) -> Tables:
    return tables_of(Batch.of({3: records(events)}), router)


def shown(event: Turn | Outcome | RouterConfigured, offset: int) -> dict[str, object]:
    """The event's row, made field by field."""
    row: dict[str, object] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, bytes):
            value = str(UUID(bytes=value))
        elif isinstance(value, tuple):
            value = list(value)
        elif field.name == "occurred_at":
            value = datetime.fromtimestamp(value / 1000, UTC)
        elif field.name == "scores":
            value = [{"metric": m, "value": v} for m, v in value.items()]
        row[field.name] = value
    if isinstance(event, Outcome):
        at_ms = int.from_bytes(event.turn_id[:6], "big")
        row["turn_at"] = datetime.fromtimestamp(at_ms / 1000, UTC)
    return row | {"partition": 3, "offset": offset, "log_time_ms": LOG_TIME_MS}


def test_every_field_is_in_its_column() -> None:
    bare, full = (
        turn(TURN_ID),
        turn(
            OTHER_ID,
            session_id="ä",
            arm_served="b",
            snapshot_age_ms=3,
            mode="observe",
            previous_turn_id=TURN_ID,
            reaction=("failure", "retry"),
        ),
    )
    reports = (
        outcome(TURN_ID, OUTCOME_ID),
        outcome(
            OTHER_ID,
            OTHER_ID,
            session_id="ä",
            arm_served="b",
            status="timeout",
            status_code=504,
            latency_ms=1.5,
            ttft_ms=0.5,
            tokens_in=1,
            tokens_out=2**40,
            cost_usd=0.25,
            scores={"quality": 0.5, "style": 1.0},
            signals=("loop",),
            voids=OUTCOME_ID,
        ),
    )
    known = configured(config())
    found = tables(bare, full, *reports, known)
    assert found.turns.to_dicts() == [shown(bare, 0), shown(full, 1)]
    assert found.outcomes.to_dicts() == [shown(reports[0], 2), shown(reports[1], 3)]
    assert found.configs.to_dicts() == [shown(known, 4)]
    assert found.skipped == {}


@pytest.mark.parametrize("events", [[], [turn(TURN_ID)], [outcome(TURN_ID, OUTCOME_ID)]])
def test_the_columns_are_those_of_the_contract(events: Sequence[Turn | Outcome]) -> None:
    found = tables(*events)
    assert found.turns.schema == schema_of(TURNS)
    assert found.outcomes.schema == schema_of(OUTCOMES)
    assert found.configs.schema == schema_of(CONFIGS)
    assert join(found.turns, found.outcomes).schema == schema_of(JOINED)


@pytest.mark.parametrize("columns", [TURNS, OUTCOMES, JOINED, CONFIGS])
def test_columns_are_named_once(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)


def test_what_is_in_no_table_is_counted_by_reason() -> None:
    good = turn(TURN_ID)
    v4 = bytes.fromhex("00000000000040008000000000000000")
    late = uuid7(LOG_TIME_MS + 301_000, RNG)
    values: list[tuple[bytes | None, bytes | None]] = [
        (good.key, encode(good)),
        (b"k", None),
        (b"k", b""),
        (b"k", b"\xff alien"),
        (b"k", encode(good)[:10] + b"\x01"),
        (b"another", encode(good)),
        (None, encode(good)),
        (v4.hex().encode(), encode(outcome(v4, OUTCOME_ID))),
        (late.hex().encode(), encode(turn(late))),
        (good.key, encode(turn(TURN_ID, occurred_at=T0 + 7))),
        (good.key, encode(outcome(TURN_ID, OUTCOME_ID, occurred_at=-1))),
        (b"another", encode(configured(config()))),
    ]
    log = [Record(i, LOG_TIME_MS, key, value) for i, (key, value) in enumerate(values)]
    found = tables_of(Batch.of({0: log}))
    assert found.turns["offset"].to_list() == [0]
    assert found.outcomes.is_empty()
    assert found.configs.is_empty()
    assert found.skipped == {
        "undecodable": 4,
        "wrong_key": 3,
        "bad_turn_id": 1,
        "impossible_time": 3,
    }


def test_a_bad_record_leaves_all_others_of_its_block() -> None:
    events = list(traffic(BLOCK_RECORDS // 2 + 500, random.Random(1)))
    log = records(events)
    bad = {7, 8000, len(log) - 1}
    for place in bad:
        log[place] = Record(place, LOG_TIME_MS, log[place].key, (log[place].value or b"") + b"!")
    found = tables_of(Batch.of({0: log}))
    offsets = sorted([*found.turns["offset"], *found.outcomes["offset"]])
    assert offsets == [i for i in range(len(log)) if i not in bad]
    assert found.skipped == {"undecodable": len(bad)}


def test_one_router_only() -> None:
    mine, other = turn(TURN_ID, router="mine"), turn(OTHER_ID, router="other")
    known = configured(config("mine")), configured(config("other"))
    found = tables(mine, other, *known, router="mine")
    assert found.turns["router"].to_list() == ["mine"]
    assert found.configs["router"].to_list() == ["mine"]


def test_parts_are_joined_in_the_order_of_the_log() -> None:
    log = records(traffic(30, random.Random(1)))
    parts = [tables_of(Batch.of({p: log[i : i + 20]})) for i in (40, 0, 20) for p in (1, 0)]
    whole = Tables.joined(parts)
    places = whole.turns.select("partition", "offset")
    assert places.equals(places.sort("partition", "offset"))
    assert len(whole.turns) + len(whole.outcomes) == 120


def test_ids_are_ready_for_a_join_with_postgres() -> None:
    found = tables(turn(TURN_ID))
    assert found.turns.select(pl.col("turn_id").str.len_chars()).item() == 36
