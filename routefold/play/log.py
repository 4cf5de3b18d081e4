"""Reads a recorded routing log: JSON Lines, one request a line, every arm's outcome in every line.

The format is described for users in docs/play.md.
"""

from __future__ import annotations

import gzip
import re
import reprlib
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from routefold.play.errors import LogError
from schemas.metrics import Kind, max_value
from schemas.router_config import MAX_ARMS, ArmName, TypeName

FloatArray: TypeAlias = NDArray[np.float64]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# The fold refuses values above these: better a line number here than a rejected outcome later.
_MAX_SECONDS: Final = max_value(Kind.TIME) / 1000.0
_MAX_TOKENS: Final = int(max_value(Kind.TOKENS))
_MAX_USD: Final = max_value(Kind.MONEY)

_Tokens = Annotated[int, Field(ge=0, le=_MAX_TOKENS)]


class _Lenient(BaseModel):
    """Further fields are the user's own and ignored; NaN and Infinity are refused."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class _Outcome(_Lenient):
    y: Annotated[float, Field(ge=0, le=1)]
    usd: Annotated[float, Field(ge=0, le=_MAX_USD)]
    tokens_in: _Tokens | None = Field(default=None, alias="in")
    tokens_out: _Tokens | None = Field(default=None, alias="out")
    lat_s: Annotated[float, Field(ge=0, le=_MAX_SECONDS)] | None = None
    err: bool = False


class _Row(_Lenient):
    rtype: TypeName | None = None
    prompt: str | None = None
    r: Annotated[dict[ArmName, _Outcome], Field(min_length=1, max_length=MAX_ARMS)]


_HINTS: Final[Mapping[str, str]] = {
    "y": "y is the answer's reward, 0 (bad) to 1 (good)",
    "usd": f"usd is what the request cost in US dollars, 0 (free) to {_MAX_USD:.0f}",
    "in": "in is the number of input tokens; leave it out if it is not known",
    "out": "out is the number of output tokens; leave it out if it is not known",
    "lat_s": "lat_s is the wall-clock time in seconds; leave it out if it is not known",
    "err": "err is 1 where the call itself failed, else 0 or left out",
    "rtype": "rtype is a request type: lower-case letters, digits and _, at most 64",
    "prompt": "prompt is the text of the request, or null",
    "r": f'r is {{"arm": {{"y": .., "usd": ..}}, ..}} with 1 to {MAX_ARMS} arms',
}
_ROW_HINT: Final = "each line must be one JSON object; docs/play.md shows two"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one arm did with one request. None: the log does not say."""

    reward: float
    cost_usd: float
    latency_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    failed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """A whole log in columns. Arrays are (rows, arms), arms in the order of the first line.

    `prompts` holds the text of exactly those rows that give no request type. In `latency_ms`,
    `tokens_in` and `tokens_out` NaN stands for a value that was not recorded.
    """

    path: Path
    arms: tuple[str, ...]
    request_types: tuple[str | None, ...]
    prompts: Mapping[int, str]
    reward: FloatArray
    cost_usd: FloatArray
    latency_ms: FloatArray
    tokens_in: FloatArray
    tokens_out: FloatArray
    failed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.request_types)

    def recorded(self, row: int, arm: int) -> Recorded:
        """The outcome in line `row` (counted from 0, blank lines left out) of arm number `arm`."""
        latency_ms = float(self.latency_ms[row, arm])
        return Recorded(
            reward=float(self.reward[row, arm]),
            cost_usd=float(self.cost_usd[row, arm]),
            latency_ms=None if np.isnan(latency_ms) else latency_ms,
            tokens_in=_tokens(self.tokens_in[row, arm]),
            tokens_out=_tokens(self.tokens_out[row, arm]),
            failed=bool(self.failed[row, arm]),
        )


def read_log(path: Path) -> Log:
    """The log in a file, plain or gzip (told apart by content, not by name).

    Raises LogError: unreadable or broken file, bad line, an arm missing in a line, no line at all.
    """
    columns = _Columns(path)
    for number, line in _numbered_lines(path):
        columns.add(number, _parse(path, number, line))
    return columns.log()


class _Columns:
    """Collects rows; holds numbers only, so that a log of a million rows fits in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arms: tuple[str, ...] = ()
        self._first_line = 0
        self._types: list[str | None] = []
        self._prompts: dict[int, str] = {}
        self._numbers = {
            name: array("d")
            for name in ("reward", "cost_usd", "latency_ms", "tokens_in", "tokens_out", "failed")
        }

    def add(self, line: int, row: _Row) -> None:
        if not self._arms:
            self._arms, self._first_line = tuple(row.r), line
        self._require_same_arms(line, row)
        if row.rtype is None:
            if row.prompt is None:
                raise LogError(
                    self._path,
                    line,
                    "neither rtype nor prompt: give the request type, or the text to find it from",
                )
            self._prompts[len(self._types)] = row.prompt
        self._types.append(row.rtype)
        for arm in self._arms:
            outcome = row.r[arm]
            self._numbers["reward"].append(outcome.y)
            self._numbers["cost_usd"].append(outcome.usd)
            self._numbers["latency_ms"].append(_number(outcome.lat_s) * 1000.0)
            self._numbers["tokens_in"].append(_number(outcome.tokens_in))
            self._numbers["tokens_out"].append(_number(outcome.tokens_out))
            self._numbers["failed"].append(outcome.err)

    def _require_same_arms(self, line: int, row: _Row) -> None:
        missing = [arm for arm in self._arms if arm not in row.r]
        if missing:
            raise LogError(
                self._path,
                line,
                f"no outcome of arm {missing[0]!r}, which line {self._first_line} has; "
                "every row needs every arm: add the outcome, or drop the row or the arm",
            )
        unknown = [arm for arm in row.r if arm not in self._arms]
        if unknown:
            raise LogError(
                self._path,
                line,
                f"arm {unknown[0]!r} is not in line {self._first_line}; "
                "every row needs every arm: add it there too, or drop it here",
            )

    def log(self) -> Log:
        if not self._types:
            raise LogError(self._path, None, f"no rows; {_ROW_HINT}")
        shape = (len(self._types), len(self._arms))
        columns = {
            name: np.frombuffer(values, dtype=np.float64).reshape(shape)
            for name, values in self._numbers.items()
        }
        failed = columns.pop("failed") > 0.0
        return Log(
            path=self._path,
            arms=self._arms,
            request_types=tuple(self._types),
            prompts=self._prompts,
            failed=failed,
            **columns,
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _tokens(value: np.float64) -> int | None:
    return None if np.isnan(value) else int(value)


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 and the lines' bytes, blank ones left out. Raises LogError."""
    number = 0
    try:
        with path.open("rb") as raw:
            zipped = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            source = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if zipped else raw
            for number, line in enumerate(source, start=1):
                text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if text.strip():
                    yield number, text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LogError(
            path, number + 1, f"the gzip file is broken here ({error}); copy or compress it again"
        ) from error
    except OSError as error:
        raise LogError(
            path, None, f"can't be read ({error.strerror or error}); give a JSON Lines file"
        ) from error


def _parse(path: Path, number: int, line: bytes) -> _Row:
    try:
        return _Row.model_validate_json(line)
    except ValidationError as error:
        raise LogError(path, number, _fault(error)) from None


def _fault(error: ValidationError) -> str:
    """The first fault in words: field, what is wrong, the value, and what belongs there."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"] if part != "[key]"]
    if not where:  # not JSON, or no object: its text may be long, and the place says enough
        message = re.sub(r"at line 1 column", "at column", first["msg"])
        return f"{message}; {_ROW_HINT}"
    value = "" if first["type"] == "missing" else f", got {reprlib.repr(first['input'])}"
    hint = next((_HINTS[part] for part in reversed(where) if part in _HINTS), _ROW_HINT)
    return f"{'.'.join(where)}: {first['msg']}{value}; {hint}"
