"""LiteLLM as it is installed here; rivals of several benchmarks are made from it."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version


def litellm_name() -> str | None:
    """The installed LiteLLM, or None."""
    try:
        return f"litellm {version('litellm')}"
    except PackageNotFoundError:
        return None


def require_litellm(left_out: str) -> str | None:
    """The installed LiteLLM; without it None, and word on standard error of what is left out."""
    name = litellm_name()
    if name is None:
        print(f"litellm is not installed ({left_out}): make rivals installs it", file=sys.stderr)
    return name
