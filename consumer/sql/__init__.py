"""Named SQL statements, in the `.sql` files here. Each begins with a line `-- name: <name>`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import LiteralString


@cache
def _statements() -> dict[str, str]:
    files = sorted(
        (file for file in resources.files("consumer.sql").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    text = "\n".join(file.read_text() for file in files)
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))


def sql(name: str) -> LiteralString:
    """The statement called `name`. Raises KeyError for a name that is in none of the files."""
    return _statements()[name]
