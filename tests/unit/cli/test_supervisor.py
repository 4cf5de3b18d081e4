"""Child processes: watched, guarded, stopped together; real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from routefold.errors import ChildDied
from routefold.supervisor import Child, Supervisor, describe_exit

StartChild = Callable[..., psutil.Process]


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path)


@pytest.fixture
def start(supervisor: Supervisor, tmp_path: Path) -> StartChild:
    """Starts a Python program under the supervisor, and waits until it says "ready"."""

    def start(code: str, name: str = "child") -> psutil.Process:
        log_path = tmp_path / f"{name}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", f"{code}\n"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        supervisor.adopt(Child(name, process, log_path))
        while b"ready" not in log_path.read_bytes() and process.poll() is None:
            time.sleep(0.01)
        return psutil.Process(process.pid)

    return start


SLEEPER = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


async def test_stop_ends_willing_and_deaf_children(
    supervisor: Supervisor, start: StartChild
) -> None:
    children = [start(SLEEPER, "willing"), start(DEAF, "deaf")]
    await supervisor.stop(deadline_s=0.5)
    assert not any(child.is_running() for child in children)
    await supervisor.stop()  # idempotent


async def test_a_child_that_ends_is_reported_with_its_last_lines(
    supervisor: Supervisor, start: StartChild
) -> None:
    start(SLEEPER, "healthy")
    start("print('ready'); print('it broke'); raise SystemExit(3)", "broken")
    with pytest.raises(ChildDied, match=r"`routefold broken` ended with code 3") as caught:
        await supervisor.watch()
    assert caught.value.detail is not None
    assert "it broke" in caught.value.detail
    await supervisor.stop()


async def test_guard_gives_the_result_of_the_work(
    supervisor: Supervisor, start: StartChild
) -> None:
    start(SLEEPER)

    async def work() -> int:
        return 42

    assert await supervisor.guard(work()) == 42
    await supervisor.stop()


async def test_guard_ends_the_work_when_a_child_dies(
    supervisor: Supervisor, start: StartChild
) -> None:
    child = start(SLEEPER)
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    asyncio.get_running_loop().call_later(0.05, child.kill)
    with pytest.raises(ChildDied, match="SIGKILL"):
        await supervisor.guard(work())
    assert cancelled.is_set()


async def test_a_cancelled_guard_lets_the_work_answer(
    supervisor: Supervisor, start: StartChild
) -> None:
    start(SLEEPER)

    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "interrupted"
        return "done"

    task = asyncio.ensure_future(supervisor.guard(work()))
    await asyncio.sleep(0.05)
    task.cancel()
    assert await task == "interrupted"
    await supervisor.stop()


async def test_our_own_program_is_started_with_the_environment_given(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start("consume", ["consume"], {"PATH": os.environ["PATH"]})
    with pytest.raises(ChildDied, match="ended with code 2") as caught:
        await supervisor.watch()
    assert "ROUTEFOLD_BOOTSTRAP_SERVERS" in str(caught.value.detail)
    assert (tmp_path / "consume.log").exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with code 0"), (-9, "was killed by SIGKILL"), (-99, "was killed by signal 99")],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
