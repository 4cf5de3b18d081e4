"""A stack in a directory of its own, below a directory that only its owner may enter."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from routefold.stack import LocalStack

MakeStack = Callable[..., LocalStack]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "state with space, comma and é"


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack for tests that only look."""
    with LocalStack(tmp_path_factory.mktemp("running") / "state", durable=False) as stack:
        yield stack


@pytest.fixture(scope="module")
def used_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("used") / "state"
    with LocalStack(path, durable=False):
        pass
    return path


@pytest.fixture
def used_state_dir(used_template: Path, state_dir: Path) -> Path:
    """`state_dir` as a stack left it that ran and was stopped (at another place)."""
    subprocess.run(["cp", "-a", used_template, state_dir], check=True)  # keeps owners
    return state_dir


@pytest.fixture
def make_stack(state_dir: Path) -> Iterator[MakeStack]:
    """Stacks on `state_dir`, stopped at the end of the test. Not durable unless asked."""
    with ExitStack() as cleanup:

        def make(*, durable: bool = False, **broker_overrides: str) -> LocalStack:
            overrides = {name.replace("_", "."): value for name, value in broker_overrides.items()}
            stack = LocalStack(state_dir, durable=durable, broker_overrides=overrides)
            cleanup.callback(stack.stop)
            return stack

        yield make
