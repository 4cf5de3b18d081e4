"""A replica reads one generation at a time, and all of it, however its topic was written and read.

The topic here is what writers append: of each generation, partition by partition, all shares and
then the progress, over and over, while writers of older generations that were frozen wake up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from router_api.directory import Directory
from router_api.intake import BadRecords, Intake
from router_api.routing.state import RouterState, ShareKey
from schemas.codec import encode
from schemas.events import Progress
from schemas.snapshot import Snapshot
from schemas.topics import Topics
from tests.snapshots import observed, snapshot

unhurried = settings(deadline=None, max_examples=80)  # a busy machine is no failure
TOPICS = Topics()
PARTITIONS = 2
CELLS = [ShareKey(router, kind, 0) for router in "rs" for kind in ("general", "writing")]


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    event: Snapshot | Progress
    topic: str = TOPICS.snapshots
    partition: int = 0
    offset: int = 0

    @classmethod
    def of(cls, event: Snapshot | Progress) -> Record:
        return cls(event.key, encode(event), event)


def share(cell: ShareKey, partition: int, generation: int, source_offset: int) -> Snapshot:
    """Evidence from which its generation and position can be told."""
    values = [(generation + 1) / 8] * (source_offset % 5 + 1)
    return snapshot(
        observed("a", values),
        router=cell.router,
        request_type=cell.request_type,
        partition=partition,
        generation=generation,
        epoch=1 + generation,
        source_offset=source_offset,
    )


def progress(partition: int, generation: int, next_offset: int) -> Progress:
    counts = dict.fromkeys(("folded", "duplicates", "late", "dead", "stream_time_ms"), 0)
    return Progress(
        partition=partition,
        generation=generation,
        epoch=1 + generation,
        next_offset=next_offset,
        **counts,
    )


@st.composite
def topics(draw: st.DrawFn) -> tuple[list[Record], dict[int, set[ShareKey]]]:
    """Records in the order of the topic, and the cells of each generation.

    Of every generation but perhaps the last all partitions are published, unless it was replaced
    before; writers of several partitions take turns.
    """
    records: list[Record] = []
    cells: dict[int, set[ShareKey]] = {}
    offset = 0
    for generation in range(draw(st.integers(1, 4))):
        chosen: list[ShareKey] = draw(
            st.lists(st.sampled_from(CELLS), unique=True, min_size=generation % 2)
        )
        upto = draw(st.sampled_from((PARTITIONS, PARTITIONS, 1)))
        published = draw(st.permutations(range(PARTITIONS)))[:upto]
        cells[generation] = {
            cell._replace(partition=partition) for cell in chosen for partition in published
        }
        for partition in published:
            offset += 1
            records += [Record.of(share(cell, partition, generation, offset)) for cell in chosen]
            records.append(Record.of(progress(partition, generation, offset)))
            # others go on meanwhile: updates of what is published, or a writer that wakes up
            for _ in range(draw(st.integers(0, 3))):
                records += draw(st.sampled_from([[each] for each in records]))
            if draw(st.booleans()) and chosen:
                offset += 1
                records.append(Record.of(share(chosen[0], partition, generation, offset)))
                records.append(Record.of(progress(partition, generation, offset)))
    return records, cells


@st.composite
def chunks(draw: st.DrawFn, records: Sequence[Record]) -> list[list[Record]]:
    """The records as polls return them."""
    found: list[list[Record]] = []
    start = 0
    while start < len(records):
        size = draw(st.integers(1, 40) | st.just(2) | st.just(5))
        found.append(list(records[start : start + size]))
        start += size
    return found


def played(chunked: Sequence[Sequence[Record]]) -> Iterator[Directory]:
    """The directory after each unit of work, between any two of which a pick may come."""
    directory = Directory(PARTITIONS)
    intake = Intake(TOPICS, directory, BadRecords())
    yield directory
    for records in chunked:
        for _ in intake.apply(records, 5):
            yield directory
        yield directory


def held(directory: Directory) -> dict[ShareKey, tuple[int, int]]:
    """Every share in use, with its generation and offset."""
    return {
        ShareKey(router, kind, partition): (each.position[0], each.source_offset)
        for router in "rs"
        for kind, partition, each in directory.state(router).shares()
    }


@unhurried
@given(topics(), st.data())
def test_whatever_is_read_is_of_one_generation_and_all_of_it(
    written: tuple[list[Record], dict[int, set[ShareKey]]], data: st.DataObject
) -> None:
    records, cells = written
    reached = 0
    for directory in played(data.draw(chunks(records))):
        generation = directory.generation
        assert generation >= reached
        reached = generation
        in_use = held(directory)
        assert {number for number, _ in in_use.values()} <= {generation}
        if generation:
            assert in_use.keys() == cells[generation]
            assert {partition for _, _, partition in in_use} <= set(range(PARTITIONS))
        for router in "rs":
            for kind in ("general", "writing"):
                version = directory.state(router).of(kind).read().version
                assert version.startswith(f"{generation}:") == bool(generation)


@unhurried
@given(topics(), st.data())
def test_the_latest_whole_generation_is_what_counts(
    written: tuple[list[Record], dict[int, set[ShareKey]]], data: st.DataObject
) -> None:
    """Compared with a state that was only ever told of that generation, in order."""
    records, _ = written
    *_, directory = played(data.draw(chunks(records)))
    told: dict[int, set[int]] = {}
    for each in records:
        if isinstance(each.event, Progress):
            told.setdefault(each.event.generation, set()).add(each.event.partition)
    whole = [number for number, of in told.items() if len(of) == PARTITIONS]
    assert directory.generation == max(whole, default=0)
    for router in "rs":
        alone = RouterState(PARTITIONS, directory.generation)
        for each in records:
            if isinstance(each.event, Snapshot) and each.event.router == router:
                alone.apply(each.event, 5)
        assert directory.state(router).digest() == alone.digest()


@unhurried
@given(topics(), st.data())
def test_a_start_at_any_moment_reads_what_others_use_once_it_is_settled(
    written: tuple[list[Record], dict[int, set[ShareKey]]], data: st.DataObject
) -> None:
    """A replica that starts reads what compaction has left: any superseded record may be gone."""
    records, _ = written
    upto = data.draw(st.integers(0, len(records)))
    behind = {record.event.key: at for at, record in enumerate(records[:upto])}
    left = [
        record
        for at, record in enumerate(records[:upto])
        if behind[record.event.key] == at or data.draw(st.booleans())
    ]
    *_, running = played([records[:upto]])
    *_, fresh = played(data.draw(chunks(left)))
    if fresh.settled and running.settled and not _zombies(records[:upto], behind):
        assert fresh.generation == running.generation
        assert held(fresh) == held(running)


def _zombies(records: Sequence[Record], behind: dict[bytes, int]) -> bool:
    """True where an older record lies behind a newer one with its key: compaction keeps the wrong
    one then, until the writer publishes it again."""

    def position(record: Record) -> tuple[int, int]:
        event = record.event
        offset = event.source_offset if isinstance(event, Snapshot) else event.next_offset
        return event.generation, offset

    newest: dict[bytes, tuple[int, int]] = {}
    for record in records:
        key = record.event.key
        newest[key] = max(position(record), newest.get(key, (0, 0)))
    return any(position(records[at]) != newest[key] for key, at in behind.items())
