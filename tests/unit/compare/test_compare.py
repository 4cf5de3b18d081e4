"""Two states against each other: cells, probabilities, and picks that flip."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from consumer.progress import Progress
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.state import PartitionFold
from consumer.records import Batch
from routefold.compare.cells import compare_cells
from routefold.compare.flips import count_flips
from routefold.compare.learned import Learned, learned
from schemas.events import Turn
from tests.factories import T0, config, configured, outcome, records, turn, uuid7

CONFIG = config(arms=("a", "b"), request_types=("general", "writing"))


def folded(name: str, events: Sequence[Any], **settings: Any) -> Learned:
    """What one partition has learned from these events."""
    fields = RebuildSettings.make(**settings)
    with closing(PartitionFold(Progress(0, 1, 0), fields, saves=False)) as state:
        state.fold(Batch.of({0: records(events)}))
        contents = state.contents({})
        return learned(name, {0: contents}, state.routers.values())


def scored(arm: str, score: float, count: int, seed: int = 1, **fields: Any) -> list[Any]:
    rng = random.Random(seed)
    events: list[Any] = []
    for i in range(count):
        turn_id = uuid7(T0 + i, rng)
        common = {"arm": arm, "request_type": "general"} | fields
        events.append(turn(turn_id, **common))
        events.append(outcome(turn_id, uuid7(T0 + i, rng), scores={"quality": score}, **common))
    return events


LOG = [configured(CONFIG), *scored("a", 0.6, 30), *scored("b", 0.6, 30, seed=2)]


def turns(count: int, **fields: Any) -> list[Turn]:
    rng = random.Random(9)
    return [turn(uuid7(T0 + i, rng), **fields) for i in range(count)]


def test_equal_states_differ_in_nothing() -> None:
    left, right = folded("left", LOG), folded("right", LOG)
    assert left.digest == right.digest
    cells = compare_cells(left, right)
    assert len(cells) == 4
    assert not any(cell.changed or cell.moved for cell in cells)
    flips = count_flips(left, right, turns(200))["r"]
    assert (flips.turns, flips.flipped, flips.share) == (200, 0, 0.0)


def test_other_evidence_moves_probabilities_and_flips_picks() -> None:
    left = folded("left", LOG)
    right = folded("right", [*LOG, *scored("b", 1.0, 200, seed=3)])
    cells = {(c.request_type, c.arm): c for c in compare_cells(left, right)}
    assert [key for key, cell in cells.items() if cell.changed] == [("general", "b")]
    better = cells["general", "b"]
    assert better.left is not None
    assert better.right is not None
    assert better.right.mean > better.left.mean
    # chances of two arms: what one gains the other loses
    assert cells["general", "a"].moved == pytest.approx(better.moved) != 0.0
    assert cells["writing", "a"].moved == cells["writing", "b"].moved == 0.0
    logged = turns(2000)
    flips = count_flips(left, right, logged)["r"]
    assert set(flips.moves) == {("a", "b")}
    # the same hash against both tables: exactly what the probability moved flips
    assert flips.share == pytest.approx(better.moved, abs=0.05)


def test_reward_weights_move_picks_without_other_evidence() -> None:
    log = [
        configured(config(arms=("a", "b"), rewards={"quality": 1.0, "style": 0.0})),
        *scored("a", 0.9, 50),
        *scored("b", 0.2, 50, seed=2),
    ]
    left = folded("left", log)
    right = folded("right", log, rewards={"r": {"quality": 0.0}})
    cells = compare_cells(left, right)
    assert not any(cell.changed for cell in cells)
    assert max(cell.moved for cell in cells) > 0.1
    assert count_flips(left, right, turns(500))["r"].flipped > 0


def test_an_arm_that_only_one_side_has() -> None:
    left = folded("left", LOG)
    wider = config(arms=("a", "b", "c"), request_types=("general", "writing", "coding"))
    right = folded("right", [*LOG, configured(wider, 2)])
    cells = {(c.request_type, c.arm): c for c in compare_cells(left, right)}
    assert cells["general", "c"].left is None
    assert cells["general", "c"].right is not None
    assert cells["general", "c"].moved == cells["general", "c"].right.probability
    assert cells["coding", "a"].left is None
    known, new_type, new_arm, no_router = (
        turns(10),
        turns(10, request_type="coding"),
        turns(10, eligible=("a", "c")),
        turns(10, router="other"),
    )
    found = count_flips(left, right, [*known, *new_type, *new_arm, *no_router])
    assert (found["r"].turns, found["r"].skipped) == (10, 20)
    assert (found["other"].turns, found["other"].skipped, found["other"].share) == (0, 10, 0.0)


def test_the_latest_configuration_of_any_partition_counts() -> None:
    with (
        closing(PartitionFold(Progress(0, 1, 0), RebuildSettings(), saves=False)) as one,
        closing(PartitionFold(Progress(1, 1, 0), RebuildSettings(), saves=False)) as two,
    ):
        one.fold(Batch.of({0: records(LOG)}))
        two.fold(
            Batch.of(
                {0: records([configured(CONFIG), configured(config(arms=("a", "b", "z")), 5)])}
            )
        )
        routers = [*one.routers.values(), *two.routers.values()]
        both = learned("both", {0: one.contents({}), 1: two.contents({})}, routers)
    assert both.routers["r"].config.arm_names == ("a", "b", "z")
    assert both.offsets == {0: len(LOG), 1: 2}
