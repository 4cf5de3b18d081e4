"""`routefold promote` and `rollback`: another fold of the log becomes the live one.

What is to be live is caught up while the live consumer goes on. Then one transaction holds the live
consumer's commits, folds the last few events, fences its writers and moves the pointer. Until it
commits nothing of the live state has changed; from then on a live writer can only go on from the
new tables, where these stand. It publishes all of their shares, and a router changes over once it
has those of every partition.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

from consumer.generations import ORIGINAL, Generation, generations, live
from consumer.migrate import connect, migrate, require_current
from consumer.rebuild import side
from consumer.rebuild.errors import RebuildFailed, RebuildRefused
from consumer.rebuild.follower import Follower, following
from consumer.rebuild.log import Log, open_log
from consumer.rebuild.rebuild import Servers
from consumer.rebuild.switch import Target, switch
from consumer.sql import sql

# Any constant does; it keeps two switches from being made at the same time.
_LOCK: Final = 7_241_957
# What is left to fold while the live consumer waits: some 50 ms of work.
SMALL_GAP: Final = 500
# A live consumer must not wait longer; the catching up begins again then.
LOCKED_S: Final = 1.0
MAX_ATTEMPTS: Final = 10
# A consumer that runs follows within a second.
TAKEN_UP_S: Final = 10.0
# Each round folds what has come during the last, so it is shorter, or there is no end to it.
_MAX_ROUNDS: Final = 100


class Step(StrEnum):
    """How far a promote or a rollback is. Up to and with RECORDED it can be broken off."""

    CHECKED = "checked"
    CAUGHT_UP = "caught up"
    LOCKED = "the live consumer waits"
    FOLDED = "the last events are folded"
    RECORDED = "recorded"
    LIVE = "live"


OnStep = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Promotion:
    """A switch that was made. `locked_ms` is how long the live consumer's commits had to wait."""

    generation: Generation
    before: Generation
    folded: int
    locked_ms: float


async def promote(servers: Servers, name: str, on_step: OnStep = lambda _: None) -> Promotion:
    """Make a complete rebuild live.

    Raises RebuildRefused where it can't be, RebuildFailed where the live consumer is too fast to
    catch up with, and every other ConsumerError; the live state is then as it was.
    """
    dsn = servers.postgres_dsn
    schema = side.schema_of(name)
    await asyncio.to_thread(require_current, dsn)
    with _alone(dsn), side.claimed(dsn, name):
        rebuild = side.find(dsn, name)
        before = live(dsn)
        if before.schema == schema:
            raise RebuildRefused(f"the rebuild {name!r} is live already")
        _require_promotable(rebuild, servers.topic)
        starts = {p: at.start for p, at in rebuild.ranges.items() if at.start}
        target = Target(name, schema, "promote", before.number, rebuild.settings, starts)
        return await _make_live(servers, before, target, on_step)


async def rollback(servers: Servers, on_step: OnStep = lambda _: None) -> Promotion:
    """Make live again what was live before, with everything that has come since.

    Rolled back again, it goes one further back. Raises as `promote` does.
    """
    dsn = servers.postgres_dsn
    await asyncio.to_thread(require_current, dsn)
    with _alone(dsn):
        every = {each.number: each for each in generations(dsn)}
        before = every[max(every)]
        if before.former is None:
            raise RebuildRefused(
                f"there is nothing to roll back to: {before.name!r} was live from the beginning"
            )
        former = every[before.former]
        fields = (former.former, former.settings, former.starts)
        target = Target(former.name, former.schema, "rollback", *fields)
        if former.name == ORIGINAL:
            return await _make_live(servers, before, target, on_step)
        with side.claimed(dsn, former.name):
            _require_kept(dsn, former)
            return await _make_live(servers, before, target, on_step)


async def taken_up(dsn: str, number: int, timeout_s: float = TAKEN_UP_S) -> bool:
    """Wait until a consumer writes this generation and has said so in the log; False if none does
    in time: then none runs, or Kafka is away."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = await asyncio.to_thread(live, dsn)
        if found.number > number or (found.number == number and found.announced):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)


@contextmanager
def _alone(dsn: str) -> Iterator[None]:
    """No other switch while the block runs. Raises RebuildRefused."""
    with connect(dsn) as connection:
        connection.autocommit = True
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
        if row is None or not row[0]:
            raise RebuildRefused(
                "another promote or rollback is under way: wait for it, then see what is live "
                "with `routefold generations`"
            )
        yield


def _require_promotable(rebuild: side.Rebuild, topic: str) -> None:
    name = rebuild.name
    if rebuild.topic != topic:
        raise RebuildRefused(f"the rebuild {name!r} is of {rebuild.topic}, not of {topic}")
    if rebuild.bounds.until is not None:
        raise RebuildRefused(
            f"the rebuild {name!r} was made to end at {rebuild.bounds.until}, and what is live "
            "follows the log: make one without --until"
        )
    if rebuild.state != "complete":
        raise RebuildRefused(
            f"the rebuild {name!r} is not complete: run `routefold rebuild` with its settings "
            "again, it goes on where it was"
        )


def _require_kept(dsn: str, former: Generation) -> None:
    """Raise RebuildRefused where the tables that were live before are not there any more."""
    if former.name not in side.names(dsn):
        raise RebuildRefused(
            f"the rebuild {former.name!r}, which was live before, has been dropped: make it again, "
            "and promote it"
        )
    kept = side.find(dsn, former.name)
    starts = {p: at.start for p, at in kept.ranges.items() if at.start}
    if kept.settings != former.settings or starts != former.starts:
        raise RebuildRefused(
            f"the rebuild {former.name!r} has been made anew since it was live, with other "
            f"settings: `routefold promote {former.name}` makes that live"
        )


async def _make_live(
    servers: Servers, before: Generation, target: Target, on_step: OnStep
) -> Promotion:
    dsn = servers.postgres_dsn
    await asyncio.to_thread(migrate, dsn, target.schema)
    on_step(Step.CHECKED)
    folded = 0
    async with open_log(servers.bootstrap_servers, servers.topic) as log:
        partitions = await _partitions(log, dsn, target, servers.topic)
        for _ in range(MAX_ATTEMPTS):
            async with following(
                dsn, target.schema, target.settings, partitions, log, servers.topic
            ) as follower:
                folded += await _catch_up(dsn, follower)
                on_step(Step.CAUGHT_UP)
                locked_at = time.monotonic()
                try:
                    more = await _switch(dsn, before, target, follower, on_step)
                except TimeoutError:
                    continue
                locked_ms = (time.monotonic() - locked_at) * 1000
            on_step(Step.LIVE)
            return Promotion(live(dsn), before, folded + more, locked_ms)
    raise RebuildFailed(
        f"the live consumer is faster than {target.name!r} can catch up: nothing was changed; try "
        "again when less comes in"
    )


async def _partitions(log: Log, dsn: str, target: Target, topic: str) -> list[int]:
    """Every partition of the topic. Raises RebuildRefused where they are not the fold's."""
    held = await log.held()
    with connect(dsn, target.schema) as connection:
        folded = [row[0] for row in connection.execute(sql("read_progress")).fetchall()]
    if unknown := sorted(set(folded) - held.keys()):
        raise RebuildRefused(
            f"{target.name!r} has events of partition {unknown[0]}, which {topic} does not have"
        )
    return sorted(held)


async def _catch_up(dsn: str, follower: Follower) -> int:
    """Fold to where the live consumer is, but for a small gap; the number of events folded."""
    folded = 0
    for _ in range(_MAX_ROUNDS):
        targets = side.positions(dsn, side.LIVE)
        if follower.gap(targets) <= SMALL_GAP:
            break
        folded += await follower.fold_to(targets)
    return folded


async def _switch(
    dsn: str, before: Generation, target: Target, follower: Follower, on_step: OnStep
) -> int:
    """The one transaction. The number of events folded in it. Raises TimeoutError."""
    folded = 0

    async def fold(offsets: Mapping[int, int]) -> Mapping[int, int]:
        nonlocal folded
        on_step(Step.LOCKED)
        async with asyncio.timeout(LOCKED_S):
            folded = await follower.fold_to(offsets)
        on_step(Step.FOLDED)
        return follower.positions

    try:
        await switch(dsn, before, target, fold, lambda: on_step(Step.RECORDED))
    except psycopg.errors.LockNotAvailable:
        raise RebuildFailed(
            "the live consumer holds its rows for too long, it may be stuck: nothing was changed"
        ) from None
    return folded
