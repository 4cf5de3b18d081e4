"""The list of benchmarks: what it names is there, and what is not there is named."""

from __future__ import annotations

import importlib
import inspect

import pytest

from benchmarks.__main__ import MODULES, main


def test_an_unknown_name_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["pick", "speed"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "'speed'" in printed.err
    assert all(name in printed.err for name in MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_name_has_a_module_that_can_be_run(name: str) -> None:
    module = importlib.import_module(MODULES[name])
    assert inspect.signature(module.run).bind() is not None  # callable without arguments
    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith("?"), "a benchmark answers a question"


def test_named_benchmarks_run_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for name, module in MODULES.items():
        monkeypatch.setattr(f"{module}.run", lambda name=name: ran.append(name))
    assert main(["memory", "fold"]) == 0
    assert ran == ["memory", "fold"]
    assert main([]) == 0
    assert ran[2:] == list(MODULES)
