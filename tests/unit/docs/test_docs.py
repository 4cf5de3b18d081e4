"""The documentation against the code: what it names exists, its tables are complete, its examples
can be read. It can't tell whether a sentence is true."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_group

import consumer.errors
import producer.client
import producer.errors
import routefold.errors
import routefold.stack.errors
from consumer import cells, decode, facts, observations, writer
from consumer.metrics import ConsumerMetrics
from producer.publisher import PublisherStats
from routefold.cli import app
from routefold.evaluate.policy import FixedShares
from routefold.settings import PREFIX, Settings
from routefold.stack.jars import CACHE_VARIABLE
from router_api.directory import Directory
from router_api.http import failures, problems
from router_api.http.observe import HttpMetrics
from router_api.intake import BadRecords
from router_api.metrics import Metrics
from router_api.readings import learning, publishing
from schemas.codec import schemas
from schemas.router_config import RouterConfig
from schemas.topics import Topics

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + [
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
]
ROOMS = ("schemas", "producer", "consumer", "router_api", "routefold")

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(
    rf"(?<![\w./])(?:{'|'.join(ROOMS)}|tests|docs)/[\w./]*\.(?:py|sql|avsc|csv|lock|json|xml|md)\b"
)
_SPAN = re.compile(r"`([^`\n]+)`")


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages; all where none is given."""
    return [
        body
        for _, language, body in _FENCE.findall(text_of(page))
        if not languages or language in languages
    ]


def prose(page: str) -> str:
    return _FENCE.sub("", text_of(page))


def code(page: str) -> str:
    """Everything that is set as code: spans and blocks."""
    return "\n".join([*_SPAN.findall(prose(page)), *blocks(page)])


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    text = text_of(page)
    assert f"\n{heading}\n" in text, f"{page} has no {heading!r}"
    below = text.partition(f"\n{heading}\n")[2]
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row, without header and ruler."""
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    return _SPAN.findall(cell)


def anchors(page: str) -> set[str]:
    """The fragments of a page's headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in headings
    }


def public_names(module: ModuleType, base: type) -> set[str]:
    """The classes that a module defines below `base`."""
    return {
        name
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, base) and kind.__module__ == module.__name__
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        linked = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert linked.exists(), f"{page}: {target}"
        if fragment:
            other = str(linked.relative_to(ROOT))
            assert fragment in anchors(other), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_and_files_exist(page: str) -> None:
    for path, test in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text_of(page)):
        assert (ROOT / path).is_file(), f"{page}: {path}"
        defined = re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE)
        assert defined, f"{page}: {path}::{test}"
    for path in _FILE.findall(code(page)):
        assert (ROOT / path).is_file(), f"{page}: {path}"


@pytest.mark.parametrize("page", PAGES)
def test_named_commands_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    commands = set(get_group(app).commands)
    shown = code(page)
    assert set(re.findall(r"\bmake ([a-z]+)", shown)) <= targets
    calls = re.findall(r"(?:^|[ /`$])routefold ([a-z]+(?:-[a-z]+)*)\b", shown, re.MULTILINE)
    assert set(calls) <= commands


@pytest.mark.parametrize("page", PAGES)
def test_examples_can_be_read(page: str) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in blocks(page, "jsonl"):
        for line in block.splitlines():
            json.loads(line)
    for block in blocks(page, "console"):
        for body in re.findall(r"-d '(.*?)'", block, re.DOTALL):
            json.loads(body)
    for block in blocks(page, "yaml"):
        document = yaml.safe_load(block)
        policy = FixedShares if "shares" in document else RouterConfig
        policy.model_validate(document)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_import_what_there_is(page: str) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS:
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_configuration_shown_in_full_has_the_defaults() -> None:
    shown = yaml.safe_load(blocks("docs/learning.md", "yaml")[0])
    bare = {name: shown[name] for name in ("router", "arms")}
    assert set(shown) == set(RouterConfig.model_fields)
    assert RouterConfig.model_validate(shown) == RouterConfig.model_validate(bare)


def test_every_setting_is_documented_with_its_default() -> None:
    table = {
        names(variable)[0]: default
        for variable, default, _ in rows(section("docs/operations.md", "## Settings"))
    }
    defaults = {
        PREFIX + name.upper(): "-" if field.default is None else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }
    assert table == {**defaults, CACHE_VARIABLE: "-"}


def labels_of_metrics() -> dict[str, tuple[str, ...]]:
    """Every metric as Prometheus sees it, with its labels."""
    api, of_consumer = Metrics(), ConsumerMetrics(CollectorRegistry())
    kept = [*vars(api).values(), *vars(HttpMetrics(api.registry)).values()]
    kept += vars(of_consumer).values()
    labels = {
        exposed(metric._name, metric._type == "counter"): metric._labelnames
        for metric in kept
        if isinstance(metric, MetricWrapperBase)
    }
    registered = [*api.registry.collect(), *of_consumer.registry.collect()]
    assert labels.keys() == {exposed(each.name, each.type == "counter") for each in registered}
    counts: Any = dict.fromkeys(PublisherStats.__dataclass_fields__, 0)
    readings = [
        *learning(Directory(), BadRecords(), True, 0),
        *publishing(PublisherStats(**counts)),
    ]
    return labels | {exposed(each.name, each.is_counter): each.labels for each in readings}


def exposed(name: str, is_counter: bool) -> str:
    return f"{name.removesuffix('_total')}_total" if is_counter else name


def test_every_metric_is_documented_with_its_labels() -> None:
    table = {
        names(row[0])[0]: tuple(filter(None, row[1].split(", ")))
        for row in rows(section("docs/operations.md", "## Metrics"))
    }
    assert table == labels_of_metrics()


def test_topics_are_documented_with_their_configuration() -> None:
    table = {
        names(row[0])[0]: names(row[2]) for row in rows(section("docs/operations.md", "## Topics"))
    }
    events, routers, snapshots = Topics().all
    for topic in (events, routers):
        assert table[topic.name] == [f"{name}={value}" for name, value in topic.config.items()]
    assert snapshots.config == routers.config
    assert table[snapshots.name] == [routers.name]


def test_every_reason_for_a_dead_letter_is_documented() -> None:
    reasons = {
        value
        for module in (cells, decode, facts, observations, writer)
        for name, value in vars(module).items()
        if name.startswith("REASON_")
    }
    table = rows(section("docs/operations.md", "## Dead letters"))
    assert {name for row in table for name in names(row[0])} == reasons


def test_every_error_that_ends_a_command_is_documented() -> None:
    table = rows(section("docs/operations.md", "## Errors"))
    documented = {name for row in table for name in names(row[0])}
    there = (
        public_names(consumer.errors, consumer.errors.ConsumerError)
        | public_names(producer.errors, producer.errors.ProducerError)
        | public_names(producer.client, producer.errors.ProducerError)
        | public_names(routefold.errors, routefold.errors.CommandError)
        | public_names(routefold.stack.errors, routefold.stack.errors.StackError)
    )
    bases = {"ConsumerError", "ProducerError", "ClientError", "CommandError", "StackError"}
    assert there - bases - {"Failure", "SpoolError"} == documented - {"CannotListen"}


def test_every_problem_is_documented() -> None:
    kinds = {
        (str(kind.status), kind.slug)
        for module in (failures, problems)
        for kind in vars(module).values()
        if isinstance(kind, problems.Kind)
    }
    table = rows(section("docs/gateways.md", "## Problems"))
    assert {(row[0], names(row[1])[0]) for row in table} == kinds


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("Turn", "turn"),
        ("Outcome", "outcome"),
        ("RouterConfigured", "router_configured"),
        ("Snapshot", "snapshot"),
        ("Progress", "progress"),
    ],
)
def test_every_field_of_an_event_is_documented(heading: str, name: str) -> None:
    newest = [schema for schema in schemas().values() if schema.event == name][-1]
    fields: list[dict[str, Any]] = json.loads(newest.text)["fields"]
    table = rows(section("docs/events.md", f"## {heading}"))
    assert [names(row[0])[0] for row in table] == [field["name"] for field in fields]


def test_the_first_bytes_of_every_schema_are_documented() -> None:
    table = {
        names(row[0])[0]: names(row[1])[0] for row in rows(section("docs/events.md", "## Framing"))
    }
    assert table == {name: schema.prefix.hex(" ").upper() for name, schema in schemas().items()}
