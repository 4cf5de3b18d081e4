"""The whole log, folded forward as far as each state asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Self

from consumer.records import Batch
from routefold.audit.ahead import ReadAhead
from routefold.audit.replay import Recipe, Replay
from routefold.audit.states import StateName, States
from routefold.history import OffsetRange
from routefold.history.log import Log, read_ahead
from router_api.routing.state import Reading


class Replayed:
    """All partitions side by side, in each fold of the log that is wanted, for as long as the block
    runs. States must be asked for in the order they were given in."""

    def __init__(
        self, log: ReadAhead, states: States, recipes: Mapping[int, Recipe] | None = None
    ) -> None:
        """`recipes` by generation; generation 0 is folded as the events say."""
        self._log = log
        self._states = states
        alike = _alike({0: Recipe(), **(recipes or {})}, states.generations)
        self._replays = {
            partition: [(Replay(partition, recipe), generations) for recipe, generations in alike]
            for partition in states.cuts
        }
        self._next_cut = dict.fromkeys(states.cuts, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for replays in self._replays.values():
            for replay, _ in replays:
                replay.close()

    async def read(self, state: StateName) -> Reading | None:
        """The merged evidence as a router has it; None where the log does not have such a share."""
        for partition, offset in state.offsets.items():
            cuts, replays = self._states.cuts[partition], self._replays[partition]
            while (at := self._next_cut[partition]) < len(cuts) and cuts[at] <= offset:
                async for batch in self._log.up_to(partition, cuts[at]):
                    for replay, _ in replays:
                        replay.fold(batch)
                for replay, generations in replays:
                    self._states.keep(replay, cuts[at], generations)
                self._next_cut[partition] += 1
        return self._states.read(state)


def _alike(recipes: Mapping[int, Recipe], wanted: Collection[int]) -> list[tuple[Recipe, set[int]]]:
    """Each recipe that is wanted with the generations that it makes: a rollback repeats one."""
    found: list[tuple[Recipe, set[int]]] = []
    for generation in sorted(wanted):
        recipe = recipes[generation]
        same = next((made for known, made in found if known == recipe), None)
        if same is None:
            found.append((recipe, {generation}))
        else:
            same.add(generation)
    return found


def missing(
    state: StateName,
    held: Mapping[int, OffsetRange],
    recipes: Mapping[int, Recipe] | None = None,
) -> str:
    """What the log, which holds these offsets and tells of these generations, lacks of a state;
    empty if nothing."""
    try:
        offsets, generation = state.offsets, state.generation
    except ValueError:
        return f"{state.version!r} is not a snapshot version"
    if generation and generation not in (recipes or {}):
        return f"nothing in the log says how generation {generation} is folded"
    for partition, offset in offsets.items():
        if partition not in held:
            return f"there is no partition {partition}"
        first, end = held[partition]
        if first > 0:
            return f"partition {partition} begins at offset {first}, not at 0"
        if offset > end:
            return f"partition {partition} ends at offset {end}, before {offset}"
    return ""


async def whole(
    log: Log, progress: Callable[[int, int], None] | None = None
) -> AsyncIterator[Batch]:
    """Every batch of a log, from its beginning to the end that it had when it was opened."""
    total, done = sum(map(len, log.ends.values())), 0
    async for batch in read_ahead(log.batches(log.ends)):
        done += len(batch)
        if progress is not None:
            progress(done, total)
        yield batch
