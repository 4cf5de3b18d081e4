"""Logs written by the test, and where to find the shared ones."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.play.doubles import Row

WriteLog = Callable[..., Path]


@pytest.fixture
def write_log(tmp_path: Path) -> WriteLog:
    """Writes rows as a log, gzipped where the name says so."""

    def write(rows: Sequence[Row], name: str = "log.jsonl") -> Path:
        path = tmp_path / name
        data = "".join(json.dumps(each) + "\n" for each in rows).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=100)


@pytest.fixture
def shared_logs() -> list[Path]:
    """The recorded logs beside the repository, or in ROUTEFOLD_TEST_DATA."""
    sibling = Path(__file__).parents[4] / "shared" / "data"
    folder = Path(os.environ.get("ROUTEFOLD_TEST_DATA", sibling))
    found = sorted(folder.glob("routing_*.jsonl.gz"))
    if not found:
        pytest.skip(f"no routing_*.jsonl.gz in {folder}; set ROUTEFOLD_TEST_DATA to their folder")
    return found
