"""Whether a play went as it must: everything accepted was folded, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routefold.play.report import Report

INTERRUPTED_EXIT_CODE = 130


def exit_code(report: Report) -> int:
    """0 for accepted = folded without duplicates, late or dead events; 130 interrupted; else 1."""
    if report.problem == "interrupted":
        return INTERRUPTED_EXIT_CODE
    events = report.events
    clean = events.accepted == events.folded and not (
        events.duplicates or events.late or events.dead
    )
    return 0 if report.complete and clean else 1
