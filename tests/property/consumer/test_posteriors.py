"""Whatever is in the log, what is believed of an arm is a proper distribution."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from router_api.routing.beliefs import beliefs
from router_api.routing.chances import choice_table
from schemas.evidence import SeriesKey, Sums, reading_ms, visible
from schemas.possible import is_evidence
from schemas.posterior import metrics_at
from schemas.router_config import RouterConfig, parse_config
from tests.factories import T0
from tests.in_memory import InMemory
from tests.property.consumer.test_fold import logs

READ_MS = T0 + 400_000  # behind every turn of these logs


@settings(max_examples=60, deadline=None)
@given(logs(), st.sampled_from([0.0, 0.5]))
def test_shapes_are_positive_for_any_sequence_of_events(log: list[Any], latency: float) -> None:
    written = InMemory()
    written.write(log)
    config = weighed(parse_config(log[0].config), latency)
    rows: dict[SeriesKey, Sums] = {series: sums for (_, series), sums in written.rows.items()}
    for key, sums in rows.items():
        assert is_evidence(key, sums, reading_ms(key.arm, key.metric, READ_MS, {}))
    seen = {key: rows[key] for key in visible(rows, READ_MS, {})}

    believed = beliefs(config, "general", metrics_at(seen, READ_MS, {}))

    for arm, posterior in zip(config.arms, believed.quality, strict=True):
        prior = config.prior.of(arm, "general")
        assert posterior.alpha >= prior.alpha > 0.0
        assert posterior.beta >= prior.beta > 0.0
        assert math.isfinite(posterior.alpha + posterior.beta)
    table, learned = choice_table(config, "general", believed, 0b11)
    assert learned
    assert sum(table.probabilities) == 1.0


def weighed(config: RouterConfig, latency: float) -> RouterConfig:
    told = config.model_dump()
    told["weights"] = {"quality": 1.0 - latency, "cost": 0.0, "latency": latency}
    return RouterConfig.model_validate(told)
