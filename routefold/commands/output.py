"""What commands print: results on standard output, progress on standard error."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console, RenderableType

from routefold.errors import Failure

# A pipe has no width; 80 columns would break tables that a log file has room for.
_PIPE_COLUMNS: Final = 120


def console(*, stderr: bool = False) -> Console:
    """A console that writes plain text, wide enough for the tables, where it isn't a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def say(text: str) -> None:
    """A line of progress for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """A JSON document on standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False), flush=True)


def answer(text: RenderableType, document: Any, json_file: Path | None) -> None:
    """The text, unless the document is to be printed; the document into its file. Raises
    Failure."""
    if json_file != Path("-"):
        console().print(text)
    if json_file is not None:
        write_json(json_file, document)


def write_json(file: Path, document: Any) -> None:
    """A JSON document into a file; `-` is standard output. Raises Failure."""
    if file == Path("-"):
        print_json(document)
        return
    try:
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise Failure(f"{file} can't be written ({error.strerror})") from error
