"""`routefold verify`: whether the live tables hold what the log says, and if not, what and where.

What is compared is as of the offsets that the live tables have at the beginning; the consumer goes
on meanwhile. The other side is a rebuild done in memory for this purpose, or one that is there and
is brought to the same offsets in memory. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumer import generations
from consumer.generations import Generation
from consumer.migrate import require_current
from consumer.rebuild import archived, side
from consumer.rebuild.bounds import Range, check
from consumer.rebuild.contents import (
    Contents,
    CountDifference,
    RowDifference,
    count_differences,
    digest_of_all,
    row_differences,
)
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.log import Log, open_log
from consumer.rebuild.parting import Parting, Row
from consumer.rebuild.rebuild import OnAdvance, Pace, Servers, fold, task_for
from schemas.evidence import ZERO, Sums

# The first offset is looked for of so many rows a partition; beyond, they have one cause.
MAX_SEARCHED: Final = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """Both sides at the same offsets, and every difference."""

    live: Mapping[int, Contents]
    rebuilt: Mapping[int, Contents]
    rows: Sequence[RowDifference]
    counts: Sequence[CountDifference]
    partings: Mapping[Row, Parting]

    @property
    def equal(self) -> bool:
        return not self.rows and not self.counts

    @property
    def digests(self) -> tuple[str, str]:
        """Of the live tables and of the rebuild, hexadecimal."""
        return digest_of_all(self.live).hex(), digest_of_all(self.rebuilt).hex()


async def verify(servers: Servers, name: str | None, pace: Pace, on_advance: OnAdvance) -> Verdict:
    """Compare the live tables with a rebuild; None: with one done for this.

    Raises RebuildRefused where they can't be compared, and every other ConsumerError.
    """
    dsn = servers.postgres_dsn
    await asyncio.to_thread(require_current, dsn)
    generation = generations.live(dsn)
    live = side.read_contents(dsn, side.LIVE)
    if not any(contents.progress.next_offset for contents in live.values()):
        raise RebuildRefused("the live tables hold no events yet: there is nothing to compare")
    async with open_log(servers.bootstrap_servers, servers.topic) as log:
        if name is None:
            rebuilt = await _fold(log, servers, generation, live, pace, on_advance)
        else:
            with side.claimed(dsn, name):
                _require_comparable(side.find(dsn, name), generation, servers.topic)
                rebuilt = await _carry_on(log, servers, name, live, pace, on_advance)
        rows = [row for p in sorted(live) for row in row_differences(live[p], rebuilt[p])]
        counts = [each for p in sorted(live) for each in count_differences(live[p], rebuilt[p])]
        partings = await _search(log, servers, generation, live, rows, pace, on_advance)
    return Verdict(live, rebuilt, rows, counts, partings)


async def _fold(
    log: Log,
    servers: Servers,
    generation: Generation,
    live: Mapping[int, Contents],
    pace: Pace,
    on_advance: OnAdvance,
) -> dict[int, Contents]:
    wanted = {
        p: Range(generation.starts.get(p, 0), contents.progress.next_offset)
        for p, contents in live.items()
    }
    await _check(log, servers, wanted)
    task = replace(task_for(servers, generation.settings, wanted, pace), strict=False)
    done = await fold(log, task, {p: each.start for p, each in wanted.items()}, pace, on_advance)
    return {contents.partition: contents for contents in done.contents}


async def _carry_on(
    log: Log,
    servers: Servers,
    name: str,
    live: Mapping[int, Contents],
    pace: Pace,
    on_advance: OnAdvance,
) -> dict[int, Contents]:
    """A rebuild as it would be at the offsets of the live tables."""
    rebuild = side.find(servers.postgres_dsn, name)
    at = side.positions(servers.postgres_dsn, name)
    for partition, offset in at.items():
        folded = live[partition].progress.next_offset if partition in live else 0
        if offset > folded:
            raise RebuildRefused(
                f"partition {partition}: the rebuild {name!r} is at offset {offset}, the live "
                f"tables are at {folded}: verify it when the consumer has got that far"
            )
    wanted = {p: Range(at.get(p, 0), each.progress.next_offset) for p, each in live.items()}
    await _check(log, servers, wanted)
    schema = side.schema_of(name)
    task = replace(task_for(servers, rebuild.settings, wanted, pace), schema=schema, strict=False)
    done = await fold(log, task, {p: wanted[p].start for p in wanted}, pace, on_advance)
    return {contents.partition: contents for contents in done.contents}


def _require_comparable(rebuild: side.Rebuild, generation: Generation, topic: str) -> None:
    name = rebuild.name
    if rebuild.topic != topic:
        raise RebuildRefused(f"the rebuild {name!r} is of {rebuild.topic}, not of {topic}")
    if rebuild.state != "complete":
        raise RebuildRefused(
            f"the rebuild {name!r} is not complete: run `routefold rebuild` with its settings "
            "again, it goes on where it was"
        )
    faults = rebuild.settings.differences(generation.settings)
    if {p: at.start for p, at in rebuild.ranges.items() if at.start} != generation.starts:
        theirs = ",".join(f"{p}:{at}" for p, at in sorted(generation.starts.items()))
        mine = rebuild.bounds.start or "the beginning"
        faults.append(f"from: {mine}, not {theirs or 'the beginning'}")
    if faults:
        raise RebuildRefused(
            f"the rebuild {name!r} has other settings than the live tables ({'; '.join(faults)}), "
            f"so it must differ: `routefold diff live {name}` shows how"
        )


async def _check(log: Log, servers: Servers, wanted: Mapping[int, Range]) -> None:
    held = await archived.held(log, servers.archive)
    for partition, its_range in wanted.items():
        check(servers.topic, partition, held.get(partition, Range(0, 0)), its_range)


async def _search(
    log: Log,
    servers: Servers,
    generation: Generation,
    live: Mapping[int, Contents],
    rows: Sequence[RowDifference],
    pace: Pace,
    on_advance: OnAdvance,
) -> Mapping[Row, Parting]:
    """Fold the partitions that differ again, to find where."""
    wanted: dict[Row, Sums] = {}
    searched: dict[int, int] = {}
    for row in rows:
        partition = row.share.partition
        searched[partition] = searched.get(partition, 0) + 1
        if row.rebuilt is not None and searched[partition] <= MAX_SEARCHED:
            wanted[row.share, row.series] = row.live or ZERO
    if not wanted:
        return {}
    partitions = {share.partition for share, _ in wanted}
    where = {
        p: Range(generation.starts.get(p, 0), live[p].progress.next_offset) for p in partitions
    }
    task = replace(task_for(servers, generation.settings, where, pace), wanted=wanted, strict=False)
    done = await fold(log, task, {p: each.start for p, each in where.items()}, pace, on_advance)
    return done.partings
