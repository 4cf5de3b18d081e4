"""Generations and switches as a table or lines for people and as JSON for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from consumer.generations import Generation
    from consumer.rebuild.promote import Promotion


def generations_json(found: Sequence[Generation]) -> list[dict[str, Any]]:
    """Every generation; the last is live."""
    return [
        {
            "generation": each.number,
            "name": each.name,
            "live": each is found[-1],
            "command": each.command,
            "promoted_at": each.promoted_at.isoformat() if each.promoted_at else None,
            "schema": each.schema,
            "settings": each.settings.model_dump(mode="json"),
            "starts": each.starts,
            "offsets": each.offsets,
            "rollback_to": each.former,
        }
        for each in found
    ]


def generations_table(found: Sequence[Generation]) -> Table:
    """Every generation, one a line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("generation", justify="right", no_wrap=True)
    for name in ("", "name", "by", "since", "schema"):
        table.add_column(name, no_wrap=True)
    table.add_column("otherwise than configured", overflow="fold")
    for each in found:
        table.add_row(
            str(each.number),
            "live" if each is found[-1] else "",
            each.name,
            each.command or "",
            f"{each.promoted_at:%Y-%m-%d %H:%M:%S}" if each.promoted_at else "the beginning",
            each.schema,
            _changes(each),
        )
    return table


def promotion_json(promotion: Promotion, followed: bool) -> dict[str, Any]:
    """A switch that was made. `followed`: a consumer writes the new tables already."""
    return {
        **generations_json([promotion.generation])[0],
        "before": {"generation": promotion.before.number, "name": promotion.before.name},
        "folded": promotion.folded,
        "locked_ms": round(promotion.locked_ms, 1),
        "consumer_follows": followed,
    }


def promotion_text(promotion: Promotion, followed: bool) -> str:
    """The same in some lines, with what is left to be done."""
    now, before = promotion.generation, promotion.before
    lines = [
        f"{now.name}: live, as generation {now.number}; before it was {before.name}",
        f"caught up by {promotion.folded:,} events; commits waited {promotion.locked_ms:,.0f} ms",
    ]
    if not followed:
        lines.append(
            "no consumer has taken it up yet: routers go on with what they have until one does"
        )
    if now.settings.rewards:
        lines.append(
            "its reward weights say which signals count; what routers pick by is in their "
            "configuration: change it with `routefold apply`"
        )
    return "\n".join(lines)


def _changes(generation: Generation) -> str:
    settings = generation.settings.model_dump(mode="json")
    changed = {name: value for name, value in settings.items() if value}
    if generation.starts:
        changed["from"] = ",".join(f"{p}:{at}" for p, at in sorted(generation.starts.items()))
    return "; ".join(f"{name}: {value}" for name, value in changed.items())
