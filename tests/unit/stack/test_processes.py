"""Children die with their parent, by real signals to real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from routefold.stack import processes

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def _wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> bool:
    """True once it holds. The time bounds a hang on the slowest machine, and is no claim."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[processes.Process]:
    log_path = tmp_path / "log"
    process = processes.spawn(SLEEPER, log_path=log_path, cwd=tmp_path)
    assert _wait_for(lambda: log_path.read_text() == "up\n")
    yield process
    process.kill()
    process.wait()


@linux_only
@pytest.mark.parametrize("death_signal", [signal.SIGKILL, signal.SIGQUIT])
def test_a_child_dies_when_its_parent_is_killed(
    tmp_path: Path, death_signal: signal.Signals
) -> None:
    """Also where the parent ignores that signal, as a shell's background job does SIGQUIT."""
    program = f"""
        import signal, time
        from pathlib import Path
        from routefold.stack.processes import spawn
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)
        here = Path({str(tmp_path)!r})
        child = spawn({SLEEPER!r}, log_path=here / "log", cwd=here,
                      death_signal=signal.{death_signal.name})
        print(child.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _wait_for(lambda: processes.tail(tmp_path / "log") == "up")
        parent.kill()
    assert _wait_for(lambda: not _is_running(child))


@linux_only
def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG watches the thread that forked, not the process."""
    started: list[processes.Process] = []

    def start() -> None:
        started.append(processes.spawn(SLEEPER, log_path=tmp_path / "log", cwd=tmp_path))
        assert _wait_for(lambda: processes.tail(tmp_path / "log") == "up")

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(0.3)
    started[0].kill()
    started[0].wait()


def test_a_child_has_a_session_of_its_own(sleeper: processes.Process) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_a_program_that_is_not_there_shows_in_code_and_log(tmp_path: Path) -> None:
    process = processes.spawn([tmp_path / "absent"], log_path=tmp_path / "log", cwd=tmp_path)
    assert process.wait(20) != 0
    assert "absent" in processes.tail(tmp_path / "log") or "No such file" in processes.tail(
        tmp_path / "log"
    )


def test_processes_are_found_by_whole_arguments(sleeper: processes.Process) -> None:
    assert sleeper.pid in processes.running_with("-c", SLEEPER[2])
    assert sleeper.pid not in processes.running_with(SLEEPER[2][:-1])
    assert sleeper.pid not in processes.running_with(SLEEPER[2], "another")


def test_kill_takes_the_whole_family(tmp_path: Path) -> None:
    child_program = f"import subprocess; subprocess.run({SLEEPER!r})"
    process = processes.spawn(
        [sys.executable, "-c", child_program], log_path=tmp_path / "log", cwd=tmp_path
    )
    assert _wait_for(lambda: processes.tail(tmp_path / "log") == "up")
    family = processes.family(process.pid)
    assert len(family) == 2
    processes.kill(family)
    assert not any(_is_running(member.pid) for member in family)
    process.wait()
    assert processes.family(process.pid) == []
    processes.kill(family)  # nothing left, no error


def test_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.tail(log) == ""
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(10_000)) + b"\xff end")
    assert processes.tail(log, lines=2) == "line 9999\n\ufffd end"
