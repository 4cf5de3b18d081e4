"""What a rebuild may do otherwise than the live fold, and the log as it would then have been.

Half-lives, reward weights and sources change the log before it is folded, so that everything behind
is the code of the live fold: a configuration is read as if it had been written with the other
values, and an event of an excluded source as if it had never been. Of an excluded arm the evidence
is left out, and nothing else: without its turns a reaction to one of them would be credited to the
turn before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from consumer.decode import BlockUnreadable, read_block
from consumer.rebuild.errors import RebuildRefused
from consumer.records import Batch
from consumer.routers import KnownRouter
from schemas.codec import PREFIX_BYTES, by_prefix, decode, decode_record, encode
from schemas.errors import ContractError, InvalidConfig
from schemas.events import RouterConfigured
from schemas.router_config import HalfLife, Reward, RouterConfig, describe, parse_config

# Sorted and each once, so that equal settings are equal however they were written.
Names = Annotated[
    tuple[str, ...],
    Field(max_length=1000),
    AfterValidator(lambda names: tuple(sorted(set(names)))),
]
HalfLifeName = Literal["quality.slow", "quality.fast", "latency.slow", "latency.fast"]
EVERY_ROUTER: Final = "*"


class RebuildSettings(BaseModel):
    """Everything that makes a rebuild's evidence what it is, but for the range it covers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    half_lives_s: dict[HalfLifeName, HalfLife | None] = {}
    # By router, "*" for every one; weights not named stay as they are configured.
    rewards: dict[str, dict[str, Reward]] = {}
    exclude_sources: Names = ()
    exclude_arms: Names = ()

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Settings from a user's values. Raises RebuildRefused, naming what is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise RebuildRefused(describe(error)) from None

    @property
    def is_live(self) -> bool:
        """True when the log is folded as the live consumer folds it."""
        return self == type(self)()

    def differences(self, other: RebuildSettings) -> list[str]:
        """The fields in which two settings differ, as `field: mine, not theirs`."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [
            f"{name}: {mine[name] or 'as configured'}, not {theirs[name] or 'as configured'}"
            for name in mine
            if mine[name] != theirs[name]
        ]

    def apply_to(self, config: RouterConfig) -> RouterConfig:
        """The configuration with these half-lives and rewards. Raises InvalidConfig."""
        if not self.half_lives_s and not self.rewards:
            return config
        fields = config.model_dump()
        for name, seconds in self.half_lives_s.items():
            kind, _, pace = name.partition(".")
            fields["half_lives_s"][kind][pace] = seconds
        for router in (EVERY_ROUTER, config.router):
            fields["rewards"] |= self.rewards.get(router, {})
        try:
            return RouterConfig.model_validate(fields)
        except ValidationError as error:
            raise InvalidConfig(describe(error)) from None


class RevisedLog:
    """Records as these settings would have them; offsets stay.

    A configuration that can't have them is refused; with `strict` False it is folded as it was
    written: what is live must go on, whatever is configured after its promotion.
    """

    def __init__(self, settings: RebuildSettings, *, strict: bool = True) -> None:
        self._settings = settings
        self._strict = strict
        self._sources = frozenset(settings.exclude_sources)
        self._reconfigures = bool(settings.half_lives_s or settings.rewards)

    def revise(self, batch: Batch) -> Batch:
        """The records that are left, configurations rewritten. Raises RebuildRefused."""
        if self._sources:
            excluded = self._excluded(batch)
            batch = batch.take([row for row in range(len(batch)) if row not in excluded])
        if not self._reconfigures or not (rows := batch.configurations()):
            return batch
        values = list(batch.values)
        for row in rows:
            values[row] = self._revised(values[row] or b"", int(batch.offset[row]))
        return replace(batch, values=values)

    def _excluded(self, batch: Batch) -> frozenset[int]:
        """Rows of the events that an excluded source has published."""
        rows_of: dict[bytes, list[int]] = {}
        for row, value in enumerate(batch.values):
            rows_of.setdefault((value or b"")[:PREFIX_BYTES], []).append(row)
        return frozenset(
            row
            for prefix, rows in rows_of.items()
            if prefix in by_prefix() and by_prefix()[prefix].event in ("turn", "outcome")
            for row, source in zip(
                rows, _sources(prefix, [batch.values[row] or b"" for row in rows]), strict=True
            )
            if source in self._sources
        )

    def _revised(self, value: bytes, offset: int) -> bytes:
        try:
            event = decode(value)
            assert isinstance(event, RouterConfigured)
            config = parse_config(event.config)
        except ContractError:
            return value  # the fold says what is wrong with it
        try:
            text = self._settings.apply_to(config).model_dump_json()
        except InvalidConfig as error:
            if not self._strict:
                return value
            raise RebuildRefused(
                f"router {event.router!r} can't have these settings from offset {offset} on: "
                f"{error}"
            ) from None
        return encode(replace(event, config=text))


def _sources(prefix: bytes, messages: Sequence[bytes]) -> list[str | None]:
    """Who published each message; None for one that can't be read."""
    try:
        return read_block(by_prefix()[prefix], messages)["source"].to_list()
    except BlockUnreadable:
        return [_source(message) for message in messages]


def _source(message: bytes) -> str | None:
    try:
        return str(decode_record(message)[1]["source"])
    except ContractError:
        return None


def check_against(settings: RebuildSettings, routers: Iterable[KnownRouter]) -> None:
    """Raise RebuildRefused where what is known of the routers speaks against these settings.

    Without any router known there is nothing to check: the tables may be what is to be rebuilt.
    """
    known = list(routers)
    if not known:
        return
    names = {router.router for router in known}
    for named in sorted(settings.rewards.keys() - names - {EVERY_ROUTER}):
        raise RebuildRefused(f"reward weights for {named!r}: no such router has been configured")
    arms = {arm for router in known for arm in router.arms}
    for arm in settings.exclude_arms:
        if arm not in arms:
            raise RebuildRefused(f"excluded arm {arm!r}: no router ever had it")
    for router in known:
        try:
            settings.apply_to(parse_config(router.config_text))
        except InvalidConfig as error:
            raise RebuildRefused(
                f"router {router.router!r} can't have these settings: {error}"
            ) from None
