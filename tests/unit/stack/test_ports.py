"""Free ports, tried against real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from routefold.stack.ports import CANDIDATES, LOOPBACK, choose, is_free


@pytest.fixture(params=[LOOPBACK, "0.0.0.0"])
def taken_port(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.create_server((request.param, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_a_port_is_free_again_after_its_server_closed_with_clients_connected() -> None:
    server = socket.create_server((LOOPBACK, 0))
    port = server.getsockname()[1]
    client = socket.create_connection((LOOPBACK, port))
    accepted, _ = server.accept()
    accepted.close()  # the server's side closes first, and is left in TIME_WAIT
    client.close()
    server.close()
    assert is_free(port)


def test_the_preferred_port_is_kept_when_free() -> None:
    port = choose(None)
    assert choose(port) == port


def test_another_is_found_when_the_preferred_one_is_taken(taken_port: int) -> None:
    port = choose(taken_port)
    assert port != taken_port
    assert port in CANDIDATES
    assert is_free(port)


def test_ports_to_avoid_are_avoided() -> None:
    port = choose(None)
    assert choose(port, avoid={port}) != port
