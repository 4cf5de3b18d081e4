"""The demonstration's pure parts: figures with sources, simulated traffic, the view of learning."""

from __future__ import annotations

import csv
import io
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from routefold.demo.learning import Learning
from routefold.demo.live import display_on, render_view
from routefold.demo.models import FIGURES, read_models, router_config
from routefold.demo.traffic import simulate, write_log
from routefold.play.log import read_log
from schemas.request_types import REQUEST_TYPES

MODELS = read_models()
CONFIG = router_config(MODELS)


def state(quality: dict[tuple[str, str], tuple[float, float]]) -> dict[str, Any]:
    """A state document with (observations, mean) of the scores of some cells."""
    cells = []
    for request_type in CONFIG.request_types:
        for arm in CONFIG.arm_names:
            n, mean = quality.get((request_type, arm), (0.0, 0.0))
            cells.append(
                {
                    "request_type": request_type,
                    "arm": arm,
                    "probability": 1 / len(MODELS),
                    "mean": 0.5,
                    "interval_90": [0.4, 0.6],
                    "metrics": {"quality": {"n": n, "mean": mean}} if n else {},
                }
            )
    return {"cells": cells, "events": {"folded": 10}, "freshness_ms": {"p99": 12.0}}


def test_every_figure_names_its_source() -> None:
    text = (resources.files("routefold.demo") / FIGURES).read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(MODELS) * (3 + len(REQUEST_TYPES))
    assert all(len(row["source"]) > 10 and row["unit"] for row in rows)


def test_eight_models_with_every_request_type() -> None:
    assert len(MODELS) == 8
    for model in MODELS:
        assert tuple(model.success) == REQUEST_TYPES
        assert all(0 < rate < 1 for rate in model.success.values())
        assert model.latency_mean_s > 0
        assert 0 < model.usd_per_1m_in <= model.usd_per_1m_out


def test_no_arm_is_favoured_beforehand() -> None:
    assert len({(arm.tier, arm.strengths) for arm in CONFIG.arms}) == 1


def test_simulated_rates_and_latencies_are_the_published_ones() -> None:
    rows = list(simulate(MODELS, 14_000, seed=5))
    for model in MODELS:
        for request_type, rate in model.success.items():
            solved = [row["r"][model.name]["y"] for row in rows if row["rtype"] == request_type]
            # Five standard errors: once in two million by chance, and the seed is fixed.
            assert np.mean(solved) == pytest.approx(rate, abs=5 * (0.25 / len(solved)) ** 0.5)
        seconds = [row["r"][model.name]["lat_s"] for row in rows]
        assert np.mean(seconds) == pytest.approx(model.latency_mean_s, rel=0.05)


def test_the_same_seed_gives_the_same_traffic() -> None:
    assert list(simulate(MODELS, 50, seed=3)) == list(simulate(MODELS, 50, seed=3))
    assert list(simulate(MODELS, 50, seed=3)) != list(simulate(MODELS, 50, seed=4))


def test_the_traffic_file_can_be_played(tmp_path: Path) -> None:
    write_log(tmp_path / "traffic.jsonl", MODELS, rows=70, seed=1)
    log = read_log(tmp_path / "traffic.jsonl")
    assert log.arms == CONFIG.arm_names
    assert set(log.request_types) == set(CONFIG.request_types)
    assert not log.failed.any()
    expected = [model.cost_usd(1020, 129) for model in MODELS]
    assert log.cost_usd[0].tolist() == pytest.approx(expected, abs=1e-9)


def test_utility_lately_is_that_of_the_turns_since_the_last_looks() -> None:
    learning = Learning(CONFIG, MODELS)
    good, bad = ("writing", "grok-3-mini"), ("writing", "claude-3-7-sonnet")
    learning.view(state({bad: (1000.0, 0.0)}))
    learning.view(state({bad: (1000.0, 0.0), good: (500.0, 1.0)}))
    view = learning.view(state({bad: (1000.0, 0.0), good: (1500.0, 1.0)}))
    assert view.turns == 2500
    assert view.utility_lately == pytest.approx(learning.utility("grok-3-mini", 1.0))


def test_yardsticks_are_those_of_the_true_rates() -> None:
    learning = Learning(CONFIG, MODELS)
    view = learning.view(state({}))
    expected = [
        [learning.utility(model.name, model.success[name]) for model in MODELS]
        for name in CONFIG.request_types
    ]
    assert view.utility_lately is None
    assert view.utility_uniform == pytest.approx(np.mean(expected))
    assert view.utility_best == pytest.approx(np.mean(np.max(expected, axis=1)))


def test_plain_output_is_lines_without_control_characters() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    learning = Learning(CONFIG, MODELS)
    with display_on(console, 100) as display:
        display.show(learning.view(state({("writing", "o3"): (5.0, 0.8)})))
    assert out.getvalue().startswith("5/100 turns; utility lately ")
    assert out.getvalue().count("\n") == 2
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("arms", [0, 2, 9])
def test_the_table_fits_a_terminal_of_80_columns(arms: int) -> None:
    out = io.StringIO()
    view = Learning(CONFIG, MODELS).view(state({("writing", "o3"): (5000.0, 0.8)}))
    Console(file=out, width=80).print(render_view(view, 12_000, arms))
    assert all(name in out.getvalue() for name in REQUEST_TYPES)
    assert "…" not in out.getvalue()
    assert out.getvalue().count("±") == len(REQUEST_TYPES) * max(1, min(arms, 3))
