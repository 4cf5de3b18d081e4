"""The policy to be valued: fixed shares, or what a router's configuration would pick now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import fsum, isclose
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from routefold.errors import Misuse
from router_api.routing.beliefs import beliefs
from router_api.routing.policy import mask_of
from router_api.routing.router import choice_set
from router_api.routing.state import Reading
from schemas.router_config import ArmName, RouterConfig, TypeName

Shares = Annotated[
    dict[ArmName, Annotated[float, Field(ge=0.0, le=1.0)]], Field(min_length=1, max_length=64)
]
# Thirds written with three digits are meant to sum to 1.
_SUM_TOLERANCE = 2e-3


class Policy(Protocol):
    """Picks an arm for a request, by chance."""

    @property
    def arms(self) -> Collection[str]:
        """Every arm that it might pick."""

    def chances(self, request_type: str, eligible: Collection[str]) -> Mapping[str, float] | None:
        """The chance of each arm where only those of `eligible` may be picked; they sum to 1. None
        where it would pick none of these. Raises Misuse for a request type that it does not cover.
        """


class FixedShares(BaseModel):
    """Shares that do not depend on anything but the request type.

    `shares` are for the types that `by_type` does not name. Where a request excludes arms, the
    others' shares grow in proportion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    shares: Shares | None = None
    by_type: dict[TypeName, Shares] = {}

    @model_validator(mode="after")
    def _sums(self) -> Self:
        if self.shares is None and not self.by_type:
            raise ValueError("give `shares`, `by_type`, or both")
        for field, shares in self._named():
            total = fsum(shares.values())
            if not isclose(total, 1.0, abs_tol=_SUM_TOLERANCE):
                raise ValueError(f"{field}: the shares must sum to 1, got {total:g}")
        return self

    @property
    def arms(self) -> Collection[str]:
        return {arm for _, shares in self._named() for arm, share in shares.items() if share > 0.0}

    def require_known(self, arms: Collection[str], request_types: Collection[str]) -> None:
        """Raises Misuse for an arm or a request type that the router does not have."""
        for field, shares in self._named():
            for arm in shares:
                if arm not in arms:
                    known = ", ".join(sorted(arms))
                    raise Misuse(f"{field}.{arm}: the router has no such arm; it has {known}")
        for request_type in self.by_type:
            if request_type not in request_types:
                known = ", ".join(sorted(request_types))
                raise Misuse(
                    f"by_type.{request_type}: the router has no such request type; it has {known}"
                )

    def chances(self, request_type: str, eligible: Collection[str]) -> Mapping[str, float] | None:
        shares = self.by_type.get(request_type, self.shares)
        if shares is None:
            raise Misuse(
                f"by_type: nothing for {request_type!r}, of which the log has turns; add it, or "
                "`shares` for all other types"
            )
        allowed = {arm: share for arm, share in shares.items() if arm in eligible}
        total = fsum(allowed.values())
        return {arm: share / total for arm, share in allowed.items()} if total > 0.0 else None

    def _named(self) -> list[tuple[str, Mapping[str, float]]]:
        named: list[tuple[str, Mapping[str, float]]] = []
        if self.shares is not None:
            named.append(("shares", self.shares))
        return named + [(f"by_type.{name}", shares) for name, shares in self.by_type.items()]


class RouterPolicy:
    """What a router with this configuration would pick from evidence that stands still."""

    def __init__(self, config: RouterConfig, read: Callable[[str], Reading]) -> None:
        """`read` gives the evidence of a request type."""
        self._config = config
        self._read = read

    @property
    def arms(self) -> Collection[str]:
        return self._config.arm_names

    def chances(self, request_type: str, eligible: Collection[str]) -> Mapping[str, float] | None:
        config = self._config
        if request_type not in config.request_types:
            raise Misuse(
                f"request_types: {request_type!r} is not one of them, and the log has turns of it; "
                "add it"
            )
        allowed = [name for name in config.arm_names if name in eligible]
        if not allowed:
            return None
        reading = self._read(request_type)
        believed = beliefs(config, request_type, reading.metrics)
        found = choice_set(config, request_type, reading, believed, mask_of(config, allowed))
        return dict(zip(found.table.arms, found.table.probabilities, strict=True))
