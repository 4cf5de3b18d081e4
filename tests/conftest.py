"""Shared fixtures are plug-ins under `tests/fixtures`; all are factories or real servers."""

from __future__ import annotations

pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.broker"]
