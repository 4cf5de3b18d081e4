"""`joined` says what the fold counts: the sums over its rows are the evidence."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.records import Batch
from routefold.history.joined import join
from routefold.history.tables import tables_of
from schemas.events import Outcome, Turn
from schemas.evidence import UNIT_WEIGHT
from schemas.metrics import kind_of, to_fixed
from tests.factories import T0, config, configured, outcome, records, turn, uuid7
from tests.oracle import Oracle

RNG = random.Random(11)
TURNS = [uuid7(T0 + i, RNG) for i in range(3)]
OUTCOMES = [uuid7(T0 + 100 + i, RNG) for i in range(4)]
# Nothing is forgotten, so that every observation weighs the same.
CONFIG = config(
    arms=("a", "b", "c"),
    rewards={"quality": 1.0, "style": 1.0, "failure": 1.0, "satisfaction": 1.0},
    half_lives_s={
        "quality": {"slow": None, "fast": None},
        "latency": {"slow": None, "fast": None},
    },
)
COMPARED = (
    *("picked", "success", "latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd"),
    *("quality", "style", "failure", "satisfaction"),
)

turns = st.builds(
    turn,
    st.sampled_from(TURNS),
    arm=st.sampled_from(["a", "b"]),
    probability=st.sampled_from([0.25, 1.0]),
)
reports = st.builds(
    outcome,
    st.sampled_from(TURNS),
    st.sampled_from(OUTCOMES),
    status=st.sampled_from(["none", "ok", "error", "timeout", "cancelled"]),
    latency_ms=st.sampled_from([None, 10.0, 900.0]),
    ttft_ms=st.sampled_from([None, 5.0]),
    tokens_in=st.sampled_from([None, 7]),
    tokens_out=st.sampled_from([None, 0, 70]),
    cost_usd=st.sampled_from([None, 0.0, 0.002]),
    scores=st.dictionaries(st.sampled_from(["quality", "style"]), st.sampled_from([0.0, 0.5])),
    signals=st.lists(st.sampled_from(["failure", "satisfaction"]), max_size=2).map(tuple),
    voids=st.sampled_from([None, None, *OUTCOMES]),
)


def reports_something(event: Outcome) -> bool:
    values = (event.latency_ms, event.ttft_ms, event.tokens_in, event.tokens_out, event.cost_usd)
    said = event.status != "none" or event.scores or event.signals
    return bool(said) or any(value is not None for value in values)


def sums_of(joined: list[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """(arm, metric) to n, s1, s2 in the fold's units."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in joined:
        for metric, value in _observed(row):
            x = int(to_fixed(kind_of(metric), np.array([float(value)]))[0])
            total = sums[row["arm_served"], metric]
            for place, power in enumerate((1, x, x * x)):
                total[place] += UNIT_WEIGHT * power
    return sums


def _observed(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    yield "picked", row["probability"]
    if row["status"] in ("ok", "error", "timeout"):
        yield "success", row["status"] == "ok"
    for metric in ("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd"):
        if row[metric] is not None:
            yield metric, row[metric]
    for score in row["scores"]:
        yield score["metric"], score["value"]
    for signal in row["signals"]:
        yield signal, signal == "satisfaction"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(turns, reports.filter(reports_something)), max_size=12), st.data())
def test_the_sums_over_joined_are_the_evidence(
    events: list[Turn | Outcome], data: st.DataObject
) -> None:
    # each turn is there, and its outcomes name the arm that its first record does
    events = [*(turn(turn_id, arm="a") for turn_id in TURNS), *events]
    served = {turn_id: data.draw(st.sampled_from(["a", "c"])) for turn_id in TURNS}
    log: list[Turn | Outcome] = [
        event if isinstance(event, Turn) else replace(event, arm_served=served[event.turn_id])
        for event in events
    ]
    oracle = Oracle().fold([configured(CONFIG), *log])
    found = tables_of(Batch.of({0: records(log)}))
    sums = sums_of(join(found.turns, found.outcomes).to_dicts())
    expected = {
        (arm, metric): values
        for (_, _, arm, metric, pace, _), values in oracle.rows.items()
        if metric in COMPARED and metric != "picked" and pace == "slow" and values[0]
    }
    assert {key: value for key, value in sums.items() if key[1] != "picked"} == expected
