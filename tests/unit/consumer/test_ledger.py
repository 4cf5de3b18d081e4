"""A turn's ledger as bytes, and COPY's format for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.copy_binary import pack
from consumer.ledger import Fact, Ledger, Record, cell_tag
from consumer.ragged import Ragged, interleave

IDS = st.binary(min_size=16, max_size=16)
TAGS = st.integers(0, 2**64 - 1)
FACTS = st.dictionaries(
    st.integers(0, 62), st.tuples(TAGS, st.integers(0, 2**31 - 1)), max_size=4
).map(lambda facts: {code: Fact(cell, code, fixed) for code, (cell, fixed) in facts.items()})
RECORDS = st.builds(Record, FACTS, FACTS).filter(lambda each: each.counted or each.waiting)
LEDGERS = st.builds(Ledger, st.dictionaries(IDS, RECORDS, max_size=4), st.sets(IDS, max_size=4))


@given(LEDGERS)
def test_what_is_written_is_read(ledger: Ledger) -> None:
    read = Ledger.read(ledger.to_bytes())
    assert read == ledger
    assert list(read.records) == list(ledger.records)


@given(LEDGERS, LEDGERS)
def test_appending_adds_outcomes(one: Ledger, other: Ledger) -> None:
    both = Ledger.read(one.to_bytes() + other.to_bytes())
    assert both.voided == one.voided | other.voided
    assert list(both.records) == list({**one.records, **other.records})


def test_the_bytes_are_as_documented() -> None:
    fact = Fact(cell=1, code=3, fixed=640)
    ledger = Ledger({b"a" * 16: Record({3: fact}, {4: fact._replace(code=4)})}, {b"v" * 16})
    cell = (1).to_bytes(8, "big")
    assert ledger.to_bytes() == b"".join(
        [
            *(b"a" * 16, cell, b"\x01", b"\x03", (640).to_bytes(4, "big")),
            *(b"a" * 16, cell, b"\x41", b"\x04", (640).to_bytes(4, "big")),
            *(b"v" * 16, bytes(8), b"\xff"),
        ]
    )


def test_the_name_of_a_cell_never_changes() -> None:
    assert cell_tag("r", "general", "a") == 0xF2E2_E263_1C04_72D4
    assert cell_tag("r", "general", "a") != cell_tag("r", "generala", "")


@given(st.lists(st.binary(max_size=9), max_size=6), st.data())
def test_strings_of_any_length_side_by_side(strings: list[bytes], data: st.DataObject) -> None:
    lengths = np.array([len(each) for each in strings], dtype=np.int64)
    ragged = Ragged(lengths, np.frombuffer(b"".join(strings), dtype=np.uint8))
    assert ragged.to_list() == strings
    which = np.array([data.draw(st.booleans()) for _ in strings], dtype=np.bool_)
    chosen = [each for each, wanted in zip(strings, which, strict=True) if wanted]
    assert ragged.where(which).to_list() == chosen
    heads = np.arange(2 * len(strings), dtype=np.uint8).reshape(-1, 2)
    expected = b"".join(bytes(head) + each for head, each in zip(heads, strings, strict=True))
    assert interleave(heads, ragged.data, lengths).tobytes() == expected


def test_a_bytea_is_the_last_column_of_a_row() -> None:
    two = Ragged(np.array([0, 3]), np.frombuffer(b"abc", dtype=np.uint8))
    stream = pack(int4_place=np.array([1, 2]), bytea=two)
    rows = stream[19:-2]
    assert rows.hex(" ") == (
        "00 02 00 00 00 04 00 00 00 01 00 00 00 00 "
        "00 02 00 00 00 04 00 00 00 02 00 00 00 03 61 62 63"
    )


@pytest.mark.parametrize("cut", [1, 10, 24])
def test_a_ledger_that_breaks_off_is_an_error(cut: int) -> None:
    data = Ledger({}, {b"v" * 16}).to_bytes()
    with pytest.raises(Exception, match="unpack_from requires"):
        Ledger.read(data[:cut])
