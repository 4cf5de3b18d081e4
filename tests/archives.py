"""Archives without Kafka, written by the code that `routefold export` uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from consumer.records import Batch
from routefold.history.addition import Addition
from routefold.history.manifest import Manifest
from routefold.history.workspace import open_workspace
from tests.factories import Record

TOPIC = "t.events"


def add_to_archive(
    directory: Path, log: Mapping[int, Sequence[Record]], router: str | None = None
) -> Manifest:
    """Append these records, which follow on from what the archive holds of their partitions."""
    with open_workspace(directory) as space:
        starts = {
            partition: space.before.ranges[partition].end if space.before else 0
            for partition in log
        }
        addition = Addition(space, TOPIC, router, starts)
        addition.add(Batch.of({p: records for p, records in log.items() if records}))
        return addition.commit(lambda _done, _total: None)
