"""Kafka headers of an event: CloudEvents 1.0, Kafka protocol binding, binary content mode."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from schemas.codec import current
from schemas.events import GenerationPromoted, Outcome, RouterConfigured, Turn

SPEC_VERSION: Final = b"1.0"
CONTENT_TYPE: Final = b"application/avro"


def cloud_event_headers(
    event: Turn | Outcome | RouterConfigured | GenerationPromoted,
    traceparent: str | None = None,
) -> list[tuple[str, bytes]]:
    """CloudEvents attributes of an event, and the W3C trace context where the caller has one."""
    match event:
        case RouterConfigured():
            event_id = f"{event.router}@{event.version}"
        case GenerationPromoted():
            event_id = f"generation@{event.generation}"
        case _:
            event_id = str(UUID(bytes=event.event_id))
    occurred_at = datetime.fromtimestamp(event.occurred_at / 1000, UTC)
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", event_id.encode()),
        ("ce_type", f"routefold.{current(type(event)).name}".encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", occurred_at.isoformat(timespec="milliseconds").encode()),
        ("content-type", CONTENT_TYPE),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers
