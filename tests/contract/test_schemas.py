"""The wire contract: golden bytes, one fingerprint a schema, every version reads every other."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import (
    CURRENT,
    MAGIC,
    by_prefix,
    decode,
    decode_record,
    encode,
    schema_of,
    schemas,
)
from schemas.errors import ContractError, Undecodable, UnknownSchema
from tests.contract.golden import EXAMPLES, FILE

GOLDEN: dict[str, str] = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_released_schema_has_a_golden_message(name: str) -> None:
    assert decode(bytes.fromhex(GOLDEN[name])) == EXAMPLES[name]


@pytest.mark.parametrize("name", sorted(CURRENT.values()))
def test_the_bytes_written_today_are_the_golden_ones(name: str) -> None:
    assert encode(EXAMPLES[name]).hex() == GOLDEN[name]


def test_the_framing_is_that_of_the_avro_specification() -> None:
    """Single-object encoding: C3 01, then CRC-64-AVRO, little endian ("int": 8f5c393f1ad57572)."""
    for name, message in GOLDEN.items():
        raw = bytes.fromhex(message)
        fingerprint = fastavro.schema.fingerprint(schemas()[name].canonical, "CRC-64-AVRO")
        assert raw[:2] == b"\xc3\x01"
        assert raw[2:10].hex() == fingerprint


def test_no_two_schema_texts_share_a_fingerprint() -> None:
    assert len(by_prefix()) == len(schemas())


PAIRS = [
    (writer, reader)
    for writer, reader in itertools.product(schemas().values(), repeat=2)
    if writer.event == reader.event
]


@pytest.mark.parametrize(("writer", "reader"), PAIRS, ids=lambda schema: schema.name)
def test_every_version_reads_every_version(writer: Any, reader: Any) -> None:
    """FULL_TRANSITIVE: routers and consumers are upgraded in any order, and topics are replayed."""
    body = io.BytesIO(bytes.fromhex(GOLDEN[writer.name])[10:])
    record = fastavro.schemaless_reader(body, writer.parsed, reader.parsed)
    assert body.read() == b""
    again = io.BytesIO()
    fastavro.schemaless_writer(again, reader.parsed, record)
    assert again.getvalue()


@given(st.binary(max_size=200))
def test_alien_bytes_are_refused_with_a_contract_error(data: bytes) -> None:
    with pytest.raises((Undecodable, UnknownSchema)):
        decode(data)


@given(st.sampled_from(sorted(GOLDEN)), st.binary(max_size=64), st.integers(0, 200))
def test_damaged_messages_never_raise_anything_else(name: str, noise: bytes, at: int) -> None:
    message = bytes.fromhex(GOLDEN[name])
    damaged = message[: 10 + at] + noise + message[10 + at + len(noise) :]
    with contextlib.suppress(ContractError):
        decode(damaged)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_message_is_used_up_or_refused(name: str) -> None:
    message = bytes.fromhex(GOLDEN[name])
    with pytest.raises(Undecodable, match="left over"):
        decode_record(message + b"\0")
    with pytest.raises(Undecodable):
        decode_record(message[:-1])


def test_a_newer_schema_is_named_as_such() -> None:
    with pytest.raises(UnknownSchema, match="newer version"):
        schema_of(MAGIC + bytes(8) + b"body")
