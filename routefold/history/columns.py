"""The columns of every table, with types and meanings: the contract with whoever reads them.

The tables of events have the fields of the newest Avro schemas, in their order and under their
names. Ids are UUID strings, as the API shows them; what ends in `_at` is a time in UTC, what ends
in `_ms` a number of milliseconds. A column may be added at any time, none is taken away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from consumer.columns import OUTCOME, TURN
from schemas.codec import current
from schemas.events import Outcome, RouterConfigured, Turn

TIME: Final = pl.Datetime("ms", "UTC")
_AVRO: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "long": pl.Int64(),
    "int": pl.Int32(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    dtype: pl.DataType
    meaning: str


PLACE: Final = (
    Column("partition", pl.Int32(), "Partition of the events topic."),
    Column("offset", pl.Int64(), "Offset in the partition; partition and offset name a record."),
    Column("log_time_ms", pl.Int64(), "When the broker appended it, milliseconds since 1970."),
)
_MEANINGS: Final = {
    "router": "The router.",
    "request_type": "What kind of request it was.",
    "latency_ms": "Milliseconds from the request to the whole answer.",
    "tokens_in": "Tokens of the request.",
    "tokens_out": "Tokens of the answer.",
    "cost_usd": "What the request cost, in dollars.",
    "signals": "Signals seen in the conversation about this turn.",
}


def _value_type(avro: Any) -> Any:
    """The type of an Avro field, without the null of a union."""
    if isinstance(avro, list):
        (avro,) = [branch for branch in avro if branch != "null"]
    return avro


def _dtype(avro: Any, *, fixed: pl.DataType, time: pl.DataType) -> pl.DataType:
    avro = _value_type(avro)
    if isinstance(avro, str):
        return _AVRO[avro]
    if avro.get("logicalType") == "timestamp-millis":
        return time
    match avro["type"]:
        case "fixed":
            return fixed
        case "enum":
            return pl.String()
        case "array":
            return pl.List(_dtype(avro["items"], fixed=fixed, time=time))
        case "record":
            fields = avro["fields"]
            return pl.Struct(
                [pl.Field(f["name"], _dtype(f["type"], fixed=fixed, time=time)) for f in fields]
            )
    raise TypeError(f"no column type for the Avro type {avro}")


def _fields(kind: type[Turn | Outcome | RouterConfigured]) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = json.loads(current(kind).text)["fields"]
    return fields


def _of_event(kind: type[Turn | Outcome | RouterConfigured]) -> tuple[Column, ...]:
    return tuple(
        Column(
            field["name"],
            _dtype(field["type"], fixed=pl.String(), time=TIME),
            field.get("doc") or _MEANINGS.get(field["name"], ""),
        )
        for field in _fields(kind)
    )


def raw_schema(kind: type[Turn | Outcome]) -> dict[str, pl.DataType]:
    """The fields as they come from Avro: ids as bytes, times as integers."""
    return {
        field["name"]: _dtype(field["type"], fixed=pl.Binary(), time=pl.Int64())
        for field in _fields(kind)
    }


def ids_of(kind: type[Turn | Outcome]) -> frozenset[str]:
    """The fields that are ids: 16 bytes in Avro, UUID strings in the tables."""
    return frozenset(name for name, dtype in raw_schema(kind).items() if dtype == pl.Binary())


TURNS: Final = (*_of_event(Turn), *PLACE)

OUTCOMES: Final = (
    *_of_event(Outcome),
    Column("turn_at", TIME, "The turn's time, from its id."),
    *PLACE,
)

CONFIGS: Final = (*_of_event(RouterConfigured), *PLACE)

# What `joined` adds to a turn. As in the fold, the first report of each metric stands.
SAID: Final = (
    Column("status", pl.String(), "How the call ended: ok, error, timeout, else cancelled."),
    Column("status_code", pl.Int32(), "HTTP status of the model's provider."),
    Column("latency_ms", pl.Float64(), "Of a call that did not fail."),
    Column("ttft_ms", pl.Float64(), "Time to first token, of a call that did not fail."),
    Column("tokens_in", pl.Int64(), "Tokens of the request."),
    Column("tokens_out", pl.Int64(), "Tokens of the answer."),
    Column("cost_usd", pl.Float64(), "What the request cost, in dollars."),
    Column(
        "scores",
        pl.List(pl.Struct({"metric": pl.String(), "value": pl.Float64()})),
        "Metrics that the router declares, each once, 0 to 1.",
    ),
    Column("signals", pl.List(pl.String()), "Signals that its outcomes carried, each once."),
    Column("outcomes", pl.UInt32(), "How many outcomes were counted."),
    Column("last_outcome_at", TIME, "When the latest of them occurred."),
)

ARM_SERVED: Final = Column(
    "arm_served", pl.String(), "The arm that answered: `arm` where nobody named another."
)
JOINED: Final = (
    *(ARM_SERVED if column.name == ARM_SERVED.name else column for column in TURNS),
    *SAID,
)

REACTIONS: Final = (
    Column("turn_id", pl.String(), "The turn that the signal is about."),
    Column("signal", pl.String(), "Credited to the arm that answered the turn."),
    Column("said_by", pl.String(), "The session's next turn, whose messages showed it."),
    *PLACE,
)

# A record as Kafka has it, `partition` and `offset` name it; then what it decodes to, of turns and
# outcomes the fields that the fold reads (consumer.columns), so that a rebuild need not decode.
RECORDS: Final = (
    *PLACE,
    Column("key", pl.Binary(), "The record's key; null where it has none."),
    Column("value", pl.Binary(), "The record's value, as it was published."),
    Column("kind", pl.UInt8(), "1: a turn; 2: an outcome; 0: another event, or not to be decoded."),
    *(
        Column(name, dtype, "As in the event's schema.")
        for name, dtype in {**TURN, **OUTCOME}.items()
    ),
)


def schema_of(columns: Iterable[Column]) -> pl.Schema:
    """The columns as a polars schema."""
    return pl.Schema({column.name: column.dtype for column in columns})


def empty(columns: Iterable[Column]) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=schema_of(columns))
