"""The front door: command line, settings, local stack, player and demo.

The only package that knows all the others; nothing imports it.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("routefold")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
