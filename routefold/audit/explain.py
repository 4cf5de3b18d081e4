"""Why a turn's arm was picked: finds the turn in the log, and the state it was picked from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from routefold.audit.ahead import ReadAhead
from routefold.audit.explanation import Explanation, explained
from routefold.audit.find import find_turn
from routefold.audit.replayed import Replayed, missing, whole
from routefold.audit.states import StateName, States
from routefold.errors import Failure
from routefold.history import Position, read_history
from routefold.history.log import open_log
from schemas.topics import Topics


async def explain(
    bootstrap_servers: str,
    topics: Topics,
    turn_id: UUID,
    progress: Callable[[str, int, int], None] | None = None,
) -> Explanation:
    """Explain a turn. `progress(step, done, total)` is called with records.

    Raises Failure where the log has no such turn, the router did not pick it, or its configuration
    or state can't be put together again; Unreachable.
    """

    def told(step: str) -> Callable[[int, int], None] | None:
        return None if progress is None else partial(progress, step)

    async with open_log(bootstrap_servers, topics.events) as log:
        found = await find_turn(whole(log, told("looking")), turn_id.bytes)
    turn = found.turn
    if turn is None:
        raise Failure(f"the log has no turn {turn_id}: is it of this installation?")
    if turn.mode == "bypass":
        raise Failure(
            f"turn {turn_id} was made in mode bypass: the gateway chose {turn.arm!r}, and the "
            "router picked nothing that could be explained"
        )
    configs = found.collected.configs.get((turn.router, turn.router_version), [])
    if not configs:
        raise Failure(
            f"version {turn.router_version} of router {turn.router!r}, with which turn {turn_id} "
            "was picked, is not in the log"
        )
    state = StateName(turn.router, turn.request_type, turn.snapshot_version)
    async with open_log(bootstrap_servers, topics.events) as log:
        held, recipes = log.ends, found.collected.recipes
        if lacking := missing(state, held, recipes):
            raise Failure(f"the state of turn {turn_id} is not in the log: {lacking}")
        batches = whole(log, told("folding"))
        with Replayed(ReadAhead(batches, held), States([state]), recipes) as replayed:
            reading = await replayed.read(state)
    if reading is None:
        raise Failure(f"the state of turn {turn_id} is not in the log: a share of it has no events")
    until = Position(offsets={p: state.offsets.get(p, held[p].start) for p in held})
    past = await read_history(
        bootstrap_servers, topics, end=until, router=turn.router, progress=told("weighing")
    )
    return explained(found, turn, configs, reading, past)
