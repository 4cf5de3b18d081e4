"""Dead letters for people and as JSON. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from rich.table import Table
from rich.text import Text

from routefold.dead_letters.letters import Letter
from routefold.dead_letters.redrive import Redriven
from routefold.dead_letters.store import ReasonCount
from schemas.codec import Event

# Of bytes that can't be decoded; enough to recognise whose they are.
_SHOWN_BYTES: Final = 48


def counts_table(counts: Sequence[ReasonCount]) -> Table:
    """Letters by reason."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("reason", no_wrap=True)
    for name in ("letters", "open"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    for count in counts:
        times = (_time(ms) for ms in (count.first_ms, count.last_ms))
        table.add_row(count.reason, f"{count.letters:,}", f"{count.open:,}", *times)
    return table


def letters_table(letters: Sequence[Letter]) -> Table:
    """One line a letter."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "appended", "reason"):
        table.add_column(name, no_wrap=True)
    table.add_column("detail", overflow="ellipsis", no_wrap=True, max_width=60)
    table.add_column("what became of it", overflow="fold")
    for letter in letters:
        # Details hold what publishers wrote; rich must not take it for markup.
        cells = (
            str(letter.id),
            _time(letter.log_time_ms),
            letter.reason,
            letter.detail,
            letter.fate,
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def letter_table(letter: Letter) -> Table:
    """All that is known of one letter."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in letter_json(letter).items():
        if name == "event":
            continue
        if value is not None:
            table.add_row(name.replace("_", " "), Text(str(value)))
    event = letter.event()
    if event is None:
        table.add_row("event", "can't be decoded")
        return table
    table.add_row("event", type(event).__name__)
    for name, value in event_fields(event).items():
        table.add_row(f"  {name}", Text(str(value)))
    return table


def counts_json(counts: Sequence[ReasonCount]) -> dict[str, Any]:
    return {
        count.reason: {
            "letters": count.letters,
            "open": count.open,
            "first_at": _time(count.first_ms),
            "last_at": _time(count.last_ms),
        }
        for count in counts
    }


def letter_json(letter: Letter) -> dict[str, Any]:
    """Every field of a letter, JSON-ready; `event` is null where it can't be decoded."""
    event = letter.event()
    value = letter.value or b""
    return {
        "id": str(letter.id),
        "reason": letter.reason,
        "detail": letter.detail,
        "fate": letter.fate,
        "appended_at": _time(letter.log_time_ms),
        "redriven_at": letter.redriven_at.isoformat() if letter.redriven_at else None,
        "redriven_to": str(letter.redriven_to) if letter.redriven_to else None,
        "redriven_from": str(letter.redriven_from) if letter.redriven_from else None,
        "key": letter.key.decode(errors="backslashreplace") if letter.key is not None else None,
        "size_bytes": len(value),
        "first_bytes": value[:_SHOWN_BYTES].hex(" ") if event is None else None,
        "event": {"type": type(event).__name__, **event_fields(event)} if event else None,
    }


def event_fields(event: Event) -> dict[str, Any]:
    """The fields of an event, JSON-ready: ids as UUIDs, times as RFC 3339."""
    return {
        field.name: _field(field.name, getattr(event, field.name))
        for field in dataclasses.fields(event)
    }


def _field(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == 16 else value.hex()
    if name == "occurred_at":
        return _time(value)
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def redriven_json(redriven: Redriven) -> dict[str, Any]:
    return {
        "redriven": {str(letter): str(new) for letter, new in redriven.published.items()},
        "refused": {str(letter): reason for letter, reason in redriven.refused.items()},
    }


def _time(time_ms: int) -> str:
    try:
        at = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # no calendar knows it: show what was said
        return f"{time_ms} ms"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
