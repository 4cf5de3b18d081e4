"""Named SQL statements. Each begins with a line `-- name: <name>` in `queries.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import LiteralString


@cache
def _statements() -> dict[str, str]:
    text = (resources.files("consumer.sql") / "queries.sql").read_text()
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def sql(name: str) -> LiteralString:
    """The statement called `name`. Raises KeyError for a name that is not in the file."""
    return _statements()[name]
