"""A logged pick, taken apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import polars as pl

from routefold.audit.find import Found
from routefold.audit.levers import Lever, Situation, levers
from routefold.audit.parts import Part, parts
from routefold.audit.provenance import Moved, observations, strongest
from routefold.audit.states import StateName
from routefold.audit.verdicts import Reason, Table, compare
from routefold.errors import Failure
from routefold.history import History
from router_api.routing.beliefs import beliefs
from router_api.routing.router import salt, sticky_key
from router_api.routing.state import Reading
from router_api.routing.table import unit_hash
from schemas.events import Turn
from schemas.router_config import RouterConfig

STRONGEST: Final = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """A logged pick, explained. `differs` is empty where making it again gives the same.

    `parts` are the eligible arms, the likeliest first, of which `hashed`, the session's number in
    [0, 1), has chosen. `levers` are the smallest changes that make another arm the likeliest;
    `moved` the turns that moved the belief in the picked arm most.
    """

    found: Found
    turn: Turn
    config: RouterConfig
    reading: Reading
    differs: str
    hashed: float
    likeliest: str
    parts: list[Part]
    levers: list[Lever]
    moved: list[Moved]


def explained(
    found: Found,
    turn: Turn,
    configs: Sequence[RouterConfig],
    reading: Reading,
    past: History,
) -> Explanation:
    """The explanation of a turn that was found, from the state it was picked from.

    `configs` are those of its version, `past` the log up to that state. Raises Failure where none
    of the configurations fits the turn.
    """
    state = StateName(turn.router, turn.request_type, turn.snapshot_version)
    table = Table(state, turn.router_version, turn.eligible)
    tried = [(list(compare(table, [turn], [config], reading)), config) for config in configs]
    differences, config = min(tried, key=lambda each: len(each[0]))
    if any(difference.reason is Reason.MISFIT for difference in differences):
        raise Failure(f"turn {UUID(bytes=turn.turn_id)}: {differences[0].detail}")
    if turn.arm not in turn.eligible:
        raise Failure(f"turn {UUID(bytes=turn.turn_id)}: {turn.arm!r} was not eligible")
    believed = beliefs(config, turn.request_type, reading.metrics)
    situation = Situation(config, turn.request_type, reading, believed, turn.eligible)
    arm = next(each.arm for each in config.deployments if each.name == turn.arm)
    siblings = [each.name for each in config.deployments if each.arm == arm]
    of_type = past.joined.filter(pl.col("request_type") == turn.request_type)
    moved = strongest(
        observations(of_type, past.reactions, siblings),
        config,
        siblings,
        believed.quality[arm],
        reading,
        STRONGEST,
    )
    key = sticky_key(config, turn.session_id, turn.turn_id)
    return Explanation(
        found=found,
        turn=turn,
        config=config,
        reading=reading,
        differs="; ".join(f"{each.reason}: {each.detail}" for each in differences),
        hashed=unit_hash(key, salt(turn.router)),
        likeliest=situation.likeliest,
        parts=parts(situation),
        levers=levers(situation),
        moved=moved,
    )
