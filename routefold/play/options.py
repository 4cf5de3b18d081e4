"""How a log is played."""

from __future__ import annotations

from dataclasses import dataclass

from routefold.play.errors import OptionsError
from schemas.router_config import RouterConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOptions:
    """Raises OptionsError for values out of range.

    turns: how many; None is one pass over the rows. sessions: simulated users at the same time.
    router: an existing router to play on, as it is. config: a configuration to put and play on.
    Neither of the two: a fresh router, made from the file.
    stall_timeout_s: how long the fold may stand still at the end before we stop waiting.
    """

    turns: int | None = None
    seed: int = 0
    sessions: int = 32
    router: str | None = None
    config: RouterConfig | None = None
    stall_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.turns is not None and self.turns < 1:
            raise OptionsError(f"turns must be at least 1, got {self.turns}")
        if self.seed < 0:
            raise OptionsError(f"seed must be 0 or more, got {self.seed}")
        if self.sessions < 1:
            raise OptionsError(f"sessions must be at least 1, got {self.sessions}")
        if not self.stall_timeout_s > 0:
            raise OptionsError(f"stall_timeout_s must be above 0, got {self.stall_timeout_s}")
        if self.router is not None and self.config is not None:
            raise OptionsError("give either an existing router's name or a configuration, not both")
