"""Reads labelled conversations: JSON Lines, gzip allowed, one conversation a line.

A line is {"messages": [...], "success": 0 or 1, "src": "...", "task": "..."}: messages in OpenAI's
or Anthropic's form; `src` (where it comes from) and `task` (what it was about) may be left out.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from producer.calibration import Observed, observe
from routefold.errors import Misuse

_GZIP_MAGIC: Final = b"\x1f\x8b"
_OUTCOMES: Final = {0: False, 1: True}


def read_conversations(path: Path) -> Iterator[Observed]:
    """The conversations of a file, without their text.

    Raises Misuse that names the file, the line and what to do.
    """
    number = 0
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        with gzip.open(path) if compressed else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _conversation(f"{path}:{number}", line)
    except (OSError, EOFError, zlib.error) as error:
        raise Misuse(f"{path}: can't be read behind line {number} ({error})") from None


def _conversation(where: str, line: bytes) -> Observed:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Misuse(f"{where}: not JSON ({error}); each line must be one JSON object") from None
    if not isinstance(row, dict):
        raise Misuse(f"{where}: each line must be one JSON object")
    messages, success = row.get("messages"), row.get("success")
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
        raise Misuse(f'{where}: "messages" must be a list of chat messages')
    if not isinstance(success, int | float) or success not in _OUTCOMES:
        raise Misuse(f'{where}: "success" must be 0 or 1, got {str(success)[:40]!r}')
    return observe(messages, _OUTCOMES[int(success)], _text(row, "src"), _text(row, "task"))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)
