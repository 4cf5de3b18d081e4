"""What routers hear of while a database that was lost is made anew."""

from __future__ import annotations

from consumer.progress import Progress
from consumer.refold import Refold


def at(partition: int, next_offset: int) -> Progress:
    return Progress(partition, epoch=1, next_offset=next_offset)


def owned(*each: Progress) -> dict[int, Progress]:
    return {progress.partition: progress for progress in each}


def test_nothing_of_a_partition_is_published_before_its_end() -> None:
    refold = Refold({0: 100, 1: 0, 2: 50})
    assert set(refold.published(owned(at(0, 99), at(1, 0), at(2, 50), at(3, 0)))) == {1, 2, 3}
    assert set(refold.published(owned(at(0, 100)))) == {0}


def test_who_goes_on_after_a_restart_waits_as_well() -> None:
    half = owned(at(0, 60))
    assert Refold({0: 100}).published(half) == {}
    assert Refold({0: 100}).caught_up(half) == []


def test_that_a_partition_is_at_its_end_is_told_once() -> None:
    refold = Refold({0: 100, 1: 10})
    assert refold.caught_up(owned(at(0, 99), at(1, 12))) == [1]
    assert refold.caught_up(owned(at(0, 101), at(1, 13))) == [0]
    assert refold.caught_up(owned(at(0, 102), at(1, 14))) == []


def test_without_a_generation_everything_is_published() -> None:
    assert set(Refold({}).published(owned(at(0, 0), at(1, 7)))) == {0, 1}
    assert Refold({}).caught_up(owned(at(0, 0), at(1, 7))) == []
