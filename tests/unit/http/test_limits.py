"""The body limit holds whatever length a request declares, and nothing more is read."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from router_api.http.limits import MAX_BODY_BYTES, BodyLimit
from router_api.http.problems import Problem


class Upload:
    """A client that sends `chunks`; counts what was taken from it."""

    def __init__(self, chunks: Iterable[bytes], declared: bytes | None = None) -> None:
        self.scope: Scope = {
            "type": "http",
            "headers": [(b"content-length", declared)] if declared is not None else [],
        }
        self.chunks = iter(chunks)
        self.chunks_read = 0

    async def receive(self) -> Message:
        chunk = next(self.chunks, None)
        self.chunks_read += chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}


async def read(upload: Upload) -> bytes:
    """What an application behind the limit gets."""
    got = b""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal got
        got = await Request(scope, receive).body()

    async def send(message: Message) -> None:
        raise AssertionError(f"the limit answers nothing itself, but sent {message['type']}")

    await BodyLimit(application)(upload.scope, upload.receive, send)
    return got


async def test_a_body_of_exactly_the_limit_passes() -> None:
    upload = Upload([b"x" * MAX_BODY_BYTES], declared=str(MAX_BODY_BYTES).encode())
    assert len(await read(upload)) == MAX_BODY_BYTES


async def test_a_declared_excess_is_refused_before_anything_is_read() -> None:
    upload = Upload([b"x"], declared=str(MAX_BODY_BYTES + 1).encode())
    with pytest.raises(Problem) as caught:
        await read(upload)
    assert caught.value.status_code == 413
    assert upload.chunks_read == 0


@pytest.mark.parametrize("declared", [None, b"10", b"0", b"-1", b"many", b"9" * 30, b"\xb2"])
async def test_what_arrives_is_counted_whatever_is_declared(declared: bytes | None) -> None:
    endless = (b"x" * 65_536 for _ in range(1_000))
    upload = Upload(endless, declared=declared)
    with pytest.raises(Problem) as caught:
        await read(upload)
    assert caught.value.status_code == 413
    assert upload.chunks_read <= MAX_BODY_BYTES // 65_536 + 1


async def test_each_request_has_its_own_count() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def send(message: Message) -> None: ...

    limited = BodyLimit(application, max_bytes=10)
    for _ in range(3):
        upload = Upload([b"x" * 8])
        await limited(upload.scope, upload.receive, send)
        assert upload.chunks_read == 1
