"""Picks made again: all the same, whatever the replicas saw when; and every difference named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from consumer.rebuild.settings import RebuildSettings
from routefold.audit.audit import Report, exit_code, repeat
from routefold.audit.collect import Selection, collect
from routefold.audit.verdicts import Picks, Reason
from routefold.history import OffsetRange, Position
from tests.unit.audit.world import World, audited_config

ALL = {0: OffsetRange(0, 10**9), 1: OffsetRange(0, 10**9)}


Worlds = Callable[[int], World]


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    """`worlds(seed)`: a world, closed at the end."""
    with ExitStack() as made:

        def make(seed: int) -> World:
            return made.enter_context(closing(World(seed)))

        yield make


async def audited(world: World, held: dict[int, OffsetRange] | None = None) -> Report:
    found = await collect(world.batches(), Selection(), ALL)
    report = Report(picks=len(found.turns), bypassed=found.bypassed)
    picks, held = Picks.of(found.turns), held or dict(world.held)
    await repeat(world.batches(), held, picks, found.configs, report, found.recipes)
    return report


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_pick_of_two_replicas_is_the_same_again(worlds: Worlds, seed: int) -> None:
    report = await audited(worlds(seed).play(300))
    assert (report.picks, report.equal) == (300, 300), report.examples
    assert report.states > 20, "the replicas must have learned between their picks"
    assert exit_code(report) == 0


async def test_picks_of_every_configuration_version_are_the_same_again(worlds: Worlds) -> None:
    world = worlds(4).play(80)
    world.configure(audited_config(weights={"quality": 1.0, "cost": 0.0}), version=2)
    world.play(80)
    world.configure(audited_config(stickiness="turn", min_probability=0.05), version=3)
    report = await audited(world.play(80))
    assert (report.picks, report.equal) == (240, 240), report.examples


async def test_an_arm_that_was_gone_for_a_while_is_as_unknown_as_it_was(worlds: Worlds) -> None:
    """Snapshots are without it meanwhile, and some of these are still in use when it is back."""
    world = worlds(16).play(60)
    world.configure(audited_config(arms=("a", "b")), version=2)
    world.play(40)
    world.configure(audited_config(), version=3)
    report = await audited(world.play(60))
    assert report.equal == report.picks == 160, report.examples


async def test_two_writers_of_one_version_may_both_have_been_in_force(worlds: Worlds) -> None:
    world = worlds(5)
    world.configure(audited_config(weights={"quality": 0.1, "cost": 0.9}), version=2)
    world.play(40)
    world.configure(audited_config(weights={"quality": 0.9, "cost": 0.1}), version=2)
    report = await audited(world.play(40))
    assert report.equal == report.picks == 80, report.examples


async def test_a_changed_probability_is_found_to_the_last_bit(worlds: Worlds) -> None:
    world = worlds(6).play(100)
    picked = world.turns[60]
    world.rewrite(picked, probability=picked.probability - 2.0**-53)
    report = await audited(world)
    assert report.different == {Reason.PROBABILITY: 1}
    assert report.examples[0].turn_id.bytes == picked.turn_id
    assert exit_code(report) == 1


async def test_another_arm_is_found(worlds: Worlds) -> None:
    world = worlds(7).play(100)
    picked = world.turns[50]
    other = next(arm for arm in picked.eligible if arm != picked.arm)
    world.rewrite(picked, arm=other)
    assert (await audited(world)).different == {Reason.ARM: 1}


async def test_what_the_log_lacks_is_said(worlds: Worlds) -> None:
    world = worlds(8).play(120)
    first, second, third, fourth = world.turns[60:64]
    world.rewrite(first, router_version=9)
    world.rewrite(second, snapshot_version=f"{10**6}.-")
    world.rewrite(third, snapshot_version="nonsense")
    world.rewrite(fourth, eligible=("a", "z"))
    report = await audited(world)
    assert report.different == {
        Reason.NO_CONFIGURATION: 1,
        Reason.NO_STATE: 2,
        Reason.MISFIT: 1,
    }
    details = {example.turn_id.bytes: example.detail for example in report.examples}
    assert "version 9" in details[first.turn_id]
    assert "ends at offset" in details[second.turn_id]
    assert "not a snapshot version" in details[third.turn_id]
    assert "'z'" in details[fourth.turn_id]


async def test_a_log_without_its_beginning_tells_nothing(worlds: Worlds) -> None:
    world = worlds(9).play(100)
    cut = {0: OffsetRange(5, world.end(0)), 1: OffsetRange(0, world.end(1))}
    report = await audited(world, cut)
    of_partition_0 = [t for t in world.turns if not t.snapshot_version.startswith("-")]
    assert report.different == {Reason.NO_STATE: len(of_partition_0)}
    assert "begins at offset 5" in report.examples[0].detail


async def test_turns_that_nobody_picked_are_no_picks(worlds: Worlds) -> None:
    world = worlds(10).play(50)
    world.rewrite(world.turns[10], mode="bypass", probability=1.0, snapshot_version="-")
    report = await audited(world)
    assert (report.picks, report.bypassed, report.equal) == (49, 1, 49)


async def test_the_last_picks_are_the_latest_by_their_time(worlds: Worlds) -> None:
    world = worlds(11).play(60)
    found = await collect(world.batches(), Selection(last=10), ALL)
    assert [turn.turn_id for turn in found.turns] == [t.turn_id for t in world.turns[-10:]]


async def test_picks_since_a_position_and_of_one_router(worlds: Worlds) -> None:
    world = worlds(12).play(60)
    since = {0: OffsetRange(20, 10**9), 1: OffsetRange(10**9, 10**9)}
    position = Position(offsets={0: 20, 1: 10**9})
    found = await collect(world.batches(), Selection(since=position), since)
    assert 0 < len(found.turns) < 60
    assert (world.config.router, 1) in found.configs, "configurations are taken from everywhere"
    none = await collect(world.batches(), Selection(router="another"), ALL)
    assert none.turns == []


async def test_a_repeated_turn_is_one_pick(worlds: Worlds) -> None:
    world = worlds(13).play(30)
    for event in world.turns[-5:]:
        world._send(event)
    found = await collect(world.batches(), Selection(), ALL)
    assert len(found.turns) == 30


FORGETFUL = RebuildSettings(half_lives_s={"quality.slow": 30.0, "quality.fast": None})


async def test_picks_from_a_promoted_rebuild_are_the_same_again(worlds: Worlds) -> None:
    """What was live, a rebuild with other settings, one without an arm, and a rollback."""
    world = worlds(14).play(60)
    world.promote(FORGETFUL)
    world.play(60)
    world.promote(RebuildSettings(exclude_arms=("b",)))
    world.play(60)
    world.promote(RebuildSettings())
    report = await audited(world.play(60))
    assert {turn.snapshot_version.partition(":")[0] for turn in world.turns[60:]} == {"1", "2", "3"}
    assert (report.picks, report.equal) == (240, 240), report.examples


async def test_a_promote_that_the_log_does_not_tell_of_leaves_its_picks_unknown(
    worlds: Worlds,
) -> None:
    world = worlds(15).play(60)
    world.promote(FORGETFUL, announced=False)
    report = await audited(world.play(60))
    assert report.different == {Reason.NO_STATE: 60}
    assert "generation 1" in report.examples[0].detail
