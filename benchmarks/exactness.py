"""Does a rebuild give what was learned live, bit by bit, whatever happened to the consumers?

A play of 200,000 turns, or BENCH_TURNS (`tests.fixtures.long_play`: sessions with reactions,
fallbacks, corrections, retractions, dead letters, repeats at once and much later, outcomes held
back beyond their attribution window), is published while two consumers fold it, and time and again
one of them is killed with SIGKILL. Then, nothing running:

- by hand: each partition of the log is counted one event at a time by `tests.oracle`, which shares
  no arithmetic with the fold. Evidence and event counts must be the live ones.
- rebuilds: with 1, 2 and 4 workers, batches of other sizes, and from an archive. The digest must be
  the live one.
- `routefold verify`, as a process: 0 and equal, against a rebuild in memory, one that is there, and
  the archive. Then one evidence row is changed with SQL: it must end with 1, and name that row, no
  other, and the offset that is known by hand.

Figures of the unit "1 is yes" can only be 1: the run ends with an error where one is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from benchmarks.report import print_figure
from benchmarks.servers import Bench, bench_servers
from consumer.fold import ShareKey
from consumer.rebuild import side
from consumer.rebuild.archived import Archive
from consumer.rebuild.contents import Contents, digest_of_all
from consumer.rebuild.rebuild import Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from routefold.history.export import export
from routefold.rebuilds.archived import open_events
from schemas.evidence import SeriesKey, Sums
from tests.fixtures.by_hand import Change, count_by_hand, row_of
from tests.fixtures.kills import Crew, fold_under_kills
from tests.fixtures.long_play import long_play
from tests.fixtures.pipeline import publish, table

TURNS = int(os.environ.get("BENCH_TURNS", "200000"))
KILL_EVERY_EVENTS: Final = max(TURNS // 5, 1_000)
_STEP_MS: Final = 1_000  # 3,600 turns in an attribution window
_CASE: Final = f"{TURNS} turns"
_PACES: Final = {
    "one_worker": Pace(workers=1, batch_events=16_384),
    "two_workers": Pace(workers=2, batch_events=997),
    "four_workers": Pace(workers=4, batch_events=5_000, checkpoint_events=20_000),
    "one_small_batches": Pace(workers=1, batch_events=311, checkpoint_events=7_001),
}


def run() -> None:
    with bench_servers() as bench:
        _play(bench)
        live = side.read_contents(bench.postgres_dsn, side.LIVE)
        scored, picked = _some_row(live, "quality"), _some_row(live, "picked")
        counted = _by_hand(bench, live, scored, picked)
        for name, pace in _PACES.items():
            case = f"rebuild, {pace.workers} workers, batches of {pace.batch_events}"
            _rebuild(bench, case, name, pace, digest_of_all(live).hex())
        directory = bench.directory / "archive"
        asyncio.run(export(bench.bootstrap_servers, bench.topics, directory, progress=_Silent()))
        case, pace, archive = "rebuild, 2 workers, archive", Pace(workers=2), open_events(directory)
        _rebuild(bench, case, "archive", pace, digest_of_all(live).hex(), archive)
        _verify_equal(bench, "verify")
        _verify_equal(bench, "verify two_workers", "two_workers")
        _verify_equal(bench, "verify --archive", "--archive", str(directory))
        # No past of a row explains this sum: what is known is its first event.
        raised = scored.sums._replace(n=scored.sums.n + 1)
        first = counted[scored][0].offset
        _verify_changed(bench, "verify, n + 1", scored, raised, first, exact=False)
        # A pick is never taken back, so this row has grown from event to event.
        half, after = counted[picked][len(counted[picked]) // 2 :][:2]
        case = "verify, later half missing"
        _verify_changed(bench, case, picked, half.sums, after.offset, exact=True)
        _verify_equal(bench, "verify, set back")


def _play(bench: Bench) -> None:
    """Publish and fold everything."""

    def start() -> subprocess.Popen[bytes]:
        return _routefold(bench, "consume")

    async def publish_all(events: list[Any]) -> None:
        await publish(bench.bootstrap_servers, bench.topics, events)

    play = long_play(TURNS, _STEP_MS)
    begun = time.monotonic()
    events, crew = asyncio.run(
        fold_under_kills(play, publish_all, bench.postgres_dsn, start, KILL_EVERY_EVENTS)
    )
    _print("play", "time", time.monotonic() - begun, "s")
    _print("play", "events", events, "events")
    _report(bench, crew)


def _report(bench: Bench, crew: Crew) -> None:
    _print("play", "consumers killed at work", crew.killed, "processes")
    _print("play", "consumers that ended by themselves", len(crew.ended), "processes")
    _print("play", "partitions taken", len(crew.writers), "times")
    names = ("folded", "duplicates", "late", "dead")
    sums = ", ".join(f"sum({name})::bigint" for name in names)
    (counts,) = table(bench.postgres_dsn, f"SELECT {sums} FROM partition_progress")
    for name, count in zip(names, counts, strict=True):
        _print("play", name, int(str(count)), "events")


class _Row(NamedTuple):
    """An evidence row of the live tables."""

    share: ShareKey
    series: SeriesKey
    sums: Sums

    @property
    def document(self) -> dict[str, Any]:
        """What names it in JSON."""
        return {**self.share._asdict(), **self.series._asdict()}


def _some_row(live: Mapping[int, Contents], metric: str) -> _Row:
    """One of a metric's slow rows."""
    rows = (
        _Row(share, series, sums)
        for contents in live.values()
        for share, evidence in contents.kept().items()
        for series, sums in evidence.items()
        if (series.metric, series.pace) == (metric, "slow")
    )
    return random.Random(1).choice(sorted(rows))


def _by_hand(bench: Bench, live: Mapping[int, Contents], *rows: _Row) -> dict[_Row, list[Change]]:
    """Compare the live tables with a count by hand; how the rows came about."""
    begun = time.monotonic()
    watched = {row: (row.share.partition, row_of(row.share, row.series)) for row in rows}
    counted = asyncio.run(
        count_by_hand(bench.bootstrap_servers, bench.topics, list(watched.values()))
    )
    found = [f"partition {p}: {each}" for p in live for each in counted[p].differences(live[p])]
    kept = sum(len(each) for contents in live.values() for each in contents.kept().values())
    _print("by hand", "evidence rows", kept, "rows")
    _require("by hand", "evidence and counts are the live ones", not found, found[:5])
    _print("by hand", "time", time.monotonic() - begun, "s")
    return {row: counted[partition].history[name] for row, (partition, name) in watched.items()}


def _rebuild(
    bench: Bench, case: str, name: str, pace: Pace, wanted: str, archive: Archive | None = None
) -> None:
    servers = Servers(bench.bootstrap_servers, bench.topics.events, bench.postgres_dsn, archive)
    begun = time.monotonic()
    done = asyncio.run(rebuild(servers, name, RebuildSettings(), None, None, pace, lambda _: None))
    _require(case, "digest is the live one", done.digest == wanted, (done.digest, wanted))
    _print(case, "time", time.monotonic() - begun, "s")


def _verify_equal(bench: Bench, case: str, *arguments: str) -> None:
    begun = time.monotonic()
    code, verdict = _verify(bench, *arguments)
    equal = verdict["equal"] and not verdict["differences"] and not verdict["count_differences"]
    same = verdict["digest"]["live"] == verdict["digest"]["rebuilt"]
    _require(case, "ends with 0 and equal", code == 0 and equal and same, (code, verdict))
    _print(case, "time", time.monotonic() - begun, "s")


def _verify_changed(
    bench: Bench, case: str, row: _Row, sums: Sums, offset: int, *, exact: bool
) -> None:
    """Give a row other sums, look for it, and set it back."""
    _set(bench, row, sums)
    begun = time.monotonic()
    code, verdict = _verify(bench)
    wanted = {
        **row.document,
        "live": {name: str(value) for name, value in sums._asdict().items()},
        "rebuilt": {name: str(value) for name, value in row.sums._asdict().items()},
        "first_offset": offset,
        "exact": exact,
    }
    named = verdict["differences"] == [wanted] and not verdict["count_differences"]
    found = (code, verdict["differences"], wanted)
    _require(case, "ends with 1 and names the row", code == 1 and named, found)
    _print(case, "time", time.monotonic() - begun, "s")
    _set(bench, row, row.sums)


def _set(bench: Bench, row: _Row, sums: Sums) -> None:
    """Change one row of the live tables."""
    where = " AND ".join(f"{name} = '{value}'" for name, value in row.document.items())
    changed = table(
        bench.postgres_dsn,
        f"UPDATE evidence SET n = {sums.n}, s1 = {sums.s1}, s2 = {sums.s2} WHERE {where} "
        "RETURNING 1",
    )
    assert len(changed) == 1


def _verify(bench: Bench, *arguments: str) -> tuple[int, Any]:
    """The exit code of `routefold verify`, and its JSON."""
    report = bench.directory / "verdict.json"
    report.unlink(missing_ok=True)
    code = _routefold(bench, "verify", *arguments, "--json", str(report)).wait()
    return code, json.loads(report.read_text())


def _routefold(bench: Bench, *arguments: str) -> subprocess.Popen[bytes]:
    """A command that says nothing but errors: dead letters are a part of the play."""
    environment = {**bench.environment, "ROUTEFOLD_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "routefold", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


class _Silent:
    """An export's progress, shown to nobody."""

    def reading(self, done: int, total: int) -> None:
        pass

    def joining(self, done: int, total: int) -> None:
        pass


def _require(case: str, what: str, holds: bool, found: object) -> None:
    """Print that something holds; raises AssertionError with what was found where it does not."""
    _print(case, what, holds, "1 is yes")
    if not holds:
        raise AssertionError(f"{case}: {what}: no: {found}")


def _print(case: str, metric: str, value: float, unit: str) -> None:
    print_figure("exactness", f"{_CASE}, {case}", metric, value, unit)
