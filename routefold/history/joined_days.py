"""Makes the table `joined` anew for the days that an export has touched.

Everything about a turn is in the files of its day, so a day can be joined alone: from what the
archive had of it and what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from routefold.history.archive import scan_files
from routefold.history.joined import join
from routefold.history.manifest import TableFile
from routefold.history.writer import StagedFiles

# Turns and outcomes that are joined at a time, some 300 MB. A larger day is joined in parts.
JOIN_ROWS: Final = 600_000

# A table's files, each with the directory that its path is relative to.
Files = dict[str, list[tuple[Path, TableFile]]]


def join_days(
    tables: Files, days: Sequence[str], out: StagedFiles, progress: Callable[[int, int], None]
) -> list[TableFile]:
    """Write `joined` for each of the days, from all files of `turns` and `outcomes` given."""
    written: list[TableFile] = []
    for done, day in enumerate(days):
        progress(done, len(days))
        turns, outcomes = (
            [(root, file) for root, file in tables[name] if file.day == day]
            for name in ("turns", "outcomes")
        )
        rows = sum(file.rows for _, file in (*turns, *outcomes))
        parts = -(-rows // JOIN_ROWS)
        for part in range(parts):
            joined = join(
                _part("turns", turns, part, parts), _part("outcomes", outcomes, part, parts)
            )
            if len(joined):
                written.append(out.write_table("joined", day, joined))
    progress(len(days), len(days))
    return written


def _part(
    table: str, files: Sequence[tuple[Path, TableFile]], part: int, parts: int
) -> pl.DataFrame:
    """The rows of one part of the turns, in the order of the log."""
    rows = scan_files(table, [root / file.path for root, file in files])
    if parts > 1:
        rows = rows.filter(pl.col("turn_id").hash() % parts == part)
    return rows.drop("day").sort("partition", "offset").collect()
