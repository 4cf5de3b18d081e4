"""A router's configuration: its arms and its policy, as users write it in YAML or JSON.

Unknown fields are refused: a misspelt weight must not be silently ignored.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from schemas.errors import InvalidConfig
from schemas.events import Mode
from schemas.metrics import BUILT_IN, FIRST_DECLARED_CODE, MAX_CODE, REWARDABLE, SIGNALS
from schemas.posterior import BetaPrior
from schemas.request_types import REQUEST_TYPES

MAX_ARMS: Final = 64
MAX_DECLARED_METRICS: Final = MAX_CODE - FIRST_DECLARED_CODE + 1
# What each signal is worth, beside 1 for a score: fitted by `routefold calibrate` to 4,427 labelled
# conversations (docs/signals.md has the table). Those that foretold nothing are not counted.
SIGNAL_REWARDS: Final = {
    "satisfaction": 1.2,
    "misalignment": 0.4,
    "failure": 0.1,
    "loop": 1.1,
    "retry": 0.4,
    "no_progress": 0.4,
    "exhaustion": 0.1,
}
# Share of input tokens in a blended price: chat reads about three tokens for each it writes.
INPUT_SHARE: Final = 0.75

RouterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
TypeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ArmName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
Tier = Literal[1, 2, 3]
Weight = Annotated[float, Field(ge=0.0, le=1.0)]
MIN_REWARD: Final = 1e-6  # below it a product underflows in Postgres, which refuses to go on


def _zero_or_sizeable(reward: float) -> float:
    if 0.0 < reward < MIN_REWARD:
        raise ValueError(f"a reward weight is 0 or at least {MIN_REWARD:g}, got {reward:g}")
    return reward


Reward = Annotated[float, Field(ge=0, le=1000), AfterValidator(_zero_or_sizeable)]
HalfLife = Annotated[float, Field(gt=0.1, le=10 * 365 * 86400.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Price(_Strict):
    """What an arm costs: per request, or per million input and output tokens; US dollars."""

    usd_per_request: float | None = Field(default=None, ge=0)
    usd_per_1m_in: float | None = Field(default=None, ge=0)
    usd_per_1m_out: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        per_token = (self.usd_per_1m_in, self.usd_per_1m_out)
        if (self.usd_per_request is None) == (per_token == (None, None)) or (
            None in per_token and per_token != (None, None)
        ):
            raise ValueError(
                "give either usd_per_request, or both usd_per_1m_in and usd_per_1m_out"
            )
        return self

    @property
    def per_request(self) -> bool:
        return self.usd_per_request is not None

    @property
    def comparable_usd(self) -> float:
        """One number to compare arms of a router by; per request, or per million blended tokens."""
        if self.usd_per_request is not None:
            return self.usd_per_request
        assert self.usd_per_1m_in is not None
        assert self.usd_per_1m_out is not None
        return INPUT_SHARE * self.usd_per_1m_in + (1 - INPUT_SHARE) * self.usd_per_1m_out


class Arm(_Strict):
    """What can be picked: a model, or a deployment of one."""

    name: ArmName
    tier: Tier = Field(default=2, description="Expected quality before anything is learned")
    strengths: tuple[TypeName, ...] = Field(
        default=(), description="Request types this arm is expected to be good at"
    )
    price: Price | None = Field(default=None, description="Left out: unknown, never free")
    deployments: tuple[ArmName, ...] = Field(
        default=(),
        description="Places that serve this model, each picked by its own name. They share what is"
        " learned of its quality; speed and health are each one's own",
    )


class Deployment(NamedTuple):
    """What can be picked: a deployment of an arm, or an arm without any, which is its own one."""

    name: str
    arm: int  # index into the configuration's arms


class Weights(_Strict):
    """What counts in an arm's score. They must sum to 1."""

    quality: Weight = 0.7
    cost: Weight = 0.3
    latency: Weight = 0.0

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.quality + self.cost + self.latency
        if not math.isclose(total, 1.0, abs_tol=1e-3):
            raise ValueError(f"weights must sum to 1, got {total:g}")
        return self


class HalfLives(_Strict):
    """Seconds after which an observation counts half. null: nothing forgotten, or no fast pace."""

    slow: HalfLife | None = None
    fast: HalfLife | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slow is not None and self.fast is not None and self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast:g} s) must be shorter than slow ({self.slow:g} s)")
        return self


class HalfLivesByClass(_Strict):
    """Half-lives of quality (scores, signals, success, cost, tokens) and of latency and health.
    Pinned at first use: evidence already folded keeps the half-life it was folded with until a
    rebuild."""

    quality: HalfLives = HalfLives(slow=None, fast=900.0)
    latency: HalfLives = HalfLives(slow=300.0, fast=3.0)


class Prior(_Strict):
    """How tiers become Beta priors. The means are a little hopeful: what is expected to be bad is
    hardly tried, so a mean that is too low is found out later than one that is too high."""

    mass: float = Field(default=5.0, ge=0.01, le=1e6)
    tier_means: tuple[float, float, float] = (0.4, 0.6, 0.8)
    strength_bonus: float = Field(default=0.3, ge=0, le=1)
    cap: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("tier_means")
    @classmethod
    def _within(cls, means: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(0 < mean < 1 for mean in means):
            raise ValueError(f"each tier's mean must be within 0..1 exclusive, got {means}")
        return means

    def of(self, arm: Arm, request_type: str) -> BetaPrior:
        """Prior of a cell: the tier's mean, raised for a strength, capped; mass shared by it."""
        bonus = self.strength_bonus if request_type in arm.strengths else 0.0
        mean = min(self.tier_means[arm.tier - 1] + bonus, self.cap)
        return BetaPrior(mean * self.mass, (1.0 - mean) * self.mass)


class SpeedPolicy(_Strict):
    """How time counts, between arms (with `weights.latency`) and between deployments (always)."""

    metric: Literal["latency_ms", "ttft_ms"] = "latency_ms"
    span: float = Field(
        default=16.0, gt=1, le=1e6, description="An arm that many times faster gains 1 in speed"
    )
    buffer: float = Field(
        default=0.1, ge=0, le=10, description="Arms slower by this share count as equal"
    )
    proven_after: float = Field(
        default=2.0, ge=0, le=1000, description="Calls before an arm's speed is known"
    )
    max_unproven: Weight = Field(
        default=0.1, description="Largest share of one of unknown speed, if more than an equal one"
    )


class HealthPolicy(_Strict):
    """When an arm counts as failing now, and what it then still gets."""

    failing_below: Weight = Field(
        default=0.5, description="Failing: recent success surely (95 %) below this; 0: never"
    )
    probe: Weight = Field(default=0.01, description="Share of a failing arm, to see it recover")


class RouterConfig(_Strict):
    """Everything a router is told; what it learns is never in here."""

    router: RouterName
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MAX_ARMS, fail_fast=True)]
    request_types: Annotated[
        tuple[TypeName, ...], Field(min_length=1, max_length=64, fail_fast=True)
    ] = REQUEST_TYPES
    weights: Weights = Weights()
    rewards: dict[MetricName, Reward] = Field(
        default_factory=lambda: {"quality": 1.0, **SIGNAL_REWARDS},
        description="Metrics that outcomes may score, and signals that count, with their share in"
        " the reward; 0: only kept",
    )
    speed: SpeedPolicy = SpeedPolicy()
    health: HealthPolicy = HealthPolicy()
    mode: Mode = Field(
        default="live",
        description="observe: picks are logged, and the gateway's own choice serves; bypass: the"
        " gateway's own choice serves, and nothing is picked",
    )
    half_lives_s: HalfLivesByClass = HalfLivesByClass()
    prior: Prior = Prior()
    max_evidence_mass: float = Field(default=10_000.0, gt=0, le=1e9)
    exploration: float = Field(
        default=0.5,
        ge=0.01,
        le=10,
        description="Spread of the beliefs that picks are drawn from, as a share of their variance:"
        " 1 is Thompson sampling, less explores less",
    )
    min_probability: float = Field(default=0.0, ge=0, lt=1)
    stickiness: Literal["session", "turn"] = "session"
    attribution_window_s: float = Field(default=86_400.0, gt=0, le=90 * 86_400.0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _no_repeats("arms", [arm.name for arm in self.arms])
        names = [arm.name for arm in self.arms if arm.deployments]
        _no_repeats("arms", [*self.arm_names, *names])
        if len(self.arm_names) > MAX_ARMS:
            raise ValueError(f"arms: {len(self.arm_names)} deployments, at most {MAX_ARMS}")
        _no_repeats("request_types", list(self.request_types))
        for index, arm in enumerate(self.arms):
            for strength in arm.strengths:
                if strength not in self.request_types:
                    raise ValueError(
                        f"arms.{index}.strengths: {strength!r} is not one of request_types"
                    )
        unrewardable = [m for m in self.rewards if m in BUILT_IN and m not in REWARDABLE]
        if unrewardable:
            raise ValueError(
                f"rewards: {unrewardable[0]!r} is measured, not scored; choose another name"
            )
        if len(self.declared_metrics) > MAX_DECLARED_METRICS:
            raise ValueError(f"rewards: at most {MAX_DECLARED_METRICS} metrics of your own")
        if len({arm.price.per_request for arm in self.arms if arm.price is not None}) > 1:
            raise ValueError("arms: price all of them per request, or all of them per token")
        if self.min_probability * len(self.arm_names) > 1:
            raise ValueError(
                f"min_probability: {self.min_probability:g} x {len(self.arm_names)} arms is above 1"
            )
        return self

    @property
    def declared_metrics(self) -> tuple[str, ...]:
        """The metrics that outcomes of this router may score, in the order of declaration."""
        return tuple(metric for metric in self.rewards if metric not in BUILT_IN)

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that count for this router: those that `rewards` names, at any weight."""
        return tuple(metric for metric in self.rewards if metric in SIGNALS)

    @cached_property
    def deployments(self) -> tuple[Deployment, ...]:
        """What can be picked, in the order of the arms."""
        return tuple(
            Deployment(name, index)
            for index, arm in enumerate(self.arms)
            for name in arm.deployments or (arm.name,)
        )

    @cached_property
    def arm_names(self) -> tuple[str, ...]:
        """Names of what can be picked: those that events, evidence and answers hold."""
        return tuple(deployment.name for deployment in self.deployments)


def _no_repeats(field: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{field}: {name!r} is given twice")
        seen.add(name)


def parse_config(text: str | bytes) -> RouterConfig:
    """The configuration in a JSON text.

    Raises InvalidConfig with one line per fault, each naming its field.
    """
    try:
        return RouterConfig.model_validate_json(text)
    except ValidationError as error:
        raise InvalidConfig(describe(error)) from None


def describe(error: ValidationError) -> str:
    """A pydantic error as `field: what is wrong` lines, without the offending document."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'configuration'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )
