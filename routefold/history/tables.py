"""A batch of log records to tables. Pure.

A record is in a table when it decodes, stands under its own key, and is about a turn with a
possible time: what the fold too asks of an event before it looks at the router's configuration.
The others are counted by the fold's word for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import polars as pl

from consumer.decode import (
    PASSED_OVER,
    REASON_KEY,
    REASON_UNDECODABLE,
    REASON_UNEXPECTED,
    BlockUnreadable,
    read_block,
)
from consumer.facts import FUTURE_TOLERANCE_MS, REASON_TIME, REASON_TURN_ID
from consumer.records import Batch
from routefold.history.columns import (
    CONFIGS,
    OUTCOMES,
    TURNS,
    Column,
    empty,
    ids_of,
    raw_schema,
    schema_of,
)
from schemas.codec import PREFIX_BYTES, Schema, by_prefix, decode, decode_record
from schemas.errors import ContractError
from schemas.events import Outcome, RouterConfigured, Turn

# What one bad record slows down: a block is then decoded one by one, 8 µs a record.
BLOCK_RECORDS: Final = 8_192
_ADDED: Final = {"partition", "offset", "log_time_ms", "turn_at"}
_KINDS: Final[dict[str, tuple[type[Turn | Outcome], tuple[Column, ...]]]] = {
    "turn": (Turn, TURNS),
    "outcome": (Outcome, OUTCOMES),
}


@dataclass(frozen=True, slots=True)
class Tables:
    """The records of a piece of the log, each in one table or counted as skipped."""

    turns: pl.DataFrame
    outcomes: pl.DataFrame
    configs: pl.DataFrame
    skipped: Mapping[str, int]

    @classmethod
    def joined(cls, parts: Sequence[Tables]) -> Tables:
        """All parts as one, sorted by partition and offset."""
        skipped: Counter[str] = Counter()
        for part in parts:
            skipped.update(part.skipped)
        return cls(
            _concat(TURNS, [part.turns for part in parts]),
            _concat(OUTCOMES, [part.outcomes for part in parts]),
            _concat(CONFIGS, [part.configs for part in parts]),
            dict(skipped),
        )


def tables_of(batch: Batch, router: str | None = None) -> Tables:
    """The tables of a batch; with `router`, its events only. `skipped` counts all routers'."""
    rows_of: dict[bytes, list[int]] = {}
    for row, value in enumerate(batch.values):
        rows_of.setdefault(value[:PREFIX_BYTES] if value else b"", []).append(row)
    frames: dict[str, list[pl.DataFrame]] = {"turn": [], "outcome": []}
    configs: list[pl.DataFrame] = []
    skipped: Counter[str] = Counter()
    for prefix, rows in rows_of.items():
        schema = by_prefix().get(prefix)
        if schema is None:
            skipped[REASON_UNDECODABLE] += len(rows)
        elif schema.event in frames:
            frames[schema.event].append(_read(schema, batch, rows, router, skipped))
        elif schema.event == "router_configured":
            configs.append(_read_configs(batch, rows, router, skipped))
        elif schema.event != PASSED_OVER:
            skipped[REASON_UNEXPECTED] += len(rows)
    return Tables(
        _concat(TURNS, frames["turn"]),
        _concat(OUTCOMES, frames["outcome"]),
        _concat(CONFIGS, configs),
        dict(skipped),
    )


def _concat(columns: Sequence[Column], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if not frames:
        return empty(columns)
    return pl.concat(frames).sort("partition", "offset")


def _read(
    schema: Schema, batch: Batch, rows: list[int], router: str | None, skipped: Counter[str]
) -> pl.DataFrame:
    kind, columns = _KINDS[schema.event]
    raw, rows = _raw(schema, kind, batch, rows, skipped)
    frame = raw.hstack(
        [
            pl.Series("partition", batch.partition[rows], pl.Int32),
            pl.Series("offset", batch.offset[rows], pl.Int64),
            pl.Series("log_time_ms", batch.log_time_ms[rows], pl.Int64),
            pl.Series("key", [batch.keys[row] for row in rows], pl.Binary),
        ]
    )
    # One query, as each costs milliseconds on a busy machine.
    found = (
        frame.lazy()
        .with_columns(_turn_time_ms())
        .select(*_as_columns(kind, columns, frozenset(raw.columns)), _fault(schema.event))
        .collect()
    )
    faults = found.drop_in_place("fault")
    if faults.null_count() < len(faults):
        skipped.update(faults.drop_nulls().to_list())
        found = found.filter(faults.is_null())
    return found if router is None else found.filter(pl.col("router") == router)


def _raw(
    schema: Schema,
    kind: type[Turn | Outcome],
    batch: Batch,
    rows: Sequence[int],
    skipped: Counter[str],
) -> tuple[pl.DataFrame, list[int]]:
    """The records that decode, and their rows."""
    frames: list[pl.DataFrame] = []
    decoded: list[int] = []
    for start in range(0, len(rows), BLOCK_RECORDS):
        block = rows[start : start + BLOCK_RECORDS]
        try:
            frames.append(read_block(schema, [batch.values[row] or b"" for row in block]))
            decoded += block
        except BlockUnreadable:
            frame, good = _one_by_one(kind, batch, block, skipped)
            frames.append(frame)
            decoded += good
    return pl.concat(frames, how="diagonal_relaxed"), decoded


def _one_by_one(
    kind: type[Turn | Outcome], batch: Batch, rows: Iterable[int], skipped: Counter[str]
) -> tuple[pl.DataFrame, list[int]]:
    """The records that decode, and their rows."""
    good: list[int] = []
    records = []
    for row in rows:
        try:
            _, record = decode_record(batch.values[row] or b"")
        except ContractError:
            skipped[REASON_UNDECODABLE] += 1
            continue
        record["occurred_at"] = round(record["occurred_at"].timestamp() * 1000)
        good.append(row)
        records.append(record)
    return pl.DataFrame(records, schema=raw_schema(kind)), good


def _read_configs(
    batch: Batch, rows: Iterable[int], router: str | None, skipped: Counter[str]
) -> pl.DataFrame:
    found = []
    for row in rows:
        try:
            event = decode(batch.values[row] or b"")
        except ContractError:
            skipped[REASON_UNDECODABLE] += 1
            continue
        assert isinstance(event, RouterConfigured)
        if batch.keys[row] != event.key:
            skipped[REASON_KEY] += 1
        elif router in (None, event.router):
            place = (batch.partition[row], batch.offset[row], batch.log_time_ms[row])
            fields = (getattr(event, name) for name in RouterConfigured.__dataclass_fields__)
            found.append((*fields, *(int(part) for part in place)))
    return pl.DataFrame(found, schema=schema_of(CONFIGS), orient="row")


def _turn_time_ms() -> pl.Expr:
    """The first 48 bits of the turn id (RFC 9562, section 5.7)."""
    first_half = pl.col("turn_id").bin.slice(0, 8)
    number = first_half.bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return (number // 2**16).cast(pl.Int64).alias("turn_time_ms")


@cache
def _fault(event: str) -> pl.Expr:
    """Why a decoded record is in no table; null for one that is."""
    hexadecimal = pl.col("turn_id").bin.encode("hex")
    key = pl.coalesce(pl.col("session_id"), hexadecimal).cast(pl.Binary)
    is_uuid7 = (hexadecimal.str.slice(12, 1) == "7") & hexadecimal.str.slice(16, 1).is_in(
        ["8", "9", "a", "b"]
    )
    at, turn_at = pl.col("occurred_at"), pl.col("turn_time_ms")
    latest = pl.col("log_time_ms") + FUTURE_TOLERANCE_MS
    impossible = (at > latest) | (turn_at > latest) | (at < 0)
    if event == "turn":
        impossible |= at != turn_at
    return (
        pl.when(pl.col("key").ne_missing(key))
        .then(pl.lit(REASON_KEY))
        .when(~is_uuid7)
        .then(pl.lit(REASON_TURN_ID))
        .when(impossible)
        .then(pl.lit(REASON_TIME))
        .alias("fault")
    )


def _as_columns(
    kind: type[Turn | Outcome], columns: Iterable[Column], present: frozenset[str]
) -> list[pl.Expr]:
    """Each column of the table from the raw fields. One that the writer's schema lacks is null."""
    ids = ids_of(kind)
    expressions = []
    for column in columns:
        source = pl.col("turn_time_ms" if column.name == "turn_at" else column.name)
        if column.name in ids & present:
            source = _uuid(source)
        elif column.name not in present | _ADDED:
            source = pl.lit(None)
        expressions.append(source.cast(column.dtype).alias(column.name))
    return expressions


def _uuid(raw: pl.Expr) -> pl.Expr:
    """16 bytes in the form 8-4-4-4-12."""
    digits = raw.bin.encode("hex")
    parts = [digits.str.slice(at, n) for at, n in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.concat_str(parts, separator="-")
