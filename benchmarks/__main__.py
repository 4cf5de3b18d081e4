"""`python -m benchmarks [NAME ...]`: run the named benchmarks, all without a name."""

from __future__ import annotations

import importlib
import sys

from benchmarks.report import print_machine

NAMES = ("fold", "pick", "http", "freshness", "memory")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print_machine()
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
