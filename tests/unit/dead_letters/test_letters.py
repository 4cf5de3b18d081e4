"""Dead letters as people see them."""

from __future__ import annotations

import importlib
import json
import random
from datetime import UTC, datetime
from io import StringIO
from pkgutil import iter_modules
from typing import Any

import pytest
from rich.console import Console

import consumer
from routefold.dead_letters import render
from routefold.dead_letters.letters import Letter, LetterId, known_reasons
from routefold.errors import Misuse
from schemas.codec import encode
from tests.factories import T0, config, configured, outcome, turn, uuid7

RNG = random.Random(5)
TURN_ID = uuid7(T0, RNG)


def letter(**fields: Any) -> Letter:
    given: dict[str, Any] = {
        "id": LetterId(2, 345),
        "log_time_ms": T0,
        "key": b"k",
        "value": b"alien",
        "reason": "undecodable",
        "detail": "not a single-object Avro message",
        "redriven_at": None,
        "redriven_to": None,
        "reason_again": None,
        "folded_to": None,
        "redriven_from": None,
        **fields,
    }
    return Letter(**given)


def printed(table: object) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_an_id_reads_as_it_is_written() -> None:
    assert LetterId.parse("2:345") == (2, 345)
    assert str(LetterId(2, 345)) == "2:345"


@pytest.mark.parametrize("text", ["2", "2:", "2:-1", "a:b", "2:3:4", "", "9" * 30 + ":1"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(Misuse, match="PARTITION:OFFSET"):
        LetterId.parse(text)


REDRIVEN = {"redriven_at": datetime(2026, 1, 3, tzinfo=UTC), "redriven_to": LetterId(1, 7)}


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({}, "open"),
        (REDRIVEN, "waits to be folded at 1:7"),
        ({**REDRIVEN, "folded_to": 7}, "waits to be folded at 1:7"),
        ({**REDRIVEN, "folded_to": 8}, "folded at 1:7"),
        ({**REDRIVEN, "folded_to": 8, "reason_again": "wrong_key"}, "dead again as 1:7: wrong_key"),
        ({**REDRIVEN, "redriven_to": LetterId(1, -1), "folded_to": 8}, "redriven"),
    ],
)
def test_what_became_of_it(fields: dict[str, Any], fate: str) -> None:
    assert letter(**fields).fate == fate


def test_the_reasons_are_those_of_the_consumer() -> None:
    modules = [
        importlib.import_module(f"consumer.{m.name}") for m in iter_modules(consumer.__path__)
    ]
    reasons = {v for m in modules for name, v in vars(m).items() if name.startswith("REASON_")}
    assert {"undecodable", "wrong_key", "unknown_router", "invalid_config"} <= reasons
    assert known_reasons() == reasons


def test_an_event_is_shown_field_by_field() -> None:
    event = outcome(TURN_ID, TURN_ID, session_id="s", scores={"quality": 0.5}, signals=("retry",))
    shown = render.letter_json(letter(value=encode(event), key=event.key))
    assert json.loads(json.dumps(shown)) == shown
    assert shown["event"]["type"] == "Outcome"
    assert shown["event"]["scores"] == {"quality": 0.5}
    assert shown["event"]["signals"] == ["retry"]
    assert shown["event"]["turn_id"].startswith("0199c82c-c000-7")
    assert shown["event"]["occurred_at"] == "2025-10-09T08:53:20.100Z"
    assert shown["first_bytes"] is None
    text = printed(render.letter_table(letter(value=encode(event))))
    assert "Outcome" in text
    assert "quality" in text


@pytest.mark.parametrize("event", [turn(TURN_ID), configured(config())])
def test_every_kind_of_event_can_be_shown(event: Any) -> None:
    shown = render.letter_json(letter(value=encode(event)))
    assert shown["event"]["router"] == "r"
    assert "router" in printed(render.letter_table(letter(value=encode(event))))


@pytest.mark.parametrize("value", [None, b"", b"\xff alien"])
def test_bytes_that_are_no_event_are_shown_as_bytes(value: bytes | None) -> None:
    shown = render.letter_json(letter(value=value, key=None))
    assert shown["event"] is None
    assert shown["size_bytes"] == len(value or b"")
    assert shown["first_bytes"] == (value or b"").hex(" ")
    assert "can't be decoded" in printed(render.letter_table(letter(value=value, key=None)))


def test_what_publishers_wrote_is_no_markup() -> None:
    hostile = letter(detail="[red]router '[/x]' has not been configured[/red]")
    assert "[red]router '[/x]'" in printed(render.letters_table([hostile]))
    assert "[/x]" in printed(render.letter_table(hostile))


def test_a_time_that_no_calendar_knows() -> None:
    event = turn(TURN_ID, occurred_at=2**62)
    assert render.event_fields(event)["occurred_at"] == f"{2**62} ms"
