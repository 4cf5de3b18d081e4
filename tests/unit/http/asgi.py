"""Calls an ASGI application in process, as a server would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fields(self) -> list[str]:
        """The fields that a problem document names."""
        return [error["field"] for error in self.json.get("errors", ())]

    @property
    def kind(self) -> str:
        """The last part of a problem document's type."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return str(self.json["type"]).removeprefix("urn:routefold:problem:")


class Caller:
    """A client of one application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.call("GET", path, [b""], headers or {})

    async def post(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.send("POST", path, json.dumps(body).encode(), headers)

    async def put(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.send("PUT", path, json.dumps(body).encode(), headers)

    async def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A body of our own bytes, as JSON unless `headers` say otherwise."""
        return await self.call(
            method, path, [body], {"content-type": "application/json", **(headers or {})}
        )

    async def call(
        self, method: str, path: str, chunks: Sequence[bytes], headers: Mapping[str, str]
    ) -> Answer:
        """A request whose body arrives in `chunks`; no length is declared but in `headers`."""
        incoming: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks, start=1)
        ]
        sent: list[Message] = []

        async def receive() -> Message:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self._app(scope, receive, send)
        return Answer(
            status=sent[0]["status"],
            headers={name.decode(): value.decode() for name, value in sent[0]["headers"]},
            body=b"".join(message.get("body", b"") for message in sent[1:]),
        )
