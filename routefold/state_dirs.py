"""State directories inside the state directory, for installations of their own (demo, play)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from routefold.stack.errors import StateInUse
from routefold.stack.state import StateDir


def nested(parent: Path, name: str) -> Path:
    """`parent`/`name`, with `parent` made a state directory first: a plain directory with something
    in it would later be refused, so `up` could never use it.

    Raises StateBroken, NotAStateDir.
    """
    with suppress(StateInUse):  # then it is one
        StateDir.open(parent).close()
    return parent / name
