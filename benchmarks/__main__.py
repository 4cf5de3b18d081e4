"""`python -m benchmarks [NAME ...]`: run the named benchmarks, all without a name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.report import print_machine

# A file `http.py` would hide the standard library's from everything that runs in this directory.
MODULES: Final[Mapping[str, str]] = {
    "fold": "benchmarks.fold",
    "pick": "benchmarks.pick",
    "http": "benchmarks.http_api",
    "freshness": "benchmarks.freshness",
    "rebuild": "benchmarks.rebuild",
    "exactness": "benchmarks.exactness",
    "memory": "benchmarks.memory",
    "signals": "benchmarks.signals",
    "utility": "benchmarks.utility",
    "drift": "benchmarks.drift",
    "latency": "benchmarks.latency",
    "history": "benchmarks.history",
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks of these names in this order; the exit status."""
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(MODULES)}", file=sys.stderr)
        return 2
    print_machine()
    for name in names or MODULES:
        importlib.import_module(MODULES[name]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
