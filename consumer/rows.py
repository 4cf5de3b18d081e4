"""Values as rows of the store's tables, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from consumer.facts import SessionKey
from consumer.fold import ShareKey, TurnSets
from consumer.sessions import Move, SessionState
from schemas.evidence import SeriesKey, Sums

EvidenceRow: TypeAlias = tuple[ShareKey, SeriesKey, Sums | None]


def copy_evidence(evidence: Mapping[ShareKey, Mapping[SeriesKey, Sums]]) -> str:
    """Evidence in COPY's text format."""
    lines: list[str] = []
    for share, rows in evidence.items():
        place = "\t".join(map(str, share))
        lines += [_evidence_line(place, *series, *sums) for series, sums in rows.items()]
    return _escaped(lines)


def _evidence_line(
    share: str, arm: str, metric: str, pace: str, half_life_ms: int, era: int, *sums: int
) -> str:
    n, s1, s2 = sums
    return f"{share}\t{arm}\t{metric}\t{pace}\t{half_life_ms}\t{era}\t{n}\t{s1}\t{s2}"


def copy_sessions(sessions: Iterable[tuple[SessionKey, SessionState]]) -> str:
    """Sessions in COPY's text format."""
    return _escaped([_session_line(key, *state) for key, state in sessions])


def _session_line(
    key: SessionKey,
    turn_id: bytes,
    router: str,
    request_type: str,
    arm: str,
    exchanges: int,
    satisfied: bool,
    moves: Sequence[Move],
) -> str:
    return (
        f"{key.partition}\t{key.digest.hex()}\t{turn_id.hex()}\t{router}\t{request_type}\t{arm}"
        f"\t{exchanges}\t{satisfied}\t{_write_moves(moves) if moves else ''}"
    )


def _escaped(lines: Sequence[str]) -> str:
    """Names hold no white space (schemas.router_config), so the only special character that they
    can hold is the backslash."""
    return ("\n".join(lines) + "\n").replace("\\", "\\\\")


def columns_of(kind: type[Any], rows: Sequence[Any]) -> Mapping[str, list[Any]]:
    """The fields of NamedTuples, as parallel lists."""
    return {name: [row[i] for row in rows] for i, name in enumerate(kind._fields)}


def turn_columns(turns: TurnSets, places: Sequence[int]) -> dict[str, list[Any]]:
    """Partition and id of some turns, given by index."""
    halves = zip(turns.hi[places].tolist(), turns.lo[places].tolist(), strict=True)
    return {
        "partition": turns.partition[places].tolist(),
        "turn_id": [UUID(int=hi << 64 | lo) for hi, lo in halves],
    }


def read_session(row: Sequence[Any]) -> tuple[SessionKey, SessionState]:
    """A session from its row, as psycopg reads it."""
    partition, session, turn_id, router, request_type, arm, exchanges, satisfied, moves = row
    return SessionKey(partition, session.bytes), SessionState(
        turn_id.bytes, router, request_type, arm, exchanges, satisfied, _read_moves(moves)
    )


def read_evidence_row(row: Sequence[Any]) -> EvidenceRow:
    """An evidence row, its numbers as texts. None for sums of which one is no integer (NaN,
    infinity, a fraction) or has more digits than any sum: a hand was at work."""
    sums: Sums | None
    try:
        sums = Sums(*map(int, row[8:11]))
    except ValueError:
        sums = None
    return ShareKey(*row[:3]), SeriesKey(*row[3:8]), sums


def _write_moves(moves: Iterable[Move]) -> str:
    return " ".join(f"{move.outcome_id.hex()} {move.arm_before}" for move in moves)


def _read_moves(text: str) -> tuple[Move, ...]:
    words = iter(text.split())
    return tuple(Move(bytes.fromhex(word), next(words)) for word in words)
