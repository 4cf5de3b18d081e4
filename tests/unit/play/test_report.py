"""The report's JSON keys, its file, and what people see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from routefold.play.options import PlayOptions
from routefold.play.player import play
from routefold.play.render import render
from routefold.play.report import Measure, Report
from tests.unit.play.doubles import MemoryGateway, row

WriteLog = Callable[..., Path]


@pytest.fixture
async def report(write_log: WriteLog, console: Console) -> Report:
    rows = [
        row("technical_design", good={"y": 1, "usd": 0.002}, bad={"y": 0, "usd": 0.002}),
        row("general", good={"y": 1, "usd": 0.002}, bad={"y": 0, "usd": 0.002}),
    ]
    gateway = MemoryGateway(lambda _, kind, __: "good" if kind == "general" else "bad")
    return await play(write_log(rows, "traffic.jsonl"), gateway, PlayOptions(turns=40), console)


def seen(report: Report, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(render(report))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


async def test_the_json_has_the_documented_keys(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report.write_json(path)
    document = json.loads(path.read_text("utf-8"))
    assert list(document) == [
        "turns", "events", "reward", "utility", "cost_usd", "shares", "pick_latency_us",
        "freshness_ms", "state_digest", "seconds", "complete",
    ]  # fmt: skip
    assert list(document["events"]) == ["accepted", "folded", "duplicates", "late", "dead"]
    measure = ["mean", "by_quarter", "uniform", "best_single", "per_type_oracle"]
    assert list(document["reward"]) == list(document["utility"]) == measure
    assert len(document["reward"]["by_quarter"]) == 4
    assert list(document["pick_latency_us"]) == list(document["freshness_ms"]) == ["p50", "p99"]
    assert document["shares"]["general"] == {"good": 1.0, "bad": 0.0}
    assert document["turns"] == 40
    assert document["cost_usd"] == pytest.approx(0.08)


async def test_every_documented_key_is_explained(report: Report) -> None:
    page = (Path(__file__).parents[3] / "docs" / "play.md").read_text("utf-8")
    for key, value in report.to_json().items():
        assert f"`{key}`" in page
        if key in ("events", "reward"):
            assert all(f"`{inner}`" in page for inner in value)


async def test_people_see_the_gap_the_standings_and_the_shares(report: Report) -> None:
    text = seen(report)
    assert "traffic.jsonl" in text
    assert "40 turns" in text
    assert "0 % of the way" in text  # half the types right is as good as uniform choice
    assert "best single arm by utility: good" in text
    assert "80 accepted: 80 folded, 0 duplicates, 0 late, 0 dead" in text
    assert "*100.0" in text
    assert "INCOMPLETE" not in text
    # one price for all arms: cheapness 0.5
    assert re.search(r"utility: good +0\.8500 +1\.0000 +2\.0000", text)


async def test_an_arm_named_like_console_markup_is_shown_as_it_is(
    write_log: WriteLog, console: Console
) -> None:
    path = write_log([row("general", None, **{"model[red]": 1, "[/]": 0})])
    report = await play(path, MemoryGateway(lambda *_: "model[red]"), PlayOptions(), console)
    text = seen(report)
    assert "best single arm by utility: model[red]" in text
    assert "\n [/] " in text


async def test_narrow_consoles_lose_no_arm_or_number(report: Report) -> None:
    text = seen(report, width=60)
    assert "good" in text
    assert "*100.0" in text


async def test_an_incomplete_report_says_so_first_even_without_turns(report: Report) -> None:
    nothing = Measure(None, (None, None, None, None), None, None, None)
    empty = type(report)(
        **{
            **{name: getattr(report, name) for name in report.__dataclass_fields__},
            "turns": 0, "reward": nothing, "utility": nothing, "shares": {}, "standings": (),
            "type_turns": {}, "type_best": {}, "complete": False, "problem": "interrupted",
        }
    )  # fmt: skip
    assert seen(empty).startswith("INCOMPLETE: interrupted")
    assert json.loads(json.dumps(empty.to_json(), allow_nan=False))["complete"] is False


@pytest.mark.parametrize(
    ("last", "uniform", "best", "closed"),
    [(0.8, 0.4, 0.8, 1.0), (0.6, 0.4, 0.8, 0.5), (0.3, 0.4, 0.8, -0.25), (0.4, 0.4, 0.4, None)],
)
def test_the_gap_closed(last: float, uniform: float, best: float, closed: float | None) -> None:
    measure = Measure(0.5, (0.1, 0.2, 0.3, last), uniform, best, best)
    assert measure.gap_closed == (None if closed is None else pytest.approx(closed))
