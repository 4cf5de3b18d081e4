"""Events to bytes and back: Avro in single-object encoding.

A message is C3 01, the CRC-64-AVRO fingerprint of the writer's schema (8 bytes, little endian), and
the Avro body (Avro specification, "Single-object encoding"). Every schema version ever released is
in `schemas/avro`, so any message can be read years later with nothing but these files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final, cast

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.errors import ContractError, Undecodable, UnknownSchema
from schemas.events import GenerationPromoted, Outcome, Progress, RouterConfigured, Turn
from schemas.snapshot import Snapshot, pack_evidence, unpack_evidence

Event = Turn | Outcome | RouterConfigured | GenerationPromoted | Snapshot | Progress

MAGIC: Final = b"\xc3\x01"
PREFIX_BYTES: Final = 10

CURRENT: Final[Mapping[type[Event], str]] = MappingProxyType(
    {
        Turn: "turn.v1",
        Outcome: "outcome.v1",
        RouterConfigured: "router_configured.v1",
        GenerationPromoted: "generation_promoted.v1",
        Snapshot: "snapshot.v1",
        Progress: "progress.v1",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One released schema version. Compared by identity."""

    name: str  # "turn.v1"
    text: str
    parsed: Any  # fastavro's own form; parsing again on every call costs a hundred times the decode
    canonical: str
    prefix: bytes

    @property
    def event(self) -> str:
        """The event type without its version: "turn"."""
        return self.name.partition(".")[0]


@cache
def schemas() -> Mapping[str, Schema]:
    """Every released schema by name, read once from the files of this package.

    Raises ContractError when two different texts share a fingerprint: the canonical form drops
    defaults, docs and logical types, so such a pair could not be told apart on the wire.
    """
    found: dict[str, Schema] = {}
    owners: dict[bytes, str] = {}
    for file in sorted((resources.files("schemas") / "avro").iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".avsc"):
            continue
        name, text = file.name.removesuffix(".avsc"), file.read_text()
        parsed = fastavro.parse_schema(json.loads(text))
        canonical = to_parsing_canonical_form(parsed)
        prefix = MAGIC + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
        if other := owners.get(prefix):
            raise ContractError(f"schemas {other} and {name} have one fingerprint; rename a field")
        owners[prefix] = name
        found[name] = Schema(name, text, parsed, canonical, prefix)
    return MappingProxyType(found)


@cache
def by_prefix() -> Mapping[bytes, Schema]:
    """Every released schema by the ten bytes its messages begin with."""
    return MappingProxyType({schema.prefix: schema for schema in schemas().values()})


def current(kind: type[Event]) -> Schema:
    """The schema version that `kind` is written with."""
    return schemas()[CURRENT[kind]]


def encode(event: Event) -> bytes:
    """The event as a message. Raises ContractError when a field does not fit its schema."""
    schema = current(type(event))
    out = BytesIO()
    out.write(schema.prefix)
    try:
        fastavro.schemaless_writer(out, schema.parsed, _TO_RECORD[type(event)](event))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ContractError(f"{schema.event} can't be encoded: {error}") from error
    return out.getvalue()


def schema_of(message: bytes) -> Schema:
    """The writer's schema of a message. Raises Undecodable or UnknownSchema."""
    if message[:2] != MAGIC or len(message) < PREFIX_BYTES:
        raise Undecodable(
            f"not a single-object Avro message: {len(message)} bytes, "
            f"beginning with {message[:4].hex() or 'nothing'}, expected {MAGIC.hex()}"
        )
    schema = by_prefix().get(message[:PREFIX_BYTES])
    if schema is None:
        raise UnknownSchema(
            f"no shipped schema has the fingerprint {message[2:PREFIX_BYTES].hex()}; "
            "was it written by a newer version?"
        )
    return schema


def decode_record(message: bytes) -> tuple[Schema, dict[str, Any]]:
    """The writer's schema and the record, in the current version's fields.

    The whole message must be used up. Raises Undecodable or UnknownSchema.
    """
    schema = schema_of(message)
    body = BytesIO(message)
    body.seek(PREFIX_BYTES)
    reader = schemas()[_CURRENT_NAME[schema.event]].parsed
    try:
        record = fastavro.schemaless_reader(body, schema.parsed, reader)
    except Exception as error:  # fastavro raises whatever the broken bytes lead it into
        raise Undecodable(
            f"not a {schema.name}: {type(error).__name__} at byte {body.tell()}"
        ) from error
    if (left := len(message) - body.tell()) != 0:
        raise Undecodable(f"not a {schema.name}: {left} bytes are left over after the record")
    return schema, cast(dict[str, Any], record)


def decode(message: bytes) -> Event:
    """The event in a message of any released version. Raises Undecodable or UnknownSchema."""
    schema, record = decode_record(message)
    try:
        return _FROM_RECORD[schema.event](record)
    except (ValueError, TypeError, KeyError) as error:
        raise Undecodable(f"not a {schema.name}: {error}") from error


def _millis(record: dict[str, Any]) -> int:
    # timestamp-millis arrives as an aware datetime; integer arithmetic keeps every millisecond
    at: datetime = record["occurred_at"]
    return round(at.timestamp() * 1000)


def _turn_record(turn: Turn) -> dict[str, Any]:
    return {name: getattr(turn, name) for name in Turn.__dataclass_fields__}


def _outcome_record(outcome: Outcome) -> dict[str, Any]:
    record = {name: getattr(outcome, name) for name in Outcome.__dataclass_fields__}
    record["scores"] = [{"metric": m, "value": v} for m, v in outcome.scores.items()]
    return record


def _configured_record(event: RouterConfigured) -> dict[str, Any]:
    return {name: getattr(event, name) for name in RouterConfigured.__dataclass_fields__}


def _promoted_record(event: GenerationPromoted) -> dict[str, Any]:
    record = {name: getattr(event, name) for name in GenerationPromoted.__dataclass_fields__}
    for name in ("starts", "offsets"):
        places = sorted(record[name].items())
        record[name] = [{"partition": partition, "offset": offset} for partition, offset in places]
    return record


def _progress_record(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in Progress.__dataclass_fields__}


def _snapshot_record(snapshot: Snapshot) -> dict[str, Any]:
    record = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
    return {**record, **pack_evidence(snapshot.evidence, snapshot.seen_ms)}


def _to_turn(record: dict[str, Any]) -> Turn:
    lists = {name: tuple(record[name]) for name in ("eligible", "reaction")}
    return Turn(**{**record, **lists, "occurred_at": _millis(record)})


def _to_outcome(record: dict[str, Any]) -> Outcome:
    scores = {score["metric"]: score["value"] for score in record["scores"]}
    signals = tuple(record["signals"])
    return Outcome(
        **{**record, "scores": scores, "signals": signals, "occurred_at": _millis(record)}
    )


def _to_configured(record: dict[str, Any]) -> RouterConfigured:
    return RouterConfigured(**{**record, "occurred_at": _millis(record)})


def _to_promoted(record: dict[str, Any]) -> GenerationPromoted:
    places = {
        name: {at["partition"]: at["offset"] for at in record[name]}
        for name in ("starts", "offsets")
    }
    return GenerationPromoted(**{**record, **places, "occurred_at": _millis(record)})


def _to_snapshot(record: dict[str, Any]) -> Snapshot:
    arms = record.pop("arms")
    evidence = unpack_evidence(arms, record.pop("evidence"))
    seen_ms = {arm: at for arm, at in zip(arms, record.pop("seen_ms"), strict=True) if at}
    return Snapshot(**record, seen_ms=seen_ms, evidence=evidence)


def _to_progress(record: dict[str, Any]) -> Progress:
    return Progress(**record)


_TO_RECORD: Final[Mapping[type[Event], Callable[[Any], dict[str, Any]]]] = {
    Turn: _turn_record,
    Outcome: _outcome_record,
    RouterConfigured: _configured_record,
    GenerationPromoted: _promoted_record,
    Snapshot: _snapshot_record,
    Progress: _progress_record,
}
_CURRENT_NAME: Final = {name.partition(".")[0]: name for name in CURRENT.values()}
_FROM_RECORD: Final[Mapping[str, Callable[[dict[str, Any]], Event]]] = {
    "turn": _to_turn,
    "outcome": _to_outcome,
    "router_configured": _to_configured,
    "generation_promoted": _to_promoted,
    "snapshot": _to_snapshot,
    "progress": _to_progress,
}
