"""Rebuilds and verdicts as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

if TYPE_CHECKING:
    from consumer.fold import ShareKey
    from consumer.rebuild.bounds import Range
    from consumer.rebuild.contents import Folded, RowDifference
    from consumer.rebuild.rebuild import Outcome
    from consumer.rebuild.side import Rebuild
    from consumer.rebuild.verify import Verdict
    from schemas.evidence import Sums

_MAX_LINES: Final = 30


def outcome_json(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """A finished rebuild."""
    return {
        **rebuild_json(outcome.rebuild, {p: c.progress for p, c in outcome.contents.items()}),
        "digest": outcome.digest,
        "events": outcome.events,
        "seconds": round(seconds, 3),
        "events_per_s": round(outcome.events / seconds) if seconds > 0 else 0,
    }


def outcome_text(outcome: Outcome, seconds: float) -> str:
    """The same in two lines."""
    total = _total(contents.progress for contents in outcome.contents.values())
    rate = f" at {outcome.events / seconds:,.0f} events/s" if outcome.events else ""
    return (
        f"{outcome.rebuild.name}: complete, {outcome.events:,} events in {seconds:,.1f} s{rate}\n"
        f"folded {total['folded']:,}, duplicates {total['duplicates']:,}, late {total['late']:,}, "
        f"dead {total['dead']:,}; digest {outcome.digest}"
    )


def rebuild_json(rebuild: Rebuild, progress: Mapping[int, Folded]) -> dict[str, Any]:
    """What is known of a rebuild."""
    return {
        "name": rebuild.name,
        "state": rebuild.state,
        "topic": rebuild.topic,
        "from": rebuild.bounds.start,
        "until": rebuild.bounds.until,
        "settings": rebuild.settings.model_dump(mode="json"),
        "created_at": _iso(rebuild.created_at),
        "completed_at": _iso(rebuild.completed_at),
        "partitions": [
            {"partition": p, "start": rebuild.ranges[p].start, "end": rebuild.ranges[p].end}
            | at._asdict()
            for p, at in sorted(progress.items())
        ],
    }


def rebuilds_table(
    found: Sequence[tuple[Rebuild, Mapping[int, Folded]]], live: str | None = None
) -> Table | str:
    """Every rebuild, one a line; `live` is the name of the one that was promoted."""
    if not found:
        return "no rebuilds: make one with `routefold rebuild --into NAME`"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "state", "begun"):
        table.add_column(name, no_wrap=True)
    for name in ("events", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("otherwise than live", overflow="fold")
    for rebuild, progress in found:
        done = sum(at.next_offset - rebuild.ranges[p].start for p, at in progress.items())
        table.add_row(
            rebuild.name,
            "live" if rebuild.name == live else rebuild.state,
            f"{rebuild.created_at:%Y-%m-%d %H:%M}",
            f"{done:,}",
            f"{sum(each.end - each.start for each in _covered(rebuild, progress)):,}",
            "; ".join(_changes(rebuild)),
        )
    return table


def _covered(rebuild: Rebuild, progress: Mapping[int, Folded]) -> Iterable[Range]:
    """What it was made of, and what has been folded since: one that is or was live goes on."""
    for partition, at in rebuild.ranges.items():
        done = progress[partition].next_offset if partition in progress else at.end
        yield at._replace(end=max(at.end, done))


def _changes(rebuild: Rebuild) -> list[str]:
    settings = rebuild.settings.model_dump(mode="json")
    bounds = {"from": rebuild.bounds.start, "until": rebuild.bounds.until}
    return [f"{name}: {value}" for name, value in {**bounds, **settings}.items() if value]


def verdict_json(verdict: Verdict, name: str | None) -> dict[str, Any]:
    """Everything that `routefold verify` found. Sums are strings: they exceed a double's range."""
    live, rebuilt = verdict.digests
    return {
        "equal": verdict.equal,
        "compared_with": name or "a rebuild in memory",
        "digest": {"live": live, "rebuilt": rebuilt},
        "partitions": [
            {
                "partition": partition,
                "next_offset": contents.progress.next_offset,
                "equal": contents.digest() == verdict.rebuilt[partition].digest(),
                "digest": {
                    "live": contents.digest().hex(),
                    "rebuilt": verdict.rebuilt[partition].digest().hex(),
                },
            }
            for partition, contents in sorted(verdict.live.items())
        ],
        "differences": [
            {
                **_share_json(row.share),
                **row.series._asdict(),
                "live": _sums_json(row.live),
                "rebuilt": _sums_json(row.rebuilt),
                **_parting_json(verdict, row),
            }
            for row in verdict.rows
        ],
        "count_differences": [
            {
                "partition": each.partition,
                **(_share_json(each.share) if each.share else {}),
                "name": each.name,
                "live": each.live,
                "rebuilt": each.rebuilt,
            }
            for each in verdict.counts
        ],
    }


def verdict_text(verdict: Verdict) -> str:
    """The digests; on a difference the rows, where they part, and what that means."""
    live, rebuilt = verdict.digests
    lines = [
        f"partition {partition}: {'equal' if same else 'DIFFERENT'} at offset "
        f"{contents.progress.next_offset:,}, digest {contents.digest().hex()}"
        + ("" if same else f", rebuilt {other.digest().hex()}")
        for partition, contents in sorted(verdict.live.items())
        for other in [verdict.rebuilt[partition]]
        for same in [contents.digest() == other.digest()]
    ]
    if verdict.equal:
        return "\n".join([*lines, f"all: equal, digest {live}"])
    lines.append(f"all: DIFFERENT, digest {live}, rebuilt {rebuilt}")
    lines += [f"  {_row_text(verdict, row)}" for row in verdict.rows[:_MAX_LINES]]
    lines += [
        f"  {'partition ' + str(each.partition) if each.share is None else _cell(each.share)}: "
        f"{each.name} {each.live:,}, rebuilt {each.rebuilt:,}"
        for each in verdict.counts[:_MAX_LINES]
    ]
    more = sum(max(len(found) - _MAX_LINES, 0) for found in (verdict.rows, verdict.counts))
    if more:
        lines.append(f"  and {more:,} further differences: --json - lists all")
    return "\n".join(lines)


def _row_text(verdict: Verdict, row: RowDifference) -> str:
    series = row.series
    live, rebuilt = (
        "nothing" if sums is None else f"n {sums.n}, s1 {sums.s1}, s2 {sums.s2}"
        for sums in (row.live, row.rebuilt)
    )
    return (
        f"{_cell(row.share)}, {series.arm}, {series.metric} ({series.pace}, era {series.era}): "
        f"live {live}; rebuilt {rebuilt}; {_parting_text(verdict, row)}"
    )


def _parting_text(verdict: Verdict, row: RowDifference) -> str:
    parting = verdict.partings.get((row.share, row.series))
    if row.rebuilt is None:
        return "no event of the log adds to it"
    if parting is None:
        return "not looked for where they part"
    if parting.exact is not None:
        return f"they part at offset {parting.exact:,}: the live tables lack it and what follows"
    return f"they part at offset {parting.first:,}, its first event, or later"


def _parting_json(verdict: Verdict, row: RowDifference) -> dict[str, Any]:
    parting = verdict.partings.get((row.share, row.series))
    if parting is None:
        return {"first_offset": None, "exact": False}
    return {"first_offset": parting.offset, "exact": parting.exact is not None}


def _cell(share: ShareKey) -> str:
    return f"partition {share.partition}, {share.router}, {share.request_type}"


def _share_json(share: ShareKey) -> dict[str, Any]:
    return share._asdict()


def _sums_json(sums: Sums | None) -> dict[str, str] | None:
    return None if sums is None else {name: str(value) for name, value in sums._asdict().items()}


def _total(progress: Iterable[Folded]) -> dict[str, int]:
    every = list(progress)
    names = ("folded", "duplicates", "late", "dead")
    return {name: sum(getattr(at, name) for at in every) for name in names}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
