"""LiteLLM as it is installed here; rivals of several benchmarks are made from it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def litellm_name() -> str | None:
    """The installed LiteLLM, or None."""
    try:
        return f"litellm {version('litellm')}"
    except PackageNotFoundError:
        return None
