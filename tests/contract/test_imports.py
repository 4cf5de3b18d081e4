"""The table of rooms in CONTRIBUTING: who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_go_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_schemas_know_nothing_of_ours() -> None:
    code = "import schemas.codec, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    rooms = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert not rooms & {"producer", "consumer", "router_api", "routefold", "aiokafka", "psycopg"}
