"""Every logged pick, made again from the log alone.

The snapshots topic keeps the latest state only, so the states that picks were made from are folded
again from the events, in one pass that goes forward through all partitions side by side.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from consumer.records import Batch
from routefold.audit.ahead import ReadAhead
from routefold.audit.collect import Selection, collect
from routefold.audit.replay import Recipe
from routefold.audit.replayed import Replayed, missing, whole
from routefold.audit.states import States
from routefold.audit.verdicts import (
    Configurations,
    Difference,
    Picks,
    Reason,
    compare,
    without_state,
)
from routefold.history import OffsetRange
from routefold.history.log import open_log
from schemas.topics import Topics

MAX_EXAMPLES_PER_REASON: Final = 5


@dataclass(slots=True)
class Report:
    """What an audit found. `examples` holds the first few differences of each reason.

    `bypassed` turns were not picked by the router, so there is nothing to repeat; they are not
    among the `picks`. `states` and `tables` are how many had to be made again.
    """

    picks: int
    bypassed: int
    states: int = 0
    tables: int = 0
    different: Counter[Reason] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def equal(self) -> int:
        return self.picks - self.different.total()

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.different[difference.reason] += 1
            if self.different[difference.reason] <= MAX_EXAMPLES_PER_REASON:
                self.examples.append(difference)


async def audit(
    bootstrap_servers: str,
    topics: Topics,
    selection: Selection,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Make the selected picks again. `progress(step, done, total)` is called with records.

    Raises Unreachable, Failure or Misuse (routefold.errors).
    """
    begun = time.monotonic()
    steps = {
        step: None if progress is None else partial(progress, step)
        for step in ("reading", "folding")
    }
    async with open_log(bootstrap_servers, topics.events) as log:
        since = await log.ranges(selection.since, None)
        found = await collect(whole(log, steps["reading"]), selection, since)
    report = Report(picks=len(found.turns), bypassed=found.bypassed)
    if found.turns:
        async with open_log(bootstrap_servers, topics.events) as log:
            batches = whole(log, steps["folding"])
            picks = Picks.of(found.turns)
            await repeat(batches, log.ends, picks, found.configs, report, found.recipes)
    report.seconds = time.monotonic() - begun
    return report


async def repeat(
    batches: AsyncIterator[Batch],
    held: Mapping[int, OffsetRange],
    picks: Picks,
    configs: Configurations,
    report: Report,
    recipes: Mapping[int, Recipe] | None = None,
) -> None:
    """Make picks again from a whole log, which holds these offsets, and report on each. `recipes`
    say how the generations were folded that it tells of."""
    lacking = {state: what for state in picks.by_state if (what := missing(state, held, recipes))}
    present = [state for state in picks.by_state if state not in lacking]
    with Replayed(ReadAhead(batches, held), States(present), recipes) as replayed:
        for state, tables in picks.by_state.items():
            reading = None if state in lacking else await replayed.read(state)
            report.states += reading is not None
            for table, turns in tables.items():
                if reading is None:
                    what = lacking.get(state, "a share of it has no events")
                    report.add(without_state(turns, what))
                else:
                    report.tables += 1
                    its_configs = configs.get((state.router, table.router_version), ())
                    report.add(compare(table, turns, its_configs, reading))


def exit_code(report: Report) -> int:
    """0 where every pick is the same, else 1."""
    return 1 if report.different else 0
