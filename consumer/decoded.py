"""What a batch decodes to, as a frame that can be stored beside its bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from consumer import columns
from consumer.decode import FIELDS, readable
from consumer.records import Batch, Block, DecodedBatch
from schemas.codec import by_prefix

OTHER: Final = 0
TURN: Final = 1
OUTCOME: Final = 2
_KINDS: Final = {"turn": TURN, "outcome": OUTCOME}
DECODED: Final = {"kind": pl.UInt8(), **columns.TURN, **columns.OUTCOME}


def decoded_events(batch: Batch) -> pl.DataFrame:
    """For each record what it decodes to: `kind`, and of a TURN or an OUTCOME the fields that the
    fold reads. An archive keeps them, so that `decoded_batch` need not decode."""
    blocks = [pl.DataFrame(schema={"row": pl.Int64, **DECODED})]
    for prefix, rows in batch.rows_by_prefix.items():
        schema = by_prefix().get(prefix)
        if schema is not None and schema.event in FIELDS:
            good, frame = readable(schema, batch, rows, [])
            blocks.append(_as_stored(_KINDS[schema.event], good, frame))
    found = pl.concat(blocks, how="diagonal")
    rest = np.setdiff1d(np.arange(len(batch)), found["row"].to_numpy()).tolist()
    everything = pl.concat([found, _as_stored(OTHER, rest, pl.DataFrame())], how="diagonal")
    return everything.sort("row").drop("row")


def _as_stored(kind: int, rows: Sequence[int], frame: pl.DataFrame) -> pl.DataFrame:
    if "status" in frame.columns:
        frame = frame.with_columns(frame["status"].cast(pl.String))
    own = [
        pl.Series("row", rows, dtype=pl.Int64),
        pl.Series("kind", [kind] * len(rows), dtype=pl.UInt8),
    ]
    return pl.DataFrame([*own, *frame.get_columns()])


def decoded_batch(batch: Batch, events: pl.DataFrame) -> DecodedBatch:
    """The batch with what `decoded_events` said of it."""
    kind = events["kind"].to_numpy()
    turns, outcomes = (
        Block(np.flatnonzero(kind == its), events.select(*FIELDS[event]).filter(kind == its))
        for event, its in _KINDS.items()
    )
    return DecodedBatch(
        partition=batch.partition,
        offset=batch.offset,
        log_time_ms=batch.log_time_ms,
        keys=batch.keys,
        values=batch.values,
        turns=turns,
        outcomes=outcomes,
        rest=np.flatnonzero(kind == OTHER).tolist(),
    )
