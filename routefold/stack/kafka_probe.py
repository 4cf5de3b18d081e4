"""Asks a broker which cluster it is: an open port isn't yet a broker that serves, nor ours.

One request written by hand (Metadata v2, Apache Kafka's protocol guide) instead of a client: a
client is asynchronous, retries, and logs what is normal here, that nobody answers yet.
"""

from __future__ import annotations

import socket
import struct

_METADATA, _VERSION, _CORRELATION_ID = 3, 2, 7
_CLIENT_ID = b"routefold-probe"
_NO_TOPICS = 0
_REQUEST = struct.pack(
    f">hhih{len(_CLIENT_ID)}si",
    _METADATA,
    _VERSION,
    _CORRELATION_ID,
    len(_CLIENT_ID),
    _CLIENT_ID,
    _NO_TOPICS,
)
_LARGEST_ANSWER_BYTES = 65_536  # a program that isn't Kafka may send anything


def cluster_id(host: str, port: int, *, timeout_s: float = 2.0) -> str | None:
    """The id of the cluster that serves there; None if none does, or only fenced brokers."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            size_bytes = int.from_bytes(_read(connection, 4))
            if size_bytes > _LARGEST_ANSWER_BYTES:
                return None
            return parse_answer(_read(connection, size_bytes))
    except OSError:
        return None


def parse_answer(answer: bytes) -> str | None:
    """The cluster id in a Metadata v2 response; None if it is none, or names no broker."""
    try:
        correlation_id, brokers = struct.unpack_from(">ii", answer)
        position = 8
        for _ in range(brokers):
            position += 4  # node id
            position = _skip_text(answer, position)  # host
            position += 4  # port
            position = _skip_text(answer, position)  # rack
        end = _skip_text(answer, position)
        text = answer[position + 2 : end].decode()
    except (struct.error, UnicodeDecodeError):
        return None
    return text if correlation_id == _CORRELATION_ID and brokers > 0 else None


def _skip_text(answer: bytes, position: int) -> int:
    """The position after a nullable string: 16-bit length, -1 for null."""
    (length,) = struct.unpack_from(">h", answer, position)
    return position + 2 + max(0, int(length))


def _read(connection: socket.socket, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        chunk = connection.recv(size_bytes - len(data))
        if not chunk:
            raise ConnectionError("closed in the middle of an answer")
        data += chunk
    return data
