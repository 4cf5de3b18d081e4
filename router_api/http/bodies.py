"""What the HTTP API takes: strict models, which are also the OpenAPI document's schemas.

An unknown field, a number in a string or `true` for a score is a mistake of the caller, and is
named instead of being guessed at.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
)

from router_api.picks import MAX_SESSION_ID_CHARS
from router_api.tokens import MAX_TOKEN_CHARS
from schemas.metrics import SIGNALS, kind_of, max_value
from schemas.router_config import MAX_ARMS, RouterConfig

MAX_BATCH: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# pydantic alone would also take a date, or a number in a string as seconds since 1970.
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def to_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _require_rfc_3339(value: object) -> object:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("give an RFC 3339 time with its offset, such as 2026-01-31T09:30:00Z")
    return value


Token = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARS)]
SessionId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_SESSION_ID_CHARS,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Opaque id of a conversation. Its turns stay with one arm, and in order.",
    ),
]
OutcomeId = Annotated[UUID, Field(strict=False)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Signal = Annotated[str, WithJsonSchema({"type": "string", "enum": list(SIGNALS)})]
Time = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_require_rfc_3339),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def _up_to(metric: str) -> float:
    return max_value(kind_of(metric))


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class PickBody(_Body):
    """What is known about a request that wants an arm. Everything may be left out."""

    session_id: SessionId | None = None
    # A body has room for half a million faults, and listing them would hold up picks for seconds.
    messages: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        default=None,
        description="Chat messages in OpenAI's or Anthropic's form. The type of the request is read"
        " from them in memory; their text is neither stored nor logged.",
        examples=[[{"role": "user", "content": "Write a function that parses RFC 3339 times"}]],
    )
    request_type: str | None = Field(
        default=None, max_length=64, description="Given: not read from the messages"
    )
    previous_turn: Token | None = Field(
        default=None, description="turn_token of the session's turn before this one"
    )
    min_quality_tier: int | None = Field(
        default=None,
        ge=1,
        le=3,
        description="Only arms of this tier or above; wins over the header x-min-quality-tier",
    )
    exclude: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=MAX_ARMS, description="Arms that must not be picked"
    )
    serving: str | None = Field(
        default=None,
        max_length=200,
        description="The gateway's own choice, which stands in the modes observe and bypass; left"
        " out: the configuration's first arm that may be picked",
    )
    metadata: dict[str, Any] | None = Field(
        default=None,
        description="LiteLLM's: min_quality_tier in it is used where no other is given",
    )


class CompletionBody(_Body):
    """How the call of the model went."""

    status: Literal["ok", "error", "timeout", "cancelled"]
    status_code: int | None = Field(default=None, ge=100, le=599)
    latency_ms: float | None = Field(default=None, ge=0, le=_up_to("latency_ms"))
    ttft_ms: float | None = Field(
        default=None, ge=0, le=_up_to("ttft_ms"), description="Time to first token"
    )
    tokens_in: int | None = Field(default=None, ge=0, le=int(_up_to("tokens_in")))
    tokens_out: int | None = Field(default=None, ge=0, le=int(_up_to("tokens_out")))
    cost_usd: float | None = Field(default=None, ge=0, le=_up_to("cost_usd"))


class OutcomeBody(_Body):
    """Something learned about a turn: how its call went, scores, signals, a retraction."""

    turn_token: Token
    outcome_id: OutcomeId | None = Field(
        default=None, description="Repeat it when you retry: an outcome counts once"
    )
    voids: OutcomeId | None = Field(
        default=None,
        description="outcome_id of an earlier outcome of this turn, which is taken back; what this"
        " one says counts in its place",
    )
    arm_served: str | None = Field(
        default=None, max_length=200, description="The arm that answered, if a fallback did"
    )
    completion: CompletionBody | None = None
    scores: dict[str, Score] | None = Field(
        default=None,
        description="Metrics of the router's configuration, from 0 (worst) to 1 (best)",
        examples=[{"quality": 0.8}],
    )
    signals: list[Signal] | None = Field(
        default=None,
        max_length=len(SIGNALS),
        description="What you know of the user's reaction to this turn; names that the router's"
        " rewards name",
    )
    occurred_at: Time | None = Field(default=None, description="Left out: now")


PICK: Final = TypeAdapter(PickBody)
OUTCOME: Final = TypeAdapter(OutcomeBody)
OUTCOMES: Final = TypeAdapter(
    Annotated[list[OutcomeBody], Field(min_length=1, max_length=MAX_BATCH, fail_fast=True)]
)
CONFIG: Final = TypeAdapter(RouterConfig)
