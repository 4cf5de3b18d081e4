"""The router as the player sees it, over HTTP (http_gateway) or in process (embedded_gateway)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from schemas.router_config import RouterConfig

QUALITY: Final = "quality"  # the metric that a row's y is reported as


@dataclass(frozen=True, slots=True)
class Picked:
    """What the player needs of a pick."""

    turn_token: str
    arm: str
    request_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedOutcome:
    """The recorded outcome of a picked arm. `outcome_id` is the player's own, so that sending it
    twice counts once."""

    turn_token: str
    outcome_id: UUID
    quality: float
    failed: bool
    latency_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float

    @property
    def status(self) -> Literal["ok", "error"]:
        return "error" if self.failed else "ok"


class Gateway(Protocol):
    """Every method raises GatewayError, UnknownRouter or Unavailable."""

    async def put_router(self, config: RouterConfig) -> int:
        """Configure a router; its version."""

    async def pick(
        self, router: str, *, session_id: str, request_type: str | None, prompt: str | None
    ) -> Picked:
        """An arm for one turn; the type is found from the prompt where it is None."""

    async def outcomes(self, outcomes: Sequence[PlayedOutcome]) -> int:
        """Report outcomes; how many were accepted for good."""

    async def state(self, router: str) -> Mapping[str, Any]:
        """The router's state as GET /v1/routers/{router}/state gives it."""


def chat(prompt: str | None) -> list[dict[str, str]] | None:
    """A prompt as the messages of a chat request."""
    return None if prompt is None else [{"role": "user", "content": prompt}]
