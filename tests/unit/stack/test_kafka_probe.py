"""The readiness probe against answers of all kinds."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routefold.stack.kafka_probe import cluster_id, parse_answer
from routefold.stack.ports import LOOPBACK


def _text(text: str | None) -> bytes:
    if text is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(text.encode())) + text.encode()


def _answer(brokers: int, identity: str | None, *, correlation_id: int = 7) -> bytes:
    one = struct.pack(">i", 1) + _text("127.0.0.1") + struct.pack(">i", 9092) + _text(None)
    tail = struct.pack(">ii", 1, 0)  # controller, no topics
    return struct.pack(">ii", correlation_id, brokers) + one * brokers + _text(identity) + tail


@given(st.integers(1, 5), st.text(max_size=30))
def test_the_cluster_id_follows_any_number_of_brokers(brokers: int, identity: str) -> None:
    assert parse_answer(_answer(brokers, identity)) == identity


def test_an_answer_without_brokers_is_not_ready() -> None:
    assert parse_answer(_answer(0, "id")) is None


def test_an_answer_to_another_question_is_none() -> None:
    assert parse_answer(_answer(1, "id", correlation_id=8)) is None


@given(st.binary(max_size=200))
def test_noise_is_never_an_error(noise: bytes) -> None:
    parse_answer(noise)
    parse_answer(_answer(1, "id")[:-10] + noise)


Serve = Callable[[bytes], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A listener that gives every visitor the same bytes, and hangs up."""
    with ExitStack() as stack:

        def start(answer: bytes) -> int:
            server = stack.enter_context(socket.create_server((LOOPBACK, 0)))

            def run() -> None:
                visitor, _ = server.accept()
                with visitor:
                    visitor.recv(1024)
                    visitor.sendall(answer)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            return int(server.getsockname()[1])

        yield start


def test_a_whole_answer_is_read(serve: Serve) -> None:
    answer = _answer(1, "abc")
    assert cluster_id(LOOPBACK, serve(struct.pack(">i", len(answer)) + answer)) == "abc"


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">i", 100) + b"short", b"\xff" * 4],
)
def test_what_is_not_kafka_is_none(serve: Serve, answer: bytes) -> None:
    assert cluster_id(LOOPBACK, serve(answer)) is None


def test_nobody_there_is_none() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    assert cluster_id(LOOPBACK, port) is None
