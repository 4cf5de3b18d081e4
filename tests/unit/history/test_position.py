"""Points of the log, as people write them."""

from __future__ import annotations

import pytest

from routefold.errors import Misuse
from routefold.history import OffsetRange, Position

NOON_MS = 1_767_441_600_000  # 2026-01-03T12:00:00Z


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2026-01-03T12:00:00Z", NOON_MS),
        ("2026-01-03T13:00:00+01:00", NOON_MS),
        ("2026-01-03T12:00:00.250Z", NOON_MS + 250),
        ("2026-01-03", NOON_MS - 12 * 3_600_000),
    ],
)
def test_times(text: str, time_ms: int) -> None:
    assert Position.parse(text) == Position(time_ms=time_ms)


def test_offsets() -> None:
    assert Position.parse("0:1200,3:7") == Position(offsets={0: 1200, 3: 7})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "neither a time"),
        ("2026-01-03T12:00:00", "no time zone"),
        ("0:1,0:2", "twice"),
        ("0:-1", "neither a time"),
        ("", "neither a time"),
    ],
)
def test_what_is_no_position(text: str, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        Position.parse(text)


@pytest.mark.parametrize("text", ["2026-01-03T12:00:00.000Z", "0:1200,3:7"])
def test_a_position_reads_as_it_was_written(text: str) -> None:
    assert str(Position.parse(text)) == text


def test_a_position_is_one_thing() -> None:
    with pytest.raises(ValueError, match="either"):
        Position()
    with pytest.raises(ValueError, match="either"):
        Position(time_ms=1, offsets={})


def test_a_range_has_a_length() -> None:
    assert len(OffsetRange(5, 9)) == 4
    assert len(OffsetRange(9, 5)) == 0
