"""Sessions that come once leave nothing behind: memory stays flat, and a turn costs the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.pipeline import table
from tests.guards import one_shot_sessions
from tests.guards.one_shot_sessions import STEP_MS, TENTHS, WINDOW_S

ROOT = Path(__file__).parents[2]
SESSIONS = 1_000_000
# Nearly four times what the writer's caches hold; `make bench BENCH=fold` goes to a million.
WRITTEN = 500_000
# Caches of fixed size fill in the first three tenths.
WARM_UP = 3
# A minute on two idle cores; a machine with other work needs several times as long.
pytestmark = pytest.mark.timeout(600)


def tenths(sessions: int, *arguments: str) -> list[dict[str, float]]:
    """What the program says of each tenth."""
    command = [sys.executable, "-m", one_shot_sessions.__name__, str(sessions), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_flat(found: list[dict[str, float]]) -> None:
    """Memory within 10 %. Time is the process's own: another one may take the machine's."""
    assert len(found) == TENTHS
    warm = found[WARM_UP:]
    resident = [each["rss"] for each in warm]
    assert max(resident) < 1.1 * resident[0]
    assert min(resident) > 0.9 * resident[0]
    assert found[-1]["cpu_s"] < 2 * found[0]["cpu_s"]


def test_a_replica_keeps_nothing_of_a_million_sessions() -> None:
    assert_flat(tenths(SESSIONS))


@pytest.mark.integration
def test_a_writer_forgets_sessions_that_came_once(database: str) -> None:
    assert_flat(tenths(WRITTEN, database))
    [(folded,)] = table(database, "SELECT folded FROM partition_progress")
    assert folded == WRITTEN
    within_the_window = WINDOW_S * 1000 / STEP_MS + 1
    for name in ("turn_states", "sessions"):
        [(rows,)] = table(database, f"SELECT count(*) FROM {name}")
        assert rows == within_the_window
