"""Reads router configurations from YAML (or JSON, which is YAML too): faults by line and field.

A file holds one router (a mapping), several (`routers:` with a list, or a list), or several
documents of these.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from routefold.errors import Misuse
from schemas.router_config import RouterConfig

_MAX_BYTES: Final = 4 * 1024 * 1024
STDIN: Final = Path("-")


def load_routers(path: Path) -> list[RouterConfig]:
    """All routers of a file ("-": standard input), in its order; at least one.

    Raises Misuse that names file, line, router and field of every fault.
    """
    name = "standard input" if path == STDIN else str(path)
    configs: list[RouterConfig] = []
    faults: list[str] = []
    for node, document in _router_nodes(name, _read(path)):
        router = document.get("router") if isinstance(document, dict) else None
        label = f"router {router!r}" if isinstance(router, str) else f"router {len(configs) + 1}"
        try:
            configs.append(RouterConfig.model_validate(document))
        except ValidationError as error:
            faults += [f"{name}:{line}: {label}: {text}" for line, text in _faults(node, error)]
    for router in _repeated([config.router for config in configs]):
        faults.append(f"{name}: router {router!r} is given twice")
    if len(faults) == 1:
        raise Misuse(faults[0])
    if faults:
        raise Misuse(f"{name}: {len(faults)} faults, nothing was applied", "\n".join(faults))
    if not configs:
        raise Misuse(f"{name}: no router in it; `routefold apply --help` shows one")
    return configs


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read(_MAX_BYTES + 1) if path == STDIN else path.read_bytes()
        if len(raw) > _MAX_BYTES:
            raise Misuse(f"{path}: larger than {_MAX_BYTES} bytes: not a router file")
        return raw.decode()
    except OSError as error:
        raise Misuse(f"{path}: can't be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise Misuse(f"{path}: not UTF-8 text (byte {error.start})") from None


def _router_nodes(name: str, text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """(node, value) of each router in the text. Raises Misuse for broken YAML."""
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _refuse_repeated_keys(name, node)
            yield from _routers_of(node, loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Misuse(f"{name}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Misuse(f"{name}: not YAML: {error}") from None
    finally:
        loader.dispose()


def _routers_of(node: yaml.Node, value: Any) -> Iterator[tuple[yaml.Node, Any]]:
    if isinstance(node, yaml.MappingNode) and isinstance(value, dict) and set(value) == {"routers"}:
        node, value = node.value[0][1], value["routers"]
    if isinstance(node, yaml.SequenceNode) and isinstance(value, list):
        yield from zip(node.value, value, strict=True)
    elif value is not None:
        yield node, value


def _refuse_repeated_keys(name: str, root: yaml.Node) -> None:
    """YAML readers keep the last of two equal keys in silence: a lost setting."""
    pending, seen_nodes = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen_nodes:  # an alias, perhaps to itself
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in _repeated(keys):
                raise Misuse(f"{name}:{node.start_mark.line + 1}: {key!r} is given twice")
            pending += [child for _, child in node.value]


def _faults(node: yaml.Node, error: ValidationError) -> Iterator[tuple[int, str]]:
    faults = error.errors(include_url=False, include_input=False)
    inner = {fault["loc"][:end] for fault in faults for end in range(len(fault["loc"]))}
    for fault in faults:
        if fault["type"] == "too_short" and fault["loc"] in inner:
            continue  # a list of wrong items is also reported as an empty one
        field = ".".join(map(str, fault["loc"])) or "configuration"
        message = fault["msg"].removeprefix("Value error, ")
        yield _line_of(node, fault["loc"]), f"{field}: {message}"


def _line_of(node: yaml.Node, location: Sequence[int | str]) -> int:
    """Line, from 1, of the deepest node on the way to `location` that is there."""
    line = node.start_mark.line + 1
    for step in location:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            pairs = ((key, value) for key, value in node.value if key.value == step)
            key, child = next(pairs, (None, None))
            line = key.start_mark.line + 1 if key else line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            child = node.value[step] if step < len(node.value) else None
            line = child.start_mark.line + 1 if child else line
        if child is None:
            break
        node = child
    return line


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
