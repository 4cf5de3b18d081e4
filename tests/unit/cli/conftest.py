"""Every test here starts without a ROUTEFOLD_ variable and in an empty directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ROUTEFOLD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
