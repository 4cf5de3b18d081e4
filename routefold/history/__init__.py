"""The events topic as tables, for data teams, evaluation and audit.

    from routefold.history import Position, read_history

    history = await read_history(
        "127.0.0.1:9092", topics, start=Position.parse("2026-01-03"), end=None, router="chat"
    )
    history.joined.group_by("arm_served").agg(pl.col("cost_usd").sum())

Interface
---------
Position.parse(text) -> Position
    "2026-01-03T12:00:00Z" (RFC 3339), "2026-01-03" (its midnight, UTC), or "0:1200,1:900" (an
    offset by partition; those not named are not bounded). Raises Misuse. Also
    Position(time_ms=...) and Position(offsets={0: 1200}). A time means the broker's append time:
    the range [start, end) of each partition begins and ends at the first record appended at or
    after it.

async read_history(bootstrap_servers, topics, *, start=None, end=None, router=None, progress=None)
    -> History
    Everything in memory, some 600 bytes an event. `progress(done, total)` is called with records.
    Raises Unreachable, Failure, Misuse (routefold.errors).

History, a frozen dataclass:
    .turns, .outcomes, .joined, .reactions, .configs : pl.DataFrame
    .skipped : Mapping[str, int]    records that are in no table, by reason; never fatal
    .records : int                  records read, skipped ones included
    .ranges  : Mapping[int, OffsetRange]   [start, end) that was read, by partition

Columns (routefold.history.columns has the whole contract, with types and meanings)
-----------------------------------------------------------------------------------
Ids (turn_id, outcome_id, previous_turn_id, voids) are UUID strings as the API shows them. Fields
that end in `_at` are Datetime("ms", "UTC"), fields that end in `_ms` are numbers.

turns, outcomes
    every field of the Avro schema, in its order, under its name; then (outcomes) turn_at; then
    partition (Int32), offset (Int64), log_time_ms (Int64). Sorted by partition and offset. A record
    that is twice in the log is twice in the table.
joined
    one row for each turn of `turns` (the first, where a turn is repeated), its columns, and what
    its outcomes in the same range said: arm_served (never null: the arm that answered, `arm` where
    nobody named another), status (ok, error, timeout, cancelled; null: not known), status_code,
    latency_ms, ttft_ms, tokens_in, tokens_out, cost_usd, scores (List[Struct{metric, value}]),
    signals (List[String]), outcomes (UInt32), last_outcome_at. As in the fold the first report of
    each metric stands, an impossible outcome counts for nothing, and a voided one counts for
    nothing from the record on that voids it.
reactions
    what a session's next turn said about a turn, by the fold's rules of attribution: turn_id,
    signal, said_by (the turn that carried it), and that turn's partition, offset, log_time_ms. Not
    in `joined`.
configs
    RouterConfigured records: router, version, config (JSON), occurred_at, source, partition,
    offset, log_time_ms; once for each partition.

With `router` given, all tables hold that router only. What a router's configuration alone can tell
(an arm that it never had, a score it does not declare, an attribution window that is over) is not
looked at: such events are in the tables, though the fold refuses them.
"""

from routefold.history.position import OffsetRange, Position
from routefold.history.read import History, read_history

__all__ = ["History", "OffsetRange", "Position", "read_history"]
