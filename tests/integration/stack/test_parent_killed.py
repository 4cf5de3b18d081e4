"""kill -9 of the process that runs the stack."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from routefold.stack import LocalStack
from routefold.stack.errors import StateInUse
from routefold.stack.state import wipe

pytestmark = pytest.mark.integration

MakeStack = Callable[..., LocalStack]
PROGRAM = """
    import json, sys, threading, time
    from pathlib import Path
    from routefold.stack import LocalStack

    stack = LocalStack(Path(sys.argv[1]))
    # From a thread that ends: the servers belong to the process, not to whoever asked for them.
    starter = threading.Thread(target=stack.start)
    starter.start()
    starter.join()
    print(json.dumps({"dsn": stack.endpoints.postgres_dsn,
                      "pids": [stack.kafka.pid, stack.postgres.pid]}), flush=True)
    time.sleep(600)
"""


def _family(pids: list[int]) -> list[psutil.Process]:
    processes = [psutil.Process(pid) for pid in pids]
    return [*processes, *(child for process in processes for child in process.children())]


def _running_on(directory: Path) -> list[list[str]]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(directory) in " ".join(command):
            found.append(command)
    return found


@pytest.fixture
def parent(state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(state_dir)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_nothing_is_left_and_the_next_start_has_the_data(
    parent: subprocess.Popen[str], make_stack: MakeStack, state_dir: Path
) -> None:
    assert parent.stdout is not None
    told = json.loads(parent.stdout.readline())
    with psycopg.connect(told["dsn"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'row' AS value")
    with pytest.raises(StateInUse, match=f"process {parent.pid}"):
        make_stack().start()
    servers = _family(told["pids"])
    assert len(servers) > 2

    parent.kill()
    parent.wait()
    psutil.wait_procs(servers, timeout=20)
    assert not [process for process in servers if process.is_running()]

    endpoints = make_stack().start()
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [("row",)]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("delay_s", [0.3, 0.6, 1.0, 1.5, 2.2])
def test_a_kill_at_any_moment_of_the_first_start(
    parent: subprocess.Popen[str], make_stack: MakeStack, state_dir: Path, delay_s: float
) -> None:
    time.sleep(delay_s)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _running_on(state_dir) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _running_on(state_dir) == []
    endpoints = make_stack().start()
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("SELECT 1")


def test_servers_that_outlived_their_parent_are_stopped_by_the_next_start(
    make_stack: MakeStack, state_dir: Path
) -> None:
    """As on systems without PR_SET_PDEATHSIG: live servers, and nobody holds the lock."""
    orphaned = make_stack()
    orphaned.start()
    servers = _family([orphaned.kafka.pid, orphaned.postgres.pid])
    assert orphaned._state is not None
    orphaned._state.close()

    heir = make_stack()
    heir.start()
    assert not [
        process
        for process in servers
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    heir.stop()
    wipe(state_dir)
