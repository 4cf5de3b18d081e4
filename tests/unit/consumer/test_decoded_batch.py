"""A batch as an archive holds it, decoded, folds as its bytes do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from consumer.decode import decode_batch
from consumer.decoded import decoded_batch, decoded_events
from consumer.progress import Progress
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.state import PartitionFold
from consumer.records import Batch, DecodedBatch
from tests.factories import Record, records
from tests.fixtures.rebuilding import busy_log


def log(count: int = 120, seed: int = 1) -> list[Record]:
    """Everything that a fold meets, and records that can't be decoded or lie about their key."""
    rng = random.Random(seed)
    found = records(busy_log(count, seed))
    for place in rng.sample(range(10, len(found)), 12):
        value, key = found[place].value or b"", found[place].key
        spoilt: Sequence[tuple[bytes | None, bytes | None]] = [
            (key, value[:-3]),
            (key, value + b"x"),
            (b"another", value),
            (key, None),
            (None, b"alien"),
            (None, value),
        ]
        key, bad = rng.choice(spoilt)
        found[place] = replace(found[place], key=key, value=bad)
    return found


def decoded(batch: Batch) -> DecodedBatch:
    return decoded_batch(batch, decoded_events(batch))


def folded(pieces: Sequence[Batch], settings: RebuildSettings | None = None) -> object:
    progress = Progress(0, 1, 0)
    with closing(PartitionFold(progress, settings or RebuildSettings(), saves=True)) as state:
        for piece in pieces:
            state.fold(piece)
        contents = state.contents({})
        dead = state.unsaved.buried()
        return (
            contents.digest(),
            contents.progress,
            [(letter.row, letter.reason, letter.detail) for letter in dead[1]],
            (dead[0].offset.tolist(), dead[0].keys, dead[0].values),
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        RebuildSettings(),
        RebuildSettings.make(exclude_sources=("importer",)),
        RebuildSettings.make(rewards={"*": {"quality": 0.25, "failure": 0.0}}),
    ],
    ids=["live", "without a source", "other rewards"],
)
def test_it_folds_as_its_bytes_do(seed: int, settings: RebuildSettings) -> None:
    batch = Batch.of({0: log(seed=seed)})
    of_bytes = folded([batch], settings)
    assert folded([decoded(batch)], settings) == of_bytes


@pytest.mark.parametrize("size", [1, 7, 50])
def test_pieces_of_it_do_too(size: int) -> None:
    """Cut before it is decoded or afterwards."""
    batch = Batch.of({0: log(60)})
    cuts = [slice(at, at + size) for at in range(0, len(batch), size)]
    of_bytes = folded([batch[cut] for cut in cuts])
    whole = decoded(batch)
    assert folded([whole[cut] for cut in cuts]) == of_bytes
    assert folded([decoded(batch[cut]) for cut in cuts]) == of_bytes


def test_what_is_not_decoded_is_found_in_its_bytes() -> None:
    batch = decoded(Batch.of({0: log()}))
    plain = Batch(batch.partition, batch.offset, batch.log_time_ms, batch.keys, batch.values)
    assert batch.configurations() == plain.configurations()
    assert len(batch.configurations()) == 2
    ours, theirs = decode_batch(batch), decode_batch(plain)
    assert sorted(ours.dead) == sorted(theirs.dead)
    assert ours.configs == theirs.configs
    assert len(ours.dead) > 5
    part = batch[40:90]
    assert part.configurations() == plain[40:90].configurations()
    assert sorted(decode_batch(part).dead) == sorted(decode_batch(plain[40:90]).dead)


def test_a_batch_of_nothing_that_can_be_folded() -> None:
    batch = Batch.of({0: [Record(5, 1, None, b"alien"), Record(6, 1, None, None)]})
    assert len(decoded(batch).rest) == 2
    assert folded([decoded(batch)]) == folded([batch])
