"""Logged turns, picked by both sides: how many would go to another arm.

Each turn is picked from the arms that were eligible for it, with its own hash, so that what flips
is what would have gone elsewhere, and not what another draw would have given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from routefold.compare.learned import Learned, LearnedRouter
from router_api.errors import RoutingError
from router_api.routing.router import salt, sticky_key
from router_api.routing.table import unit_hash
from schemas.events import Turn


@dataclass(slots=True)
class Flips:
    """Of one router. `skipped` turns can't be picked by both sides: a type or an arm is gone."""

    turns: int = 0
    flipped: int = 0
    skipped: int = 0
    # (from, to): how many turns
    moves: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Share of the turns picked that go to another arm; 0 without turns."""
        return self.flipped / self.turns if self.turns else 0.0


def count_flips(left: Learned, right: Learned, turns: Iterable[Turn]) -> dict[str, Flips]:
    """What becomes of these turns, by router."""
    found: dict[str, Flips] = {}
    for turn in turns:
        flips = found.setdefault(turn.router, Flips())
        arms = [_pick(side.routers.get(turn.router), turn) for side in (left, right)]
        before, after = arms
        if before is None or after is None:
            flips.skipped += 1
            continue
        flips.turns += 1
        if before != after:
            flips.flipped += 1
            flips.moves[before, after] = flips.moves.get((before, after), 0) + 1
    return found


def _pick(router: LearnedRouter | None, turn: Turn) -> str | None:
    """The deployment that this side picks; None where it can't."""
    if router is None or turn.request_type not in router.config.request_types:
        return None
    try:
        choices = router.choices(turn.request_type, turn.eligible)
    except RoutingError:
        return None
    key = sticky_key(router.config, turn.session_id, turn.turn_id)
    return choices.at(unit_hash(key, salt(turn.router))).arm
