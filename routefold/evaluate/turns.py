"""From the table of turns to columns of numbers, one policy's chances beside each turn. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from routefold.evaluate.estimators import FloatArray, IntArray, Sample
from routefold.evaluate.policy import Policy

# Why turns are left out, in the words of a report.
NOT_LIVE: Final = "not served by the logged choice (mode observe or bypass)"
NO_CHOICE: Final = "the policy picks none of the arms that were eligible"


@dataclass(frozen=True, slots=True, eq=False)
class LoggedTurns:
    """Turns that a logged probability decided, and what `policy` would have done with them.

    `turns` is the table `joined` without the turns left out, `sample` its columns, whose values are
    NaN until `valued` sets them. `fell_back` counts turns that another arm answered in the end:
    they stand for the arm picked, as a failure of it leads to the same fallback under any policy.
    """

    turns: pl.DataFrame
    arms: tuple[str, ...]
    contexts: tuple[str, ...]
    sample: Sample
    fell_back: int
    left_out: Mapping[str, int]

    def valued(self, values: pl.Series) -> Sample | None:
        """The sample of the turns that have a value; None if none has."""
        having = values.is_not_null().to_numpy()
        if not having.any():
            return None
        sample = self.sample
        _, session = np.unique(sample.session[having], return_inverse=True)
        return replace(
            sample,
            target=sample.target[having],
            arm=sample.arm[having],
            probability=sample.probability[having],
            context=sample.context[having],
            session=session.astype(np.int64),
            value=values.filter(values.is_not_null()).cast(pl.Float64).to_numpy(),
        )


def logged_turns(joined: pl.DataFrame, policy: Policy) -> LoggedTurns:
    """The turns of one router's table `joined` with the policy's chances.

    In mode observe the arm that served was not chosen by the logged probability, nor in mode
    bypass, so these are left out. Raises Misuse for a request type that the policy does not cover.
    """
    turns = joined.filter(pl.col("mode") == "live")
    left_out = {NOT_LIVE: len(joined) - len(turns)}
    eligible = {arm for arms in turns["eligible"].unique().to_list() for arm in arms}
    chances = _chances(turns, policy, eligible)
    refused = pl.Series([key for key, chance in chances.items() if chance is None], dtype=pl.String)
    keys = turns.select(_key()).to_series()
    kept = ~keys.is_in(refused.implode())
    turns, keys = turns.filter(kept), keys.filter(kept)
    left_out[NO_CHOICE] = len(kept) - len(turns)

    arms = tuple(sorted(eligible | set(policy.arms)))
    contexts = tuple(turns["request_type"].unique().sort().to_list())
    session = turns.select(pl.coalesce("session_id", "turn_id")).to_series()
    return LoggedTurns(
        turns=turns,
        arms=arms,
        contexts=contexts,
        sample=Sample(
            target=_target(keys, chances, arms),
            arm=_numbers(turns["arm"], arms),
            probability=turns["probability"].to_numpy(),
            context=_numbers(turns["request_type"], contexts),
            session=(session.rank("dense").cast(pl.Int64) - 1).to_numpy(),
            value=np.full(len(turns), np.nan),
        ),
        fell_back=int((turns["arm_served"] != turns["arm"]).sum()),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _key() -> pl.Expr:
    """What the policy's chances depend on, as one text."""
    return pl.concat_str("request_type", pl.col("eligible").list.join("\n"), separator="\n")


def _chances(
    turns: pl.DataFrame, policy: Policy, eligible: Collection[str]
) -> dict[str, Mapping[str, float] | None]:
    """The policy's chances by `_key`. An arm that was never eligible did not exist, or was not to
    be had; the policy has it, so it is asked as if it were."""
    new = set(policy.arms).difference(eligible)
    different = turns.select(_key().alias("key"), "request_type", "eligible").unique("key")
    return {
        key: policy.chances(request_type, new.union(names))
        for key, request_type, names in different.iter_rows()
    }


def _target(
    keys: pl.Series, chances: Mapping[str, Mapping[str, float] | None], arms: tuple[str, ...]
) -> FloatArray:
    rows: dict[str, FloatArray] = {}
    for key, chance in chances.items():
        if chance is not None:
            rows[key] = np.array([chance.get(arm, 0.0) for arm in arms])
    if not rows:
        return np.zeros((0, len(arms)))
    index = {key: number for number, key in enumerate(rows)}
    return np.stack(list(rows.values()))[_numbers(keys, tuple(index))]


def _numbers(names: pl.Series, known: tuple[str, ...]) -> IntArray:
    places = {name: number for number, name in enumerate(known)}
    return np.array([places[name] for name in names.to_list()], dtype=np.int64)
