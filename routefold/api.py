"""The HTTP API as the commands use it: its errors become one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from producer.client import ApiError, ApiUnreachable, RoutefoldClient
from routefold.errors import Failure, Unreachable


@asynccontextmanager
async def api_client(url: str) -> AsyncIterator[RoutefoldClient]:
    """A client of the API at `url`. Raises Unreachable or Failure for whatever goes wrong in it."""
    try:
        async with RoutefoldClient(url) as client:
            yield client
    except ApiUnreachable as error:
        raise Unreachable(f"{error}: is the API running, and is the address right?") from error
    except ApiError as error:
        raise Failure(str(error)) from error
