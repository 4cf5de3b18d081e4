"""A rebuild or the live tables, as the routers that would pick from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consumer.rebuild import side
from consumer.rebuild.contents import Contents, digest_of_all
from consumer.routers import KnownRouter
from consumer.shares import Shares
from consumer.store import Store
from router_api.routing.beliefs import Beliefs, beliefs
from router_api.routing.policy import mask_of
from router_api.routing.router import ChoiceSet, choice_set
from router_api.routing.state import Reading, RouterState
from schemas.router_config import RouterConfig, parse_config

Choices = dict[tuple[str, tuple[str, ...]], ChoiceSet]


@dataclass(slots=True)
class LearnedRouter:
    """One router's configuration and all evidence that a state holds for it."""

    config: RouterConfig
    state: RouterState
    _choices: Choices = field(default_factory=dict)

    def reading(self, request_type: str) -> Reading:
        """The evidence of a type, read at its latest turn."""
        return self.state.of(request_type).read()

    def beliefs(self, request_type: str) -> Beliefs:
        """What is believed about each arm of the configuration."""
        return beliefs(self.config, request_type, self.reading(request_type).metrics)

    def choices(self, request_type: str, eligible: tuple[str, ...]) -> ChoiceSet:
        """The chances among these deployments. Raises UnknownArm."""
        key = request_type, eligible
        if key not in self._choices:
            reading, mask = self.reading(request_type), mask_of(self.config, eligible)
            believed = beliefs(self.config, request_type, reading.metrics)
            made = choice_set(self.config, request_type, reading, believed, mask)
            self._choices[key] = made
        return self._choices[key]


@dataclass(frozen=True, slots=True)
class Learned:
    """A whole state. `offsets` are by partition: how far the log is folded into it."""

    name: str
    routers: Mapping[str, LearnedRouter]
    offsets: Mapping[int, int]
    digest: str


async def load(dsn: str, name: str) -> Learned:
    """What a rebuild, or "live", has learned. Raises ConsumerError."""
    is_live = name == side.LIVE
    if not is_live:
        side.find(dsn, name)
    contents = side.read_contents(dsn, name)
    connecting = Store.connect_live(dsn) if is_live else Store.connect(dsn, side.schema_of(name))
    store = await connecting
    try:
        known = await store.routers(contents)
    finally:
        await store.close()
    return learned(name, contents, known.values())


def learned(name: str, contents: Mapping[int, Contents], known: Iterable[KnownRouter]) -> Learned:
    """The routers of a state, each with the configuration of its highest version. Pure."""
    latest: dict[str, KnownRouter] = {}
    for router in known:
        other = latest.get(router.router)
        if other is None or (router.version, router.config_text) > (
            other.version,
            other.config_text,
        ):
            latest[router.router] = router
    partitions = max(contents, default=0) + 1
    states = {router: RouterState(partitions) for router in latest}
    for partition, each in contents.items():
        shares = Shares()
        shares.load(
            each.counts.items(),
            (
                (share, series, sums)
                for share, rows in each.evidence.items()
                for series, sums in rows.items()
            ),
        )
        for key in shares.keys(partition):
            if key.router in states:
                snapshot = shares.snapshot(key, 1, each.progress.next_offset)
                states[key.router].apply(snapshot, snapshot.as_of_ms)
    return Learned(
        name=name,
        routers={
            router: LearnedRouter(parse_config(at.config_text), states[router])
            for router, at in latest.items()
        },
        offsets={partition: each.progress.next_offset for partition, each in contents.items()},
        digest=digest_of_all(contents).hex(),
    )
