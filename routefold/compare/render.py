"""What `routefold diff` found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

if TYPE_CHECKING:
    from routefold.compare.cells import Believed, Cell
    from routefold.compare.diff import Diff
    from routefold.compare.flips import Flips
    from routefold.compare.learned import Learned

_MAX_CELLS: Final = 25
_MAX_MOVES: Final = 5
# Below it a probability is the same: what evidence that has all but decayed still moves.
_MOVED: Final = 0.0005


def summary(diff: Diff) -> str:
    """What matters, in a few lines."""
    lines = [_side(side) for side in (diff.left, diff.right)]
    if not diff.same_offsets:
        lines.append("they are at different offsets: a part of what differs is not folded by both")
    moved = sum(cell.moved > _MOVED for cell in diff.cells)
    furthest = max((cell.moved for cell in diff.cells), default=0.0)
    lines.append(
        f"{diff.changed:,} of {len(diff.cells):,} cells have other evidence; {moved:,} "
        f"probabilities moved, the furthest by {furthest:.1%}"
    )
    for router, flips in sorted(diff.flips.items()):
        lines.append(
            f"{router}: {flips.share:.2%} of {flips.turns:,} logged turns would go to another arm"
            + (f" ({flips.skipped:,} can't be picked by both)" if flips.skipped else "")
        )
        lines += [f"  {before} → {after}: {count:,}" for before, after, count in _moves(flips)]
    if not diff.flips:
        lines.append("no logged turns to pick again")
    return "\n".join(lines)


def _side(side: Learned) -> str:
    offsets = ",".join(f"{p}:{offset}" for p, offset in sorted(side.offsets.items()))
    return f"{side.name}: digest {side.digest}, at offsets {offsets}"


def _moves(flips: Flips) -> Iterator[tuple[str, str, int]]:
    most = sorted(flips.moves.items(), key=lambda item: (-item[1], item[0]))
    for (before, after), count in most[:_MAX_MOVES]:
        yield before, after, count


def cells_table(diff: Diff) -> Table | None:
    """The cells whose probability moved the furthest; None where none did."""
    moved = sorted((c for c in diff.cells if c.moved > _MOVED), key=lambda c: -c.moved)
    if not moved:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("router", "request type", "arm"):
        table.add_column(name, overflow="fold")
    for side in (diff.left, diff.right):
        table.add_column(f"share, {side.name}", justify="right", no_wrap=True)
        table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("moved", justify="right", no_wrap=True)
    for cell in moved[:_MAX_CELLS]:
        table.add_row(
            cell.router,
            cell.request_type,
            cell.arm,
            *_believed_texts(cell.left),
            *_believed_texts(cell.right),
            f"{cell.moved:.1%}",
        )
    return table


def _believed_texts(believed: Believed | None) -> tuple[str, str]:
    return (f"{believed.probability:.1%}", f"{believed.mean:.3f}") if believed else ("-", "-")


def to_json(diff: Diff) -> dict[str, Any]:
    """Everything."""
    return {
        "left": _side_json(diff.left),
        "right": _side_json(diff.right),
        "same_offsets": diff.same_offsets,
        "cells": len(diff.cells),
        "cells_changed": diff.changed,
        "share_of_turns_flipped": diff.share_flipped,
        "routers": {
            router: {
                "turns": flips.turns,
                "flipped": flips.flipped,
                "share": flips.share,
                "skipped": flips.skipped,
                "moves": [
                    {"from": before, "to": after, "turns": count}
                    for (before, after), count in sorted(flips.moves.items())
                ],
            }
            for router, flips in sorted(diff.flips.items())
        },
        "by_cell": [_cell_json(cell) for cell in diff.cells],
    }


def _side_json(side: Learned) -> dict[str, Any]:
    offsets = {str(partition): offset for partition, offset in sorted(side.offsets.items())}
    return {"name": side.name, "digest": side.digest, "offsets": offsets}


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "router": cell.router,
        "request_type": cell.request_type,
        "arm": cell.arm,
        "changed": cell.changed,
        "left": cell.left._asdict() if cell.left else None,
        "right": cell.right._asdict() if cell.right else None,
        "moved": cell.moved,
    }
