"""Bytes to columns.

The messages of a batch that share a schema are joined behind one Avro object-container header, and
read by polars in one call: 0.6 µs an event, against 8 µs for fastavro one by one. The container is
never stored; it exists for the length of the call.

Two guards make that safe. Behind every record of the block stands a mark that must be read back, so
that a record which is too long or too short can't shift its neighbours; a batch in which a mark is
missing, or that polars can't read, is decoded record by record, which finds the bad ones. And the
key of every record must be the one its decoded fields give: none passes under a foreign key.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import polars as pl

from consumer.records import Batch, DeadLetter
from schemas.codec import (
    PREFIX_BYTES,
    Schema,
    by_prefix,
    decode,
    decode_record,
    schema_of,
)
from schemas.errors import ContractError
from schemas.events import RouterConfigured, partition_key

REASON_UNDECODABLE: Final = "undecodable"
REASON_UNEXPECTED: Final = "unexpected_event"
REASON_KEY: Final = "wrong_key"
# Says nothing about any turn: it is there for whoever reads the log.
PASSED_OVER: Final = "generation_promoted"

_SYNC: Final = bytes(16)
# Behind each record of a block. Any bytes do that no record ends or begins with by chance.
_MARK: Final = bytes.fromhex("9e3779b97f4a7c15")
_MARKS: Final = pl.Series([_MARK])
_MARK_FIELD: Final[dict[str, Any]] = {
    "name": "mark_of_the_block",
    "type": {"type": "fixed", "name": "MarkOfTheBlock", "size": len(_MARK)},
}
_ADDRESS: Final = (
    "turn_id",
    "session_id",
    "router",
    "request_type",
    "arm",
    "arm_served",
    "occurred_at",
)
_SCORE: Final = ("metric", "value")
MEASURED: Final = ("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd")
_COLUMNS: Final = {
    "turn": (*_ADDRESS, "probability", "previous_turn_id", "reaction"),
    "outcome": (*_ADDRESS, "outcome_id", "status", *MEASURED, "scores", "signals", "voids"),
}

# The fields that the fold reads, and `row`: the place in the batch, ascending. Scores are lists of
# (metric, value). Lists, as polars runs each query on a thread pool: 3.6 ms apiece on a busy
# machine, and most batches are small.
Columns = dict[str, list[Any]]
# From so many rows on, queries cost less than making a dictionary of every score.
_MANY_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """The events of a batch by type."""

    turns: Columns
    outcomes: Columns
    configs: Sequence[tuple[int, RouterConfigured]]
    dead: Sequence[DeadLetter]


def decode_batch(batch: Batch) -> Decoded:
    """Every record of the batch as an event, or as a dead letter with its reason."""
    rows_of: dict[bytes, list[int]] = {}
    for row, value in enumerate(batch.values):
        rows_of.setdefault(value[:PREFIX_BYTES] if value else b"", []).append(row)
    parts: dict[str, list[Columns]] = {"turn": [], "outcome": []}
    configs: list[tuple[int, RouterConfigured]] = []
    dead: list[DeadLetter] = []
    for prefix, rows in rows_of.items():
        schema = by_prefix().get(prefix)
        if schema is None:
            dead += [_undecodable(row, batch.values[row]) for row in rows]
        elif schema.event in parts:
            columns, bad = _columns(schema, batch, rows)
            parts[schema.event].append(columns)
            dead += bad
        elif schema.event == "router_configured":
            _read_configs(batch, rows, configs, dead)
        elif schema.event != PASSED_OVER:
            what = f"a {schema.name} does not belong on the events topic"
            dead += [DeadLetter(row, REASON_UNEXPECTED, what) for row in rows]
    turns, outcomes = (_joined(parts[event], event) for event in ("turn", "outcome"))
    return Decoded(turns, outcomes, configs, dead)


def _joined(parts: list[Columns], event: str) -> Columns:
    if len(parts) == 1:
        return parts[0]
    names = (*_COLUMNS[event], "row")
    joined = {name: [value for part in parts for value in part[name]] for name in names}
    order = sorted(range(len(joined["row"])), key=joined["row"].__getitem__)
    return {name: [values[place] for place in order] for name, values in joined.items()}


def _undecodable(row: int, value: bytes | None) -> DeadLetter:
    try:
        schema_of(value or b"")
    except ContractError as error:
        return DeadLetter(row, REASON_UNDECODABLE, str(error))
    raise AssertionError("a message with a known prefix was taken for an unknown one")


def _read_configs(
    batch: Batch,
    rows: Sequence[int],
    configs: list[tuple[int, RouterConfigured]],
    dead: list[DeadLetter],
) -> None:
    for row in rows:
        try:
            event = decode(batch.values[row] or b"")
            assert isinstance(event, RouterConfigured)
            configs.append((row, event))
        except ContractError as error:
            dead.append(DeadLetter(row, REASON_UNDECODABLE, str(error)))


def _columns(schema: Schema, batch: Batch, rows: Sequence[int]) -> tuple[Columns, list[DeadLetter]]:
    try:
        columns = _read_joined(schema, batch, rows)
    except BlockUnreadable:
        return _one_by_one(schema, batch, rows)
    if not _keys_agree(columns, batch):
        return _one_by_one(schema, batch, rows)
    return columns, []


def _read_joined(schema: Schema, batch: Batch, rows: Sequence[int]) -> Columns:
    messages = [batch.values[row] or b"" for row in rows]
    frame = read_block(schema, messages, _COLUMNS[schema.event])
    # A field that the writer's version lacked is null, as its default says.
    columns: Columns = {
        name: _values(frame[name]) if name in frame.columns else [None] * len(rows)
        for name in _COLUMNS[schema.event]
    }
    columns["row"] = list(rows)
    return columns


def _values(column: pl.Series) -> list[Any]:
    """The values of a column, a list for each row where there are several."""
    if not isinstance(column.dtype, pl.List):
        return column.to_list()
    if len(column) < _MANY_ROWS:
        return list(map(_pairs, column.to_list())) if column.name == "scores" else column.to_list()
    lengths = column.list.len()
    if lengths.sum() == 0:
        return [[]] * len(column)
    # what an empty list explodes to depends on the version of polars
    items = column.filter(lengths > 0).explode()
    flat = (
        list(zip(*(items.struct.field(name).to_list() for name in _SCORE), strict=True))
        if column.name == "scores"
        else items.to_list()
    )
    ends = lengths.cum_sum().to_list()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _pairs(scores: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    return [(score["metric"], score["value"]) for score in scores]


class BlockUnreadable(Exception):
    """A message of the block is not exactly one record of its schema."""


def read_block(
    schema: Schema, messages: Sequence[bytes], wanted: Sequence[str] | None = None
) -> pl.DataFrame:
    """A row for each message, all of them of `schema`, with the fields of that schema; with those
    of them that are `wanted`, where others are not.

    Fixed fields are Binary, enums Categorical, times Int64. Raises BlockUnreadable when any of the
    messages is not exactly one record; `schemas.codec.decode_record` then says which, and why.
    """
    body = b"".join([part for message in messages for part in (message[PREFIX_BYTES:], _MARK)])
    block = b"".join((_header(schema), _varint(len(messages)), _varint(len(body)), body, _SYNC))
    try:
        frame = pl.read_avro(io.BytesIO(block), columns=_fields(schema, wanted))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BlockUnreadable(f"not all of {len(messages)} messages are a {schema.name}") from error
    marks = frame.drop_in_place(_MARK_FIELD["name"])
    if len(frame) != len(messages) or not (marks == _MARKS).all():
        raise BlockUnreadable(f"not all of {len(messages)} messages are just a {schema.name}")
    return frame


def _fields(schema: Schema, wanted: Sequence[str] | None) -> list[str] | None:
    if wanted is None:
        return None
    has = {field["name"] for field in schema.parsed["fields"]}
    return [name for name in wanted if name in has] + [_MARK_FIELD["name"]]


def _one_by_one(
    schema: Schema, batch: Batch, rows: Sequence[int]
) -> tuple[Columns, list[DeadLetter]]:
    """Ten times slower, and exact about which record is bad and why."""
    columns: Columns = {name: [] for name in (*_COLUMNS[schema.event], "row")}
    dead: list[DeadLetter] = []
    for row in rows:
        try:
            _, record = decode_record(batch.values[row] or b"")
        except ContractError as error:
            dead.append(DeadLetter(row, REASON_UNDECODABLE, str(error)))
            continue
        key, expected = batch.keys[row], partition_key(record["session_id"], record["turn_id"])
        if key != expected:
            detail = (
                f"key {(key or b'')[:64]!r} should be the session or turn id, {expected[:64]!r}"
            )
            dead.append(DeadLetter(row, REASON_KEY, detail))
            continue
        record["occurred_at"] = round(record["occurred_at"].timestamp() * 1000)
        if "scores" in record:
            record["scores"] = _pairs(record["scores"])
        for name in _COLUMNS[schema.event]:
            columns[name].append(record[name])
        columns["row"].append(row)
    return columns, dead


def _keys_agree(columns: Columns, batch: Batch) -> bool:
    ids = zip(columns["session_id"], columns["turn_id"], strict=True)
    keys = batch.keys
    return [keys[row] for row in columns["row"]] == [partition_key(*each) for each in ids]


@cache
def _header(schema: Schema) -> bytes:
    """An object-container header. The canonical form has no defaults, which polars trips over."""
    record = json.loads(schema.canonical)
    record["fields"].append(_MARK_FIELD)
    text = json.dumps(record).encode()
    name = b"avro.schema"
    return b"".join(
        (b"Obj\x01", _varint(1), _varint(len(name)), name, _varint(len(text)), text, b"\0", _SYNC)
    )


def _varint(value: int) -> bytes:
    """Avro's long: zigzag, then seven bits a byte."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
