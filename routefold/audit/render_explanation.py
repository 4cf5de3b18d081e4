"""An explanation for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from routefold.audit.explanation import Explanation
from routefold.audit.levers import Lever
from schemas.events import Outcome, Turn

# Where time counts at all, an arm whose speed is unknown gets no large share.
_TINY_WEIGHT = 0.0005
_SAID = ("status", "latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd", "arm_served")


def to_json(found: Explanation) -> dict[str, Any]:
    """Everything, for programs."""
    turn = found.turn
    return {
        "turn_id": str(UUID(bytes=turn.turn_id)),
        "router": turn.router,
        "router_version": turn.router_version,
        "request_type": turn.request_type,
        "session_id": turn.session_id,
        "mode": turn.mode,
        "arm": turn.arm,
        "arm_served": turn.arm_served,
        "probability": turn.probability,
        "snapshot_version": turn.snapshot_version,
        "occurred_at": _time(turn.occurred_at),
        "partition": found.found.partition,
        "offset": found.found.offset,
        "equal": not found.differs,
        "differs": found.differs or None,
        "hash": found.hashed,
        "likeliest": found.likeliest,
        "arms": [{**asdict(part), "score": part.score} for part in found.parts],
        "levers": [asdict(lever) for lever in found.levers],
        "moved": [
            {
                "turn_id": str(each.turn_id),
                "at": _time(each.at_ms),
                "observed": dict(each.observed),
                "weighs": each.weighs,
                "by": each.by,
            }
            for each in found.moved
        ],
        "outcomes": [_outcome(outcome) for outcome in found.found.outcomes],
        "reaction": _reaction(found.found.next_turn),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    said = {name: getattr(outcome, name) for name in _SAID if getattr(outcome, name) is not None}
    said |= {"scores": dict(outcome.scores), "signals": list(outcome.signals)}
    if outcome.voids is not None:
        said["voids"] = str(UUID(bytes=outcome.voids))
    outcome_id = str(UUID(bytes=outcome.outcome_id))
    return {"outcome_id": outcome_id, "occurred_at": _time(outcome.occurred_at), **said}


def _reaction(turn: Turn | None) -> dict[str, Any] | None:
    if turn is None:
        return None
    return {"turn_id": str(UUID(bytes=turn.turn_id)), "signals": list(turn.reaction)}


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def render(found: Explanation) -> RenderableType:
    """For a rich console, 100 columns or wider."""
    parts: list[RenderableType] = [_headline(found), _arms(found)]
    parts += [_levers(found), _moved(found), _outcomes(found)]
    return Group(*(spaced for part in parts for spaced in (part, Text())))


def _headline(found: Explanation) -> Text:
    turn = found.turn
    text = Text(f"turn {UUID(bytes=turn.turn_id)}", style="bold")
    text.append(
        f" of router {turn.router} (version {turn.router_version}), {turn.request_type}, "
        f"{_time(turn.occurred_at)}\n",
        style="not bold",
    )
    text.append(f"picked {turn.arm} with probability {turn.probability:.4f}")
    text.append(
        f": its hash {found.hashed:.4f} fell into that share, from snapshot "
        f"{turn.snapshot_version}\n",
        style="not bold",
    )
    if turn.mode == "observe":
        text.append(
            f"mode observe: {turn.arm_served or turn.arm} served, as the gateway chose\n",
            style="not bold",
        )
    if found.differs:
        text.append(f"made again it is not the same: {found.differs}", style="bold red")
    else:
        text.append("made again from the log: the same, to the last bit", style="green")
    return text


def _table(title: str) -> Table:
    return Table(
        title=Text(title),  # an arm's name may look like console markup
        box=None,
        pad_edge=False,
        header_style="bold",
        title_justify="left",
    )


def _arms(found: Explanation) -> Table:
    table = _table("What decided: each arm's mean score is the sum of its parts")
    table.add_column("arm", overflow="fold")
    for name in ("chance", "quality", "90 %", "seen", "part: quality", "cost", "speed", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in found.parts:
        low, high = part.interval_90
        failing = " (failing now)" if part.failing else ""
        table.add_row(
            Text(part.name + failing),
            f"{part.probability:.1%}",
            f"{part.quality:.3f}",
            f"{low:.2f}..{high:.2f}",
            f"{part.observations:,.1f}",
            f"{part.quality_part:.3f}",
            f"{part.cost_part:.3f}",
            f"{part.speed_part:.3f}",
            f"{part.score:.3f}",
            style="bold" if part.name == found.turn.arm else "",
        )
    return table


def _levers(found: Explanation) -> RenderableType:
    table = _table(f"What would have made another arm than {found.likeliest} the likeliest")
    table.add_column("any one of these changes", overflow="fold")
    table.add_column("then", overflow="fold")
    for lever in found.levers:
        table.add_row(Text(_lever(lever)), Text(lever.then))
    if not found.levers:
        table.add_row("none within 100,000 observations, a thousandfold price or any weight", "")
    return table


def _lever(lever: Lever) -> str:
    match lever.kind:
        case "good observations":
            return f"{lever.after:,.1f} more observations of reward 1 of {lever.name}"
        case "bad observations":
            return f"{lever.after:,.1f} more observations of reward 0 of {lever.name}"
        case "price":
            return f"{lever.name} at {lever.after:,.3g} times its price"
        case "weight":
            weight = f"{lever.after:.3f}" if lever.after >= _TINY_WEIGHT else "just above 0"
            return f"the weight of {lever.name} {weight} instead of {lever.before:.3f}"


def _moved(found: Explanation) -> RenderableType:
    if not found.moved:
        return Text(f"Nothing had been observed of {found.turn.arm}: its prior decided.")
    table = _table(f"What moved the belief in {found.turn.arm} most")
    table.add_column("turn", no_wrap=True)
    table.add_column("observed", overflow="fold")
    for name in ("weighs", "moved the mean by"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.moved:
        observed = ", ".join(f"{metric} {value:g}" for metric, value in each.observed.items())
        table.add_row(str(each.turn_id), observed, f"{each.weighs:.3f}", f"{each.by:+.5f}")
    return table


def _outcomes(found: Explanation) -> Text:
    text = Text("What came of it", style="italic")
    for outcome in found.found.outcomes:
        said = _outcome(outcome)
        words = [
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name in _SAID
            if (value := said.get(name, "none")) != "none"
        ]
        words += [f"{metric} {value:g}" for metric, value in outcome.scores.items()]
        words += [f"signal {signal}" for signal in outcome.signals]
        if outcome.voids is not None:
            words.append(f"voids outcome {said['voids']}")
        text.append(f"\n{said['occurred_at']}  {', '.join(words)}", style="not italic")
    reaction = found.found.next_turn
    if reaction is not None and reaction.reaction:
        said_so = ", ".join(reaction.reaction)
        text.append(f"\nthe session's next turn showed: {said_so}", style="not italic")
    if not found.found.outcomes:
        text.append("\nno outcome has been reported", style="not italic")
    return text
