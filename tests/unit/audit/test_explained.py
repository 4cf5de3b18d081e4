"""A pick of a played log, explained and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from consumer.records import Batch
from routefold.audit.ahead import ReadAhead
from routefold.audit.explanation import Explanation, explained
from routefold.audit.find import find_turn
from routefold.audit.render_explanation import render, to_json
from routefold.audit.replayed import Replayed
from routefold.audit.states import StateName, States
from routefold.errors import Failure
from routefold.history import History
from routefold.history.tables import tables_of
from schemas.events import Turn
from tests.unit.audit.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with closing(World(21)) as made:
        yield made.play(150)


async def explanation(world: World, turn: Turn, **changed: Any) -> Explanation:
    found = await find_turn(world.batches(), turn.turn_id)
    state = StateName(turn.router, turn.request_type, turn.snapshot_version)
    with Replayed(ReadAhead(world.batches(), world.held), States([state])) as replayed:
        reading = await replayed.read(state)
    assert reading is not None
    before = {
        partition: [record for record in records if record.offset < state.offsets.get(partition, 0)]
        for partition, records in world.log.items()
    }
    tables = tables_of(Batch.of({p: records for p, records in before.items() if records}))
    past = History(
        turns=tables.turns,
        outcomes=tables.outcomes,
        configs=tables.configs,
        skipped={},
        records=0,
        ranges={},
    )
    configs = found.collected.configs[turn.router, turn.router_version]
    return explained(found, replace(turn, **changed), configs, reading, past)


def shown(found: Explanation) -> str:
    console = Console(width=120, file=StringIO())
    console.print(render(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


async def test_the_choice_is_made_again_and_taken_apart(world: World) -> None:
    turn = world.turns[120]
    found = await explanation(world, turn)
    assert found.differs == ""
    chances = {part.name: part.probability for part in found.parts}
    assert chances[turn.arm] == turn.probability
    assert set(chances) == set(turn.eligible)
    assert 0.0 <= found.hashed < 1.0
    assert found.likeliest == found.parts[0].name
    speeds = [part.speed_part for part in found.parts]
    assert max(speeds) == 0.0, "the fastest has nothing taken off"
    assert min(speeds) < 0.0


async def test_the_turns_behind_the_belief_are_of_the_picked_arm_and_before_it(
    world: World,
) -> None:
    turn = world.turns[120]
    found = await explanation(world, turn)
    by_id = {UUID(bytes=each.turn_id): each for each in world.turns[:120]}
    assert found.moved
    for each in found.moved:
        earlier = by_id[each.turn_id]
        assert (earlier.arm, earlier.request_type) == (turn.arm, turn.request_type)
    sizes = [abs(each.by) for each in found.moved]
    assert sizes == sorted(sizes, reverse=True)


async def test_what_is_shown_names_what_matters(world: World) -> None:
    turn = world.turns[120]
    text = shown(await explanation(world, turn))
    assert str(UUID(bytes=turn.turn_id)) in text
    assert "the same, to the last bit" in text
    assert f"picked {turn.arm} with probability" in text
    assert "more observations of reward" in text
    assert "quality" in text
    assert "What came of it" in text


async def test_a_program_gets_all_of_it(world: World) -> None:
    turn = world.turns[120]
    document = json.loads(json.dumps(to_json(await explanation(world, turn))))
    assert document["equal"] is True
    assert {arm["name"] for arm in document["arms"]} == set(turn.eligible)
    assert document["outcomes"][0]["status"] in ("ok", "error")


async def test_a_changed_pick_is_said_to_differ(world: World) -> None:
    turn = world.turns[120]
    found = await explanation(world, turn, probability=turn.probability / 2)
    assert "another probability" in found.differs
    assert "it is not the same" in shown(found)


async def test_an_arm_that_could_not_be_picked_is_refused(world: World) -> None:
    with pytest.raises(Failure, match="'z' was not eligible"):
        await explanation(world, world.turns[120], arm="z")
