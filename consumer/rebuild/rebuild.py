"""`routefold rebuild`: the log folded into a side schema, from where that is to the end wanted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from consumer.fold import MAX_BATCH_EVENTS
from consumer.migrate import require_current
from consumer.rebuild import archived, side
from consumer.rebuild.archived import Archive
from consumer.rebuild.bounds import Bound, Range, ranges
from consumer.rebuild.contents import Contents, digest_of_all
from consumer.rebuild.crew import Crew, keep_up, tasks_for
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.log import Log, open_log
from consumer.rebuild.pacing import LagGuard
from consumer.rebuild.settings import RebuildSettings, check_against
from consumer.rebuild.worker import CHECKPOINT_EVENTS, Done, Moved, Task
from consumer.store import Store

DEFAULT_MAX_LAG: Final = 20_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard the machine may be worked. `max_rate_per_s` and `max_lag` 0: without limit."""

    workers: int | None = None  # None: one a processor, at most one a partition
    max_rate_per_s: float = 0.0
    max_lag: int = DEFAULT_MAX_LAG
    batch_events: int = MAX_BATCH_EVENTS
    checkpoint_events: int = CHECKPOINT_EVENTS

    def workers_for(self, partitions: int) -> int:
        return min(self.workers or len(os.sched_getaffinity(0)), partitions)


class Advance(NamedTuple):
    """How far a command is: `done` of `total` events, counted over all partitions."""

    done: int
    total: int
    resting: bool


OnAdvance = Callable[[Advance], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the log and the tables are. What an archive holds of the log is read from there."""

    bootstrap_servers: str
    topic: str
    postgres_dsn: str
    archive: Archive | None = None

    def __repr__(self) -> str:
        return f"Servers({self.bootstrap_servers}, {self.topic})"  # the DSN holds a password


class Outcome(NamedTuple):
    """A finished rebuild. `events` were folded by this run of it."""

    rebuild: side.Rebuild
    contents: Mapping[int, Contents]
    events: int

    @property
    def digest(self) -> str:
        return digest_of_all(self.contents).hex()


async def rebuild(
    servers: Servers,
    name: str,
    settings: RebuildSettings,
    start: Bound | None,
    until: Bound | None,
    pace: Pace,
    on_advance: OnAdvance,
) -> Outcome:
    """Fold the log into the rebuild's schema; a rebuild of the same settings goes on.

    Without `until` it goes to where the log ends now. Raises RebuildRefused, RebuildFailed and
    every other ConsumerError; what was saved by then is whole.
    """
    dsn = servers.postgres_dsn
    bounds = side.Bounds(*(str(bound) if bound else None for bound in (start, until)))
    side.schema_of(name)
    await check_live(dsn, settings)
    async with open_log(servers.bootstrap_servers, servers.topic) as log:
        with side.claimed(dsn, name):
            side.require_not_live(dsn, name)
            known = side.find(dsn, name) if name in side.names(dsn) else None
            if known is None:
                wanted = await _new_ranges(log, servers.archive, start, until)
            else:
                _require_same(known, servers.topic, settings, bounds)
                wanted = await _further_ranges(log, servers.archive, known)
            side.begin(dsn, name, servers.topic, settings, bounds, wanted)
            at = side.positions(dsn, name)
            task = replace(
                task_for(servers, settings, wanted, pace),
                schema=side.schema_of(name),
                saves=True,
            )
            await fold(log, task, at, pace, on_advance)
            side.complete(dsn, name)
    contents = side.read_contents(dsn, name)
    events = sum(c.progress.next_offset - at[p] for p, c in contents.items())
    return Outcome(side.find(dsn, name), contents, events)


def _require_same(
    known: side.Rebuild, topic: str, settings: RebuildSettings, bounds: side.Bounds
) -> None:
    faults = settings.differences(known.settings)
    for what, mine, theirs in (
        ("topic", topic, known.topic),
        ("from", bounds.start or "the beginning", known.bounds.start or "the beginning"),
        ("until", bounds.until or "the end", known.bounds.until or "the end"),
    ):
        if mine != theirs:
            faults.append(f"{what}: {mine}, not {theirs}")
    if faults:
        raise RebuildRefused(
            f"the rebuild {known.name!r} was begun with other settings ({'; '.join(faults)}): run "
            f"it with those, choose another name, or drop it with --drop {known.name}"
        )


async def _new_ranges(
    log: Log, archive: Archive | None, start: Bound | None, until: Bound | None
) -> dict[int, Range]:
    held = await archived.held(log, archive)
    starts = dict.fromkeys(held, 0)
    ends = {partition: where.end for partition, where in held.items()}
    if start is not None:
        starts = start.resolve(starts, await archived.offsets_at(log, archive, start, held))
    if until is not None:
        ends = until.resolve(ends, await archived.offsets_at(log, archive, until, held))
    return ranges(log.topic, held, starts, ends)


async def _further_ranges(
    log: Log, archive: Archive | None, known: side.Rebuild
) -> dict[int, Range]:
    """Where a rebuild that was begun before goes to: its end, or where the log ends now."""
    held = await archived.held(log, archive)
    if held.keys() != known.ranges.keys():
        raise RebuildRefused(
            f"{known.topic} has {len(held)} partitions, but had {len(known.ranges)} when the "
            f"rebuild {known.name!r} was begun: drop it and begin anew"
        )
    if known.bounds.until is not None:
        return dict(known.ranges)
    return {p: Range(at.start, max(at.end, held[p].end)) for p, at in known.ranges.items()}


def task_for(
    servers: Servers, settings: RebuildSettings, wanted: Mapping[int, Range], pace: Pace
) -> Task:
    """A fold of these ranges, kept in memory."""
    return Task(
        bootstrap_servers=servers.bootstrap_servers,
        topic=servers.topic,
        postgres_dsn=servers.postgres_dsn,
        schema=None,
        saves=False,
        settings=settings,
        ranges=wanted,
        archive=servers.archive,
        max_rate_per_s=pace.max_rate_per_s,
        batch_events=pace.batch_events,
        checkpoint_events=pace.checkpoint_events,
    )


async def fold(
    log: Log, whole: Task, at: Mapping[int, int], pace: Pace, on_advance: OnAdvance
) -> Done:
    """Run the workers of a task whose partitions stand `at` these offsets."""
    total = sum(wanted.end - wanted.start for wanted in whole.ranges.values())
    position = dict(at)
    resting = False

    def report() -> None:
        done = sum(position[p] - wanted.start for p, wanted in whole.ranges.items())
        on_advance(Advance(min(max(done, 0), total), total, resting))

    def moved(message: Moved) -> None:
        # what is read before the start, for configurations, is no part of the work
        position[message.partition] = max(message.next_offset, position[message.partition])
        report()

    def tell(go: bool) -> None:
        nonlocal resting
        resting = not go
        crew.tell(go=go)
        report()

    report()
    left = {p: wanted for p, wanted in whole.ranges.items() if position[p] < wanted.end}
    if whole.saves and not left:
        return Done()
    task = replace(whole, ranges=left if whole.saves else whole.ranges)
    crew = Crew(tasks_for(task, pace.workers_for(len(task.ranges))), moved)
    guard = asyncio.create_task(
        keep_up(log, whole.postgres_dsn, LagGuard(pace.max_lag), tell), name="keep up"
    )
    try:
        return await crew.run()
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)


async def check_live(dsn: str, settings: RebuildSettings) -> None:
    """The live tables are of this version, and their routers can have these settings.

    Raises SchemaOutdated, Unreachable and RebuildRefused.
    """
    await asyncio.to_thread(require_current, dsn)
    store = await Store.connect_live(dsn)
    try:
        known = await store.routers(side.positions(dsn, side.LIVE))
    finally:
        await store.close()
    check_against(settings, known.values())
