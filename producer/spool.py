"""The spool: a durable local queue for events that Kafka can't take now.

SQLite in WAL mode with synchronous=FULL: what `append` has returned for survives a killed process
and a power cut. The file is held in exclusive locking mode, so that two processes can't send the
same rows; the lock goes with the process, however it ends.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, ParamSpec, TypeVar

from producer.batching import Message
from producer.errors import SpoolError, SpoolFull, SpoolLocked

# An hour of 500 events a second at 400 bytes is 0.7 GB: time to notice, and no surprise to a disk.
DEFAULT_MAX_BYTES: Final = 1 << 30
_FORMAT: Final = 1

_SCHEMA: Final = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, value BLOB NOT NULL,
    headers TEXT NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL,
    headers TEXT NOT NULL, bytes INTEGER NOT NULL, reason TEXT NOT NULL);
"""

T = TypeVar("T")
P = ParamSpec("P")


class Row(NamedTuple):
    """A spooled message and the id to remove it by."""

    id: int
    message: Message


class Spool:
    """A queue of messages in one SQLite file, oldest first. Safe to call from any thread.

    `max_bytes` bounds keys, values and headers; the file is somewhat larger. Every method raises
    SpoolError when the file can't be read or written.
    """

    def __init__(self, path: Path | str, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Open the file, or create it, readable by its owner only.

        Raises SpoolLocked when it is open elsewhere, SpoolError when it can't be a spool.
        """
        self.path = Path(path)
        self.max_bytes = max_bytes
        self._lock = Lock()
        self._rows = self._bytes = 0
        self._db = self._open()

    def append(self, messages: Sequence[Message]) -> None:
        """Store all messages durably, or none. Raises SpoolFull at the bound."""
        rows = [_to_row(message) for message in messages]
        added = sum(row[-1] for row in rows)

        def insert(db: sqlite3.Connection) -> None:
            if self._bytes + added > self.max_bytes:
                raise SpoolFull(
                    f"spool {self.path} holds {self._bytes:,} bytes and can't take {added:,} more: "
                    f"its bound is {self.max_bytes:,}; is Kafka away?"
                )
            db.executemany(
                "INSERT INTO message (key, value, headers, bytes) VALUES (?,?,?,?)", rows
            )

        with self._lock:
            self._attempt(insert)
            self._rows += len(rows)
            self._bytes += added

    def peek(self, limit: int) -> list[Row]:
        """The oldest messages, at most `limit`. They stay until they are removed."""
        query = "SELECT id, key, value, headers FROM message ORDER BY id LIMIT ?"
        with self._lock:
            found = self._attempt(lambda db: db.execute(query, (limit,)).fetchall())
        return [
            Row(row_id, Message(key, value, _read_headers(headers)))
            for row_id, key, value, headers in found
        ]

    def remove(self, ids: Iterable[int]) -> None:
        """Forget messages that the broker has. Ids that are not there are ignored."""
        self._take(ids, lambda _db, _id: None)

    def set_aside(self, ids: Iterable[int], reason: str) -> None:
        """Take messages out of the queue, but keep them: the broker will never accept them."""
        query = "INSERT INTO refused SELECT *, ? FROM message WHERE id = ?"
        self._take(ids, lambda db, row_id: db.execute(query, (reason, row_id)))

    def __len__(self) -> int:
        """Messages that wait to be sent."""
        return self._rows

    @property
    def size_bytes(self) -> int:
        """Bytes that count against `max_bytes`."""
        return self._bytes

    @property
    def refused(self) -> int:
        """Messages set aside."""
        with self._lock:
            query = "SELECT count(*) FROM refused"
            (count,) = self._attempt(lambda db: db.execute(query).fetchone())
        return int(count)

    def close(self) -> None:
        """Release the file. Calling it again does nothing."""
        with self._lock:
            self._db.close()

    def _take(
        self, ids: Iterable[int], before: Callable[[sqlite3.Connection, int], object]
    ) -> None:
        def delete(db: sqlite3.Connection) -> tuple[int, int]:
            rows = size = 0
            for row_id in ids:
                before(db, row_id)
                query = "DELETE FROM message WHERE id = ? RETURNING bytes"
                for (row_bytes,) in db.execute(query, (row_id,)).fetchall():
                    rows, size = rows + 1, size + row_bytes
            return rows, size

        with self._lock:
            rows, size = self._attempt(delete)
            self._rows -= rows
            self._bytes -= size

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            # The publisher calls from a worker thread; the lock keeps calls apart.
            db = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"spool {self.path} can't be opened: {error}") from error
        try:
            self._prepare(db)
        except BaseException as error:
            db.close()
            if not isinstance(error, sqlite3.Error):
                raise
            raise self._explained(error) from error
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        # Before the first access: then WAL needs no shared memory, and the lock is never given up.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")
        elif found != _FORMAT:
            raise SpoolError(
                f"spool {self.path} has format {found}, this version reads {_FORMAT}: "
                "let the version that wrote it send what is left, or choose another path"
            )
        # Reading alone would leave a second process unrefused until its first write.
        db.execute("BEGIN IMMEDIATE")
        totals = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM message").fetchone()
        self._rows, self._bytes = totals
        db.execute("COMMIT")

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction; on return it is on disk."""
        try:
            with self._db:
                return work(self._db)
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> SpoolError:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY"):
            return SpoolLocked(
                f"spool {self.path} is open in another process: give each process its own path"
            )
        if name == "SQLITE_FULL":
            return SpoolFull(f"spool {self.path}: the disk is full")
        return SpoolError(f"spool {self.path} can't be used: {error}")


def _to_row(message: Message) -> tuple[bytes, bytes, str, int]:
    key, value, headers = message
    # Latin-1 maps every byte to one character and back, so any header value survives JSON.
    text = json.dumps([[name, content.decode("latin-1")] for name, content in headers])
    return key, value, text, len(key) + len(value) + len(text)


def _read_headers(text: str) -> list[tuple[str, bytes]]:
    return [(name, content.encode("latin-1")) for name, content in json.loads(text)]


class SpoolThread:
    """A spool behind a thread of its own: waiting for the disk never stalls the event loop.

    Its own, because the loop's default threads may all be waiting for name look-ups when Kafka is
    away, and that is when the spool is needed.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def append(self, messages: Sequence[Message]) -> None:
        """See Spool.append. A cancelled call may store the messages all the same."""
        await self._run(self.spool.append, messages)

    async def peek(self, limit: int) -> list[Row]:
        """See Spool.peek."""
        return await self._run(self.spool.peek, limit)

    async def remove(self, ids: Sequence[int]) -> None:
        """See Spool.remove."""
        await self._run(self.spool.remove, ids)

    async def set_aside(self, ids: Sequence[int], reason: str) -> None:
        """See Spool.set_aside."""
        await self._run(self.spool.set_aside, ids, reason)

    async def close(self) -> None:
        """Finish what was begun and release the file."""
        await self._run(self.spool.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
