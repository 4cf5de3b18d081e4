"""A router: from a request to an arm, by a table, a hash and an exact probability. Pure.

A pick depends on the configuration, the merged evidence at its reading time, the request's
constraints and the sticky key, and on nothing else: not on what was asked before, not on a clock.
Replicas with the same state agree, and `recompute` repeats any pick from its logged turn.

Time comes in as an argument and decides only when newer evidence replaces the one in use: choice
tables are built when a pick first needs them, and a stream of snapshots must not turn every pick
into a build. Until a rebuild is due the tables in use serve on, and each choice names the
snapshot version that its own table was built from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from router_api.errors import UnknownArm, UnknownRequestType, listed, quoted
from router_api.routing.beliefs import Beliefs, beliefs
from router_api.routing.chances import choice_table
from router_api.routing.policy import (
    all_arms,
    default_request_type,
    eligible_arms,
    mask_of,
    members,
)
from router_api.routing.state import NO_SHARE, Reading, RouterState, TypeState
from router_api.routing.table import ChoiceTable, ranked_fallbacks, unit_hash
from schemas.events import Turn
from schemas.router_config import RouterConfig

# A build takes 2 to 3 ms at 8 arms: ten a second for each of seven types are a fifth of a core, and
# add 50 ms on average to the time from an outcome to its use.
MIN_REBUILD_INTERVAL_MS: Final = 100
# From there on a build's cost grows with the arms, and the interval with it.
_ARMS_PER_INTERVAL: Final = 8
# Callers choose the exclusions, hence the subsets; 64 tables of 64 arms are about 3 MB a type.
_MAX_TABLES_PER_TYPE: Final = 64
_MAX_SALT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """A pick, with everything that has to be logged about it.

    `probability` is the exact chance with which this arm was chosen among `eligible`; `fallbacks`
    are the other eligible arms, likeliest first. `applied_at_ms` is when the newest evidence
    behind it was applied, None where there was none.
    """

    arm: str
    probability: float
    eligible: tuple[str, ...]
    fallbacks: tuple[str, ...]
    request_type: str
    snapshot_version: str
    applied_at_ms: int | None


@dataclass(frozen=True, slots=True)
class ChoiceSet:
    """A choice table and the choice that each of its arms would be."""

    table: ChoiceTable
    choices: tuple[Choice, ...]
    learned: bool  # False where the quadrature failed and the priors decided

    def at(self, u: float) -> Choice:
        """The choice for a uniform number in [0, 1)."""
        return self.choices[self.table.pick(u)]


@dataclass(slots=True)
class TypeView:
    """What a router believes about one request type, from one reading of its state."""

    request_type: str
    state: TypeState
    revision: int
    read_at_ms: int
    reading: Reading
    beliefs: Beliefs
    sets: OrderedDict[int, ChoiceSet] = field(default_factory=OrderedDict)


class Router:
    """One router with its configuration, on top of a state that others keep up to date.

    Not thread-safe: choose where the state is changed, in the event loop's thread.
    """

    def __init__(
        self,
        config: RouterConfig,
        version: int,
        state: RouterState,
        *,
        min_rebuild_interval_ms: int = MIN_REBUILD_INTERVAL_MS,
    ) -> None:
        self.config: Final = config
        self.version: Final = version
        self.state: Final = state
        self.default_request_type: Final = default_request_type(config)
        # Tables that had to fall back to the priors; above 0 says that the configuration's prior
        # or masses are beyond what the quadrature can do.
        self.unlearned_tables = 0
        self._interval_ms = min_rebuild_interval_ms * max(
            1, len(config.deployments) / _ARMS_PER_INTERVAL
        )
        self._everyone = all_arms(config)
        self._salt = salt(config.router)
        self._views: dict[str, TypeView] = {}

    def choose(
        self,
        request_type: str,
        key: bytes,
        *,
        now_ms: int,
        min_quality_tier: int | None = None,
        exclude: Sequence[str] = (),
    ) -> Choice:
        """Pick an arm for a request of a known type. The same key picks the same arm as long as
        the state is the same, and mostly also when it changes.

        Raises UnknownRequestType, UnknownArm (field "exclude.N") or NoEligibleArm; nothing else,
        whatever the evidence is.
        """
        view = self._views.get(request_type)
        if view is None or view.revision != view.state.revision:
            view = self._due(request_type, view, now_ms)
        if min_quality_tier is None and not exclude:
            mask = self._everyone
        else:
            mask = eligible_arms(self.config, min_quality_tier, exclude)
        choices = view.sets.get(mask) or self._build(view, mask)
        view.sets.move_to_end(mask)
        return choices.at(unit_hash(key, self._salt))

    def unchosen(self, request_type: str, arm: str) -> Choice:
        """The choice where nothing is chosen (mode bypass): that arm, for certain. Looks at no
        evidence. Raises UnknownRequestType."""
        self._require_type(request_type)
        others = tuple(name for name in self.config.arm_names if name != arm)
        return Choice(arm, 1.0, (arm,), others, request_type, NO_SHARE, None)

    def serving(
        self, named: str | None, *, min_quality_tier: int | None, exclude: Sequence[str]
    ) -> str:
        """Who serves where the router does not decide: the one that the gateway named, else the
        configuration's first that may be picked. Raises UnknownArm (field "serving" or
        "exclude.N") or NoEligibleArm."""
        names = self.config.arm_names
        if named is None:
            return names[members(eligible_arms(self.config, min_quality_tier, exclude))[0]]
        if named not in names:
            raise UnknownArm(
                f"router {quoted(self.config.router)} has no arm {quoted(named)}; "
                f"it has {listed(list(map(quoted, names)))}",
                "serving",
            )
        return named

    def resolve(self, classified: str) -> str:
        """The request type to use for a classifier's answer: itself, or the default if unknown."""
        known = classified in self.config.request_types
        return classified if known else self.default_request_type

    def view(self, request_type: str, now_ms: int) -> tuple[TypeView, ChoiceSet]:
        """What is believed now, all evidence included, and the choice among all arms.

        For people and audits: unlike `choose` it never answers from an older reading. Raises
        UnknownRequestType.
        """
        view = self._views.get(request_type)
        if view is None or view.revision != view.state.revision:
            view = self._read(request_type, now_ms)
        return view, view.sets.get(self._everyone) or self._build(view, self._everyone)

    def _due(self, request_type: str, view: TypeView | None, now_ms: int) -> TypeView:
        """The view to pick from: the old one until its time is up."""
        # A clock that was set back makes the age negative; it must not freeze the view.
        if view is not None and 0 <= now_ms - view.read_at_ms < self._interval_ms:
            return view
        return self._read(request_type, now_ms)

    def _read(self, request_type: str, now_ms: int) -> TypeView:
        self._require_type(request_type)
        state = self.state.of(request_type)
        reading = state.read()
        believed = beliefs(self.config, request_type, reading.metrics)
        view = TypeView(request_type, state, state.revision, now_ms, reading, believed)
        self._views[request_type] = view
        return view

    def _require_type(self, request_type: str) -> None:
        if request_type not in self.config.request_types:
            raise UnknownRequestType(
                f"router {quoted(self.config.router)} has no request type {quoted(request_type)}; "
                f"it has {listed(list(map(quoted, self.config.request_types)))}",
                "request_type",
            )

    def _build(self, view: TypeView, mask: int) -> ChoiceSet:
        choices = choice_set(self.config, view.request_type, view.reading, view.beliefs, mask)
        self.unlearned_tables += not choices.learned
        if len(view.sets) >= _MAX_TABLES_PER_TYPE:
            view.sets.popitem(last=False)
        view.sets[mask] = choices
        return choices


def choice_set(
    config: RouterConfig,
    request_type: str,
    reading: Reading,
    believed: Beliefs,
    mask: int,
) -> ChoiceSet:
    """The choice among the arms of `mask`, worked out for each arm that may come of it."""
    table, learned = choice_table(config, request_type, believed, mask)
    choices = tuple(
        Choice(
            arm=arm,
            probability=table.probabilities[index],
            eligible=table.arms,
            fallbacks=tuple(table.arms[other] for other in ranked_fallbacks(table, index)),
            request_type=request_type,
            snapshot_version=reading.version,
            applied_at_ms=reading.applied_at_ms,
        )
        for index, arm in enumerate(table.arms)
    )
    return ChoiceSet(table, choices, learned)


def recompute(turn: Turn, config: RouterConfig, reading: Reading) -> Choice:
    """The choice that a logged turn was, from the configuration and the state it names.

    Equal to the original bit for bit, but for `applied_at_ms`. Raises ValueError when the
    configuration or the reading is not of this turn, UnknownArm or UnknownRequestType when the
    configuration is of another version.
    """
    if config.router != turn.router:
        raise ValueError(f"turn is of router {turn.router!r}, configuration of {config.router!r}")
    if reading.version != turn.snapshot_version:
        raise ValueError(
            f"turn was picked from snapshot {turn.snapshot_version}, reading is {reading.version}"
        )
    if turn.request_type not in config.request_types:
        raise UnknownRequestType(
            f"turn is of request type {turn.request_type!r}, which this configuration does not have"
        )
    believed = beliefs(config, turn.request_type, reading.metrics)
    mask = mask_of(config, turn.eligible)
    choices = choice_set(config, turn.request_type, reading, believed, mask)
    return choices.at(
        unit_hash(sticky_key(config, turn.session_id, turn.turn_id), salt(turn.router))
    )


def sticky_key(config: RouterConfig, session_id: str | None, turn_id: bytes) -> bytes:
    """What a pick is hashed from: the session, if there is one and the policy sticks to it."""
    if session_id is not None and config.stickiness == "session":
        return session_id.encode()
    return turn_id


def salt(router: str) -> bytes:
    """Keeps routers apart: a session's arm in one says nothing about its arm in another."""
    return router.encode()[:_MAX_SALT_BYTES]
