"""Rows in PostgreSQL's binary COPY format, to and from numpy.

Format: PostgreSQL manual, COPY, "Binary Format". Ten times cheaper than a tuple a row.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from consumer.ragged import Ragged, interleave

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_KINDS: Final = {"int4": (">i4", 4), "int8": (">i8", 8), "uuid": ("V16", 16)}


def _row_type(kinds: tuple[str, ...], *, bytea: bool = False) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for index, kind in enumerate(kinds):
        fields += [(f"size{index}", ">i4"), (f"value{index}", _KINDS[kind][0])]
    return np.dtype([*fields, ("length", ">i4")] if bytea else fields)


def uuid_column(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.void]:
    """UUIDs from their halves, as the "uuid" column of `pack`."""
    halves = np.empty((len(hi), 2), dtype=">u8")  # stacking would turn them to native order
    halves[:, 0], halves[:, 1] = hi, lo
    return halves.view("V16").reshape(-1)


def pack(bytea: Ragged | None = None, **columns: NDArray[Any]) -> bytes:
    """A whole COPY stream; each argument is `<kind>_<anything>=values`, in the table's order.

    `bytea` is the last column, where it is given.
    """
    kinds = tuple(name.partition("_")[0] for name in columns)
    row_type = _row_type(kinds, bytea=bytea is not None)
    rows = np.zeros(len(next(iter(columns.values()))), dtype=row_type)
    rows["fields"] = len(kinds) + (bytea is not None)
    for index, (kind, values) in enumerate(zip(kinds, columns.values(), strict=True)):
        rows[f"size{index}"] = _KINDS[kind][1]
        rows[f"value{index}"] = values
    if bytea is None:
        return _HEADER + rows.tobytes() + _TRAILER
    rows["length"] = bytea.lengths
    heads = rows.view(np.uint8).reshape(-1, row_type.itemsize)
    return _HEADER + interleave(heads, bytea.data, bytea.lengths).tobytes() + _TRAILER


def unpack(stream: bytes, *kinds: str) -> list[NDArray[Any]]:
    """The columns of a COPY stream without nulls."""
    rows = np.frombuffer(stream[len(_HEADER) : -len(_TRAILER)], dtype=_row_type(kinds))
    return [rows[f"value{index}"] for index in range(len(kinds))]
