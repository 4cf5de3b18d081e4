"""What one export adds to an archive: pieces of the log in, and at the end a new manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final

from consumer.records import Batch
from routefold.history.joined_days import join_days
from routefold.history.manifest import TABLES, Manifest, TableFile
from routefold.history.position import OffsetRange
from routefold.history.workspace import Workspace
from routefold.history.writer import LogWriter, StagedFiles


class GivenUp(Exception):
    """Nobody waits for the addition any more."""


class Addition:
    """Records that follow on from `starts`, by partition. Calls block, one thread at a time.

    Nothing of it is in the archive before `commit`.
    """

    def __init__(
        self, space: Workspace, topic: str, router: str | None, starts: Mapping[int, int]
    ) -> None:
        self._space = space
        self._held = space.before.manifest if space.before else _nothing(topic, router, starts)
        self._files = StagedFiles(space.staging, self._held.runs + 1)
        self._writer = LogWriter(self._files, starts, router)
        self._given_up = Event()
        self.records = 0
        # Rows written, by table; of `joined` those of all days that were touched.
        self.rows: Final[dict[str, int]] = dict.fromkeys(TABLES, 0)

    @property
    def skipped(self) -> Mapping[str, int]:
        """Records that are in no table, by reason."""
        return self._writer.skipped

    def add(self, batch: Batch) -> None:
        """Take records that follow on from those before, in each partition."""
        self._writer.add(batch)
        self.records += len(batch)

    def commit(self, joining: Callable[[int, int], None]) -> Manifest:
        """Join the days that were touched, and make all that was added part of the archive.

        `joining(done, total)` is told the days. Raises GivenUp after a call of `give_up`, as long
        as nothing has been made part of the archive.
        """

        def joined_so_far(done: int, total: int) -> None:
            if self._given_up.is_set():
                raise GivenUp
            joining(done, total)

        self._writer.finish()
        new = self._writer.tables
        days = sorted({file.day for files in new.values() for file in files})
        tables = {
            table: [
                *((self._space.directory, file) for file in self._held.table(table)),
                *((self._space.staging, file) for file in files),
            ]
            for table, files in new.items()
        }
        joined = join_days(tables, days, self._files, joined_so_far)
        for table, files in (*new.items(), ("joined", joined)):
            self.rows[table] = sum(file.rows for file in files)
        manifest = self._manifest(joined, frozenset(days))
        self._space.commit(manifest)
        return manifest

    def give_up(self) -> None:
        """Have `commit`, which runs in another thread, end soon."""
        self._given_up.set()

    def _manifest(self, joined: list[TableFile], days: frozenset[str]) -> Manifest:
        held, writer = self._held, self._writer
        return Manifest(
            topic=held.topic,
            router=held.router,
            runs=held.runs + 1,
            ranges={p: OffsetRange(held.ranges[p].start, end) for p, end in writer.ends.items()},
            skipped=dict(Counter(held.skipped) + writer.skipped),
            events=(*held.events, *writer.events),
            turns=(*held.turns, *writer.tables["turns"]),
            outcomes=(*held.outcomes, *writer.tables["outcomes"]),
            joined=(*(file for file in held.joined if file.day not in days), *joined),
        )


def _nothing(topic: str, router: str | None, starts: Mapping[int, int]) -> Manifest:
    """An archive that begins where this addition does."""
    return Manifest(
        topic=topic,
        router=router,
        runs=0,
        ranges={partition: OffsetRange(start, start) for partition, start in starts.items()},
        skipped={},
        events=(),
        turns=(),
        outcomes=(),
        joined=(),
    )
