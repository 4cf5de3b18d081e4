"""Which picks to audit, and every configuration, from one pass over the log."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from consumer.rebuild.settings import RebuildSettings
from consumer.records import Batch
from routefold.audit.replay import Recipe
from routefold.history import OffsetRange, Position
from schemas.codec import PREFIX_BYTES, by_prefix, decode
from schemas.errors import ContractError
from schemas.events import GenerationPromoted, RouterConfigured, Turn
from schemas.router_config import RouterConfig, parse_config


@dataclass(frozen=True, slots=True)
class Selection:
    """Picks from `since` on, of one router, the last so many by their time; None: all of them."""

    last: int | None = None
    since: Position | None = None
    router: str | None = None


@dataclass(slots=True)
class Collected:
    """`turns` in the order of their time, each once. `bypassed` are turns that nobody picked."""

    turns: list[Turn] = field(default_factory=list)
    bypassed: int = 0
    configs: dict[tuple[str, int], list[RouterConfig]] = field(default_factory=dict)
    recipes: dict[int, Recipe] = field(default_factory=dict)  # by generation

    def add_generation(self, value: bytes) -> None:
        """Take how a promoted generation is folded. Told twice it is the same."""
        try:
            event = decode(value)
            assert isinstance(event, GenerationPromoted)
            settings = RebuildSettings.model_validate_json(event.settings)
        except (ContractError, ValidationError):
            return
        self.recipes[event.generation] = Recipe(settings, event.starts)

    def add_config(self, value: bytes) -> None:
        """Take a configuration by its router and version; two, where two writers raced for one."""
        try:
            event = decode(value)
            assert isinstance(event, RouterConfigured)
            config = parse_config(event.config)
        except ContractError:
            return
        known = self.configs.setdefault((event.router, event.version), [])
        if config not in known:
            known.append(config)


async def collect(
    batches: AsyncIterator[Batch], selection: Selection, since: Mapping[int, OffsetRange]
) -> Collected:
    """Looks at every record; what can't be decoded is not a pick, and the consumer's to report.

    `since` is the range of `selection.since` in each partition.
    """
    found = Collected()
    latest: list[tuple[bytes, int, Turn]] = []
    number = 0
    async for batch in batches:
        places = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
        for (partition, offset), value in zip(places, batch.values, strict=True):
            event = event_of(value)
            if event == "router_configured":
                found.add_config(value or b"")
            elif event == "generation_promoted":
                found.add_generation(value or b"")
            if event != "turn" or offset < since[partition].start:
                continue
            turn = _turn(value or b"")
            if turn is None or selection.router not in (None, turn.router):
                continue
            number += 1
            entry = turn.turn_id, number, turn
            if selection.last is not None and len(latest) >= selection.last:
                heapq.heappushpop(latest, entry)
            else:
                heapq.heappush(latest, entry)
    once = {turn_id: turn for turn_id, _, turn in sorted(latest, reverse=True)}
    found.turns = [turn for turn in reversed(once.values()) if turn.mode != "bypass"]
    found.bypassed = len(once) - len(found.turns)
    return found


def event_of(value: bytes | None) -> str | None:
    """The type of the event in a message, by its first bytes; None for one of no known schema."""
    schema = by_prefix().get((value or b"")[:PREFIX_BYTES])
    return None if schema is None else schema.event


def _turn(value: bytes) -> Turn | None:
    try:
        turn = decode(value)
    except ContractError:
        return None
    assert isinstance(turn, Turn)
    return turn
