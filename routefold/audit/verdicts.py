"""Logged picks against what they are when made again: equal to the last bit, or why not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from routefold.audit.states import StateName
from router_api.errors import RoutingError
from router_api.routing.beliefs import beliefs
from router_api.routing.policy import mask_of
from router_api.routing.router import ChoiceSet, choice_set, salt, sticky_key
from router_api.routing.state import Reading
from router_api.routing.table import unit_hash
from schemas.events import Turn
from schemas.router_config import RouterConfig


class Reason(StrEnum):
    """Why a pick is not the same when it is made again."""

    ARM = "another arm"
    PROBABILITY = "another probability"
    NO_CONFIGURATION = "its configuration is not in the log"
    MISFIT = "its configuration does not fit"
    NO_STATE = "its state is not in the log"


REMEDIES: Final[Mapping[Reason, str]] = {
    Reason.ARM: "the event was changed, or was not written by a router of this version",
    Reason.PROBABILITY: "made by another version, or from evidence that a rebuild has replaced",
    Reason.NO_CONFIGURATION: "the log was cut, or the pick was published to the wrong installation",
    Reason.MISFIT: "the event was changed after it was made, or is not a router's",
    Reason.NO_STATE: "the events topic must be kept from its beginning; was it emptied or created "
    "anew? Or a promote is not announced yet",
}


class Difference(NamedTuple):
    """A pick that is not the same."""

    turn_id: UUID
    router: str
    reason: Reason
    detail: str


class Table(NamedTuple):
    """What picks have in common that were made from one choice table."""

    state: StateName
    router_version: int
    eligible: tuple[str, ...]


Configurations = Mapping[tuple[str, int], Sequence[RouterConfig]]


@dataclass(frozen=True, slots=True)
class Picks:
    """Picks to audit by choice table, and the states to make these from, in the order of use."""

    by_state: Mapping[StateName, Mapping[Table, Sequence[Turn]]]

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Picks:
        """Groups turns that are in the order of their time."""
        by_state: dict[StateName, dict[Table, list[Turn]]] = {}
        for turn in turns:
            state = StateName(turn.router, turn.request_type, turn.snapshot_version)
            table = Table(state, turn.router_version, turn.eligible)
            by_state.setdefault(state, {}).setdefault(table, []).append(turn)
        return cls(by_state)


def compare(
    table: Table, turns: Sequence[Turn], configs: Sequence[RouterConfig], reading: Reading
) -> Iterator[Difference]:
    """The differences of one table's picks.

    `configs` are those of the table's version: more than one if two writers raced for it, and then
    either may have been in force.
    """
    if not configs:
        detail = f"version {table.router_version} of router {table.state.router}"
        for turn in turns:
            yield _difference(turn, Reason.NO_CONFIGURATION, detail)
        return
    misfit = ""
    candidates: list[tuple[RouterConfig, ChoiceSet]] = []
    for config in configs:
        try:
            candidates.append((config, _choices(table, config, reading)))
        except RoutingError as error:
            misfit = str(error)
    if not candidates:
        for turn in turns:
            yield _difference(turn, Reason.MISFIT, misfit)
        return
    for turn in turns:
        found = [_compare_one(turn, config, choices) for config, choices in candidates]
        if None not in found and found[0] is not None:
            yield found[0]


def _choices(table: Table, config: RouterConfig, reading: Reading) -> ChoiceSet:
    request_type = table.state.request_type
    if request_type not in config.request_types:
        raise RoutingError(f"it has no request type {request_type!r}")
    believed = beliefs(config, request_type, reading.metrics)
    return choice_set(config, request_type, reading, believed, mask_of(config, table.eligible))


def _compare_one(turn: Turn, config: RouterConfig, choices: ChoiceSet) -> Difference | None:
    key = sticky_key(config, turn.session_id, turn.turn_id)
    again = choices.at(unit_hash(key, salt(turn.router)))
    if again.arm != turn.arm:
        return _difference(turn, Reason.ARM, f"{turn.arm!r} in the log, {again.arm!r} again")
    if again.probability != turn.probability:
        detail = f"{turn.probability!r} in the log, {again.probability!r} again"
        return _difference(turn, Reason.PROBABILITY, detail)
    return None


def _difference(turn: Turn, reason: Reason, detail: str) -> Difference:
    return Difference(UUID(bytes=turn.turn_id), turn.router, reason, detail)


def without_state(turns: Iterable[Turn], detail: str) -> Iterator[Difference]:
    """The differences of picks whose state can't be put together again."""
    for turn in turns:
        yield _difference(turn, Reason.NO_STATE, detail)
