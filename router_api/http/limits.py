"""No request may make the server hold more than a fixed number of body bytes."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router_api.http.problems import BODY_TOO_LARGE, Problem

# A batch of 1,000 outcomes is about 400 kB; a long conversation reaches a few hundred kB.
MAX_BODY_BYTES: Final = 1024 * 1024


class BodyLimit:
    """ASGI middleware: reading a body beyond `max_bytes` raises Problem 413.

    The declared length is checked before the first read, so that a client which waits for
    "100 Continue" never sends the body; what really arrives is counted, whatever was declared.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = _declared_bytes(scope)
        received = 0

        async def counted() -> Message:
            nonlocal received
            if declared > self._max_bytes:
                raise self._too_large()
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> Problem:
        return Problem(
            BODY_TOO_LARGE,
            f"A body may have at most {self._max_bytes} bytes."
            " Send outcomes in smaller batches, and only the last messages of a conversation.",
        )


def _declared_bytes(scope: Scope) -> int:
    """The declared Content-Length; 0 when there is none, or none that is a number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0
