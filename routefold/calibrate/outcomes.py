"""Labelled conversations from the user's own log: its sessions, and the score they ended with.

A session's turns have the signals that were credited to them, by the fold's own rules and by
explicit reports; its label is the last score that it was given. No text is needed, or there.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from producer.calibration import Observed
from producer.signal_rules.names import Signal
from routefold.errors import Misuse
from routefold.history import History
from schemas.metrics import SIGNALS

SUCCESS_FROM: Final = 0.5


def observed_sessions(history: History, metric: str) -> list[Observed]:
    """Each session that was given a score of `metric`, in the order of its turns.

    A success is a last score of at least 0.5. The source is the router, so that sessions of
    different routers are not compared. Raises Misuse where there are none.
    """
    turns = (
        history.joined.filter(pl.col("session_id").is_not_null())
        .select("router", "session_id", "turn_id", "scores", "signals")
        .join(_said(history), on="turn_id", how="left")
        .sort("router", "session_id", "turn_id")
    )
    found: list[Observed] = []
    for (router, session_id), rows in turns.group_by("router", "session_id", maintain_order=True):
        labels = [
            score["value"]
            for scores in rows["scores"].to_list()
            for score in scores or ()
            if score["metric"] == metric
        ]
        if labels:
            both = zip(rows["signals"].to_list(), rows["said"].to_list(), strict=True)
            signals = tuple(_known((*(a or ()), *(b or ()))) for a, b in both)
            success = labels[-1] >= SUCCESS_FROM
            found.append(Observed(signals, success, str(router), str(session_id)))
    if not found:
        raise Misuse(
            f"no session in the log has a score of {metric!r}: name another with --metric, or "
            "calibrate from a file of labelled conversations"
        )
    return found


def _said(history: History) -> pl.DataFrame:
    """What was said about each turn by the turn after it."""
    return history.reactions.group_by("turn_id").agg(pl.col("signal").alias("said"))


def _known(signals: tuple[str, ...]) -> frozenset[Signal]:
    return frozenset(Signal(signal) for signal in signals if signal in SIGNALS)
