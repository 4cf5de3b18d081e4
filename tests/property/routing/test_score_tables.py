"""Tables of scores against scores counted on a lattice."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings

from router_api.routing.curves import Curves
from router_api.routing.score_tables import tabulate
from tests.property.routing.blend_arms import lattice, powers


@settings(deadline=None, max_examples=40)
@given(powers(0.05, 1e6), powers(0.05, 1e6), powers(1e-4, 3.0), powers(2.1, 1e4))
@example(0.05, 0.05, 0.05, 3.0)
@example(0.9, 0.1, 1e-4, 3.0)
@example(1.0, 1.0, 0.14, 3.0)
def test_the_cdf_of_a_sum(alpha: float, beta: float, spread: float, degrees: float) -> None:
    scores = lattice(alpha, beta, 0.8, spread, degrees, 4096)
    columns = (np.array([value]) for value in (alpha, beta, spread, degrees))
    a, b, of_time, freedom = columns

    cdf = Curves.through(*tabulate(a, b, 0.8, of_time, freedom)).at(scores)[0]

    counts = (scores.searchsorted(scores) + scores.searchsorted(scores, side="right")) / 2
    error = np.abs(cdf - counts / len(scores))
    assert error.max() <= 0.015
    assert error.mean() <= 3e-3
