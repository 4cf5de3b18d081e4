"""Cell by cell: whether the evidence differs, and how far beliefs and probabilities have moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from routefold.compare.learned import Learned, LearnedRouter
from schemas.evidence import SeriesKey, Sums


class Believed(NamedTuple):
    """What one side makes of a cell. `mean` is the expected reward, from `observations` of it."""

    probability: float
    mean: float
    observations: float


class Cell(NamedTuple):
    """A cell of either side; None where that side's configuration doesn't have it.

    `changed` is about evidence: probabilities can move without it (other reward weights, another
    configuration), and stay with it.
    """

    router: str
    request_type: str
    arm: str
    changed: bool
    left: Believed | None
    right: Believed | None

    @property
    def moved(self) -> float:
        """By how much the probability differs, 0 to 1."""
        mine, theirs = (side.probability if side else 0.0 for side in (self.left, self.right))
        return abs(theirs - mine)


def compare_cells(left: Learned, right: Learned) -> list[Cell]:
    """Every cell of every router of either side, all arms eligible."""
    cells: list[Cell] = []
    for router in sorted(left.routers.keys() | right.routers.keys()):
        mine, theirs = left.routers.get(router), right.routers.get(router)
        types = {
            request_type: None
            for side in (mine, theirs)
            if side is not None
            for request_type in side.config.request_types
        }
        for request_type in types:
            cells += _cells(router, request_type, mine, theirs)
    return cells


def _cells(
    router: str, request_type: str, left: LearnedRouter | None, right: LearnedRouter | None
) -> Iterator[Cell]:
    believed = [_believed(side, request_type) for side in (left, right)]
    evidence = [_evidence(side, request_type) for side in (left, right)]
    for arm in dict.fromkeys([*believed[0], *believed[1]]):
        yield Cell(
            router=router,
            request_type=request_type,
            arm=arm,
            changed=evidence[0].get(arm, {}) != evidence[1].get(arm, {}),
            left=believed[0].get(arm),
            right=believed[1].get(arm),
        )


def _believed(side: LearnedRouter | None, request_type: str) -> dict[str, Believed]:
    if side is None or request_type not in side.config.request_types:
        return {}
    names = tuple(deployment.name for deployment in side.config.deployments)
    table = side.choices(request_type, names).table
    quality = side.beliefs(request_type).quality
    found: dict[str, Believed] = {}
    for index, deployment in enumerate(side.config.deployments):
        posterior = quality[deployment.arm]
        found[deployment.name] = Believed(
            table.probabilities[index], posterior.mean, posterior.observations
        )
    return found


def _evidence(
    side: LearnedRouter | None, request_type: str
) -> Mapping[str, Mapping[SeriesKey, Sums]]:
    """Visible evidence by arm, summed over the partitions."""
    by_arm: dict[str, dict[SeriesKey, Sums]] = {}
    if side is not None:
        for series, sums in side.reading(request_type).evidence.items():
            by_arm.setdefault(series.arm, {})[series] = sums
    return by_arm
