"""What was learned can be unlearned: no amount of evidence freezes a cell."""

from __future__ import annotations

import random

from tests.factories import config
from tests.guards.installation import Installation, share

TURN_MS = 10_000


def played(installation: Installation, success: dict[str, float], turns: int, seed: int) -> float:
    """Share of arm "a" in so many turns that come out well with these chances."""
    rng = random.Random(seed)
    picked = []
    for _ in range(turns):
        pick = installation.pick()
        picked.append(pick.arm)
        score = float(rng.random() < success[pick.arm])
        installation.report(pick, status="ok", scores={"quality": score})
        installation.wait(TURN_MS)
    return share(picked, "a")


def test_the_posterior_follows_a_drift_from_good_to_bad() -> None:
    """0.9, and from turn 1,000 on 0.1: by then five times what a cap of 200 would let in."""
    installation = Installation(config())
    installation.fold_every_ms = 5 * TURN_MS
    played(installation, {"a": 0.9, "b": 0.6}, 1000, seed=1)
    before = installation.quality()[0]
    assert before.observations > 800
    assert before.mean > 0.85
    played(installation, {"a": 0.1, "b": 0.6}, 300, seed=2)
    assert installation.quality()[0].mean < 0.6
    assert played(installation, {"a": 0.1, "b": 0.6}, 100, seed=3) < 0.1
