"""What the HTTP API answers, as the OpenAPI document states it.

Answers are built as plain dicts, which is several times faster than through these models; the
contract tests hold real answers against the document.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from router_api.http.bodies import MAX_BATCH
from schemas.events import Mode
from schemas.router_config import RouterConfig


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SnapshotUsed(_Answer):
    """The state of learning that a pick was made with."""

    version: str = Field(description="Log positions, by partition")
    age_ms: int | None = Field(description="null: nothing has been learned yet")


class PickAnswer(_Answer):
    """The arm to call."""

    turn_id: UUID
    turn_token: str = Field(description="Send it back with every outcome of this turn")
    arm: str = Field(description="Call this one")
    chosen: str = Field(description="The router's choice: another than `arm` in mode observe only")
    mode: Mode
    request_type: str
    probability: float = Field(gt=0, le=1, description="Exact chance with which `chosen` came up")
    fallbacks: list[str] = Field(description="Arms to try if the first fails, best first")
    snapshot: SnapshotUsed


class OutcomesAnswer(_Answer):
    """Accepted: the broker or the durable spool has them."""

    accepted: int = Field(ge=1, le=MAX_BATCH)
    outcome_ids: list[UUID] = Field(description="In the order of the request")


class ConfigAnswer(_Answer):
    """The configuration in force."""

    router: str
    version: int = Field(ge=1)
    changed: bool = Field(description="false: it was in force already, and nothing was published")


class RouterSummary(_Answer):
    """A router by name."""

    name: str
    version: int
    arms: list[str]
    request_types: list[str]


class RouterList(_Answer):
    """Every router that this replica knows."""

    routers: list[RouterSummary]


class BetaAnswer(_Answer):
    """Shapes of a Beta distribution."""

    alpha: float = Field(gt=0)
    beta: float = Field(gt=0)


class MetricAnswer(_Answer):
    """What is known of one metric, in the metric's own unit."""

    n: float = Field(ge=0, description="Effective number of observations, after forgetting")
    mean: float | None
    drifted: bool = Field(description="The recent past contradicts the long run, and rules")


class SpeedAnswer(_Answer):
    """What is believed of the time that a request takes."""

    mean_ms: float = Field(ge=0, description="Geometric mean")
    interval_90_ms: tuple[float, float]


class HealthAnswer(_Answer):
    """What recent calls say."""

    calls: float = Field(ge=0, description="Effective number of recent calls that ended")
    answering: float = Field(gt=0, le=1, description="Chance that the next call is answered")
    failing: bool = Field(description="Left out but for its probe")


class CellAnswer(_Answer):
    """What is believed of one arm for one request type."""

    request_type: str
    arm: str
    deployment_of: str | None = Field(description="The arm whose quality this deployment shares")
    probability: float | None = Field(description="Chance to be picked without constraints")
    prior: BetaAnswer
    alpha: float = Field(gt=0)
    beta: float = Field(gt=0)
    mean: float
    interval_90: tuple[float, float]
    observations: float = Field(ge=0)
    speed: SpeedAnswer | None = Field(description="null: no call has been timed yet")
    health: HealthAnswer
    age_ms: int | None = Field(description="Since the newest turn of this type that counts")
    metrics: dict[str, MetricAnswer]


class EventCounts(_Answer):
    """How the events behind this state were counted."""

    folded: int
    duplicates: int
    late: int
    dead: int


class Freshness(_Answer):
    """Milliseconds from an outcome's acceptance to its use here; null without samples."""

    p50: float | None
    p99: float | None
    samples: int


class RouterState(_Answer):
    """Configuration, evidence and beliefs of one router, as this replica has them."""

    router: str
    version: int
    config: RouterConfig
    state_digest: str
    snapshot: dict[str, str] = Field(description="Snapshot version by request type")
    events: EventCounts
    freshness_ms: Freshness
    cells: list[CellAnswer]


class Health(_Answer):
    """Alive, or ready."""

    status: Literal["alive", "ready"]


class FaultDocument(BaseModel):
    """One thing wrong with a request."""

    field: str = Field(examples=["scores.quality"])
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem document."""

    type: str = Field(examples=["urn:routefold:problem:unknown-router"])
    title: str
    status: int
    detail: str
    errors: list[FaultDocument] | None = None
    correlation_id: str | None = Field(
        default=None, description="Of an internal error: look for it in the log"
    )
