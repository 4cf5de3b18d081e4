"""TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from routefold.stack.errors import StackError

LOOPBACK = "127.0.0.1"

# Below every system's range for outgoing connections. A port from that range (as bind(0) gives) can
# be taken by a client's own socket while the server restarts; a client that retries in a loop can
# even connect to itself.
CANDIDATES = range(20_000, 30_000)
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now. Servers set SO_REUSEADDR, so this does too."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(preferred: int | None, avoid: Collection[int] = ()) -> int:
    """`preferred` if it is free and not in `avoid`, else a free port drawn from CANDIDATES.

    Drawn at random, so that stacks started at the same time rarely meet; another program may still
    take the port before the server does.
    """
    if preferred is not None and preferred not in avoid and is_free(preferred):
        return preferred
    for port in random.sample(CANDIDATES, _TRIES):
        if port not in avoid and is_free(port):
            return port
    raise StackError(
        f"none of {_TRIES} ports tried in {CANDIDATES.start}-{CANDIDATES.stop - 1} on {LOOPBACK} "
        "is free: close the programs that listen there."
    )
