"""A snapshot: one partition's share of the evidence of one (router, request type).

Shares are summed by the routers. A share with a higher (epoch, source offset) replaces a lower one;
anything else is a repeat or comes from a fenced writer, and is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.evidence import SeriesKey, Sums, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """See schemas/avro/snapshot.v1.avsc for units. `evidence` holds the rows still visible."""

    router: str
    request_type: str
    partition: int
    epoch: int
    source_offset: int
    as_of_ms: int
    folded: int
    duplicates: int
    late: int
    evidence: Mapping[SeriesKey, Sums]

    @property
    def key(self) -> bytes:
        return f"{self.router}/{self.request_type}/{self.partition}".encode()

    @property
    def position(self) -> tuple[int, int]:
        """Orders the shares of one key: the writer's epoch first, then its progress."""
        return self.epoch, self.source_offset

    @property
    def digest(self) -> bytes:
        return digest(self.evidence)
