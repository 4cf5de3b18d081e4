"""The spool: what it has taken it keeps, in order, whatever happens to the process."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from producer.batching import Message
from producer.errors import SpoolError, SpoolFull, SpoolLocked
from producer.spool import Spool

OpenSpool = Callable[..., Spool]

messages = st.builds(
    Message,
    key=st.binary(max_size=20),
    value=st.binary(max_size=200),
    headers=st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=20)), max_size=3),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def open_spool(path: Path) -> Iterator[OpenSpool]:
    """`open_spool(max_bytes=...)`: a spool on this test's file, closed at its end."""
    opened: list[Spool] = []

    def open_one(**options: int) -> Spool:
        opened.append(Spool(path, **options))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()


def numbered(first: int, count: int) -> list[Message]:
    return [Message(b"k", b"%d" % n, [("ce_id", b"%d" % n)]) for n in range(first, first + count)]


def held(spool: Spool) -> list[Message]:
    return [row.message for row in spool.peek(10_000)]


class SpoolMachine(RuleBasedStateMachine):
    """Any sequence of calls and reopenings does what a list would do."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.spool = Spool(Path(self.directory.name) / "events.db")
        self.model: list[Message] = []

    @rule(batch=st.lists(messages, max_size=5))
    def append(self, batch: list[Message]) -> None:
        self.spool.append(batch)
        self.model += batch

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        rows = self.spool.peek(100)
        chosen = data.draw(st.sets(st.sampled_from(range(len(rows)))))
        self.spool.remove([rows[i].id for i in chosen])
        self.spool.remove([rows[i].id for i in chosen])  # a repeat is no error
        kept = [row.message for i, row in enumerate(rows) if i not in chosen]
        self.model = kept + self.model[len(rows) :]

    @invariant()
    def agrees(self) -> None:
        assert len(self.spool) == len(self.model)
        assert held(self.spool) == self.model
        assert (self.spool.size_bytes > 0) == bool(self.model)

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.spool = Spool(self.spool.path)

    def teardown(self) -> None:
        self.spool.close()
        self.directory.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


def test_rows_keep_order_and_stay_until_removed(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.append(numbered(0, 3))
    spool.append(numbered(3, 3))
    first = spool.peek(4)
    assert [row.message for row in first] == numbered(0, 4)
    assert spool.peek(4) == first
    spool.remove([row.id for row in first])
    assert held(spool) == numbered(4, 2)
    assert len(spool) == 2


@given(batch=st.lists(messages, min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_reopening_finds_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Message]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "events.db"
    spool = Spool(path)
    spool.append(batch)
    size = spool.size_bytes
    spool.close()
    again = Spool(path)
    assert held(again) == batch
    assert (len(again), again.size_bytes) == (len(batch), size)
    again.close()


def test_what_append_returned_for_survives_a_killed_process(path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _APPENDING_CHILD, path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(50)][-1]
    child.kill()
    acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    child.stdout.close()
    child.wait()
    spool = Spool(path)  # the lock went with the process
    found = [int(message.value) for message in held(spool)]
    spool.close()
    assert found == list(range(len(found)))
    assert len(found) >= acknowledged
    assert len(found) % 3 == 0  # all of a call, or nothing


def test_a_second_spool_on_the_file_is_refused_by_name(open_spool: OpenSpool, path: Path) -> None:
    first = open_spool()
    with pytest.raises(SpoolLocked, match=r"events\.db is open in another process"):
        Spool(path)
    opening = "import sys; from producer.spool import Spool; Spool(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", opening, path], capture_output=True, text=True, check=False
    )
    assert "SpoolLocked" in other.stderr
    first.append(numbered(0, 1))
    assert len(first) == 1
    first.close()
    assert len(open_spool()) == 1


def test_a_full_spool_takes_nothing_of_a_call_and_has_room_after_a_removal(
    open_spool: OpenSpool,
) -> None:
    spool = open_spool(max_bytes=300)
    spool.append(numbered(0, 5))
    with pytest.raises(SpoolFull, match="bound is 300"):
        spool.append(numbered(5, 50))
    assert held(spool) == numbered(0, 5)
    spool.remove([row.id for row in spool.peek(10)])
    assert spool.size_bytes == 0
    spool.append(numbered(5, 5))
    assert held(spool) == numbered(5, 5)


def test_a_full_disk_is_a_full_spool(open_spool: OpenSpool) -> None:
    spool = open_spool()
    (pages,) = spool._db.execute("PRAGMA page_count").fetchone()
    spool._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(SpoolFull, match="disk is full"):
        spool.append([Message(b"k", bytes(100_000), [])])
    assert (len(spool), spool.size_bytes) == (0, 0)
    spool.append(numbered(0, 1))
    assert held(spool) == numbered(0, 1)


def test_a_refused_message_leaves_the_queue_but_is_kept_with_its_reason(
    open_spool: OpenSpool, path: Path
) -> None:
    spool = open_spool()
    spool.append(numbered(0, 3))
    spool.set_aside([spool.peek(3)[1].id], "too large")
    assert [int(message.value) for message in held(spool)] == [0, 2]
    assert (len(spool), spool.refused) == (2, 1)
    spool.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT value, reason FROM refused").fetchall() == [(b"1", "too large")]
    db.close()


def test_a_file_that_is_no_spool_is_named_and_left_alone(path: Path) -> None:
    path.write_bytes(b"precious " * 1000)
    with pytest.raises(SpoolError, match=r"events\.db can't be used: file is not a database"):
        Spool(path)
    assert path.read_bytes() == b"precious " * 1000


def test_a_spool_of_a_newer_version_is_left_to_it(open_spool: OpenSpool, path: Path) -> None:
    open_spool().close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SpoolError, match="has format 99"):
        Spool(path)


def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="can't be opened"):
        Spool(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="can't be opened"):
        Spool(tmp_path / "file" / "events.db")


def test_only_the_owner_can_read_the_files(open_spool: OpenSpool, path: Path) -> None:
    open_spool().append(numbered(0, 1))
    files = list(path.parent.iterdir())
    assert len(files) >= 2  # the database and its write-ahead log
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_threads_share_one_spool(open_spool: OpenSpool) -> None:
    spool = open_spool()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: spool.append(numbered(10 * n, 10)), range(20)))
    assert sorted(int(message.value) for message in held(spool)) == list(range(200))
    assert len(spool) == 200


def test_a_closed_spool_says_so_and_closes_again(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.close()
    spool.close()
    with pytest.raises(SpoolError, match="closed"):
        spool.append(numbered(0, 1))


_APPENDING_CHILD = """
import sys
from producer.batching import Message
from producer.spool import Spool

spool, n = Spool(sys.argv[1]), 0
while True:
    spool.append([Message(b"k", b"%d" % i, []) for i in range(n, n + 3)])
    n += 3
    print(n, flush=True)
"""
