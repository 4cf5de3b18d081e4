"""`python -m routefold`: the same as the `routefold` program."""

from __future__ import annotations

from routefold.cli import main

if __name__ == "__main__":
    main()
