"""Every router by name, with its configuration and its state. In memory, fed by the subscriber.

Configurations and evidence come from two topics without an order between them, so each is kept
whether or not the other is there yet.

All evidence in use is of one generation, that of all routers. A newer one is kept aside until it is
complete, and then takes the place of everything, in one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from router_api.arriving import Arriving
from router_api.errors import UnknownRouter, listed, quoted
from router_api.routing.router import MIN_REBUILD_INTERVAL_MS, Router
from router_api.routing.state import (
    MAX_GENERATION,
    PartitionProgress,
    RouterState,
    ShareKey,
    is_possible,
)
from schemas.errors import InvalidConfig
from schemas.events import Progress, RouterConfigured
from schemas.router_config import parse_config
from schemas.snapshot import Snapshot
from schemas.topics import DEFAULT_EVENT_PARTITIONS


class ConfigVersion(NamedTuple):
    """Orders the configurations of a router. Of two with one number, racing to be published, the
    greater text wins: everywhere the same."""

    version: int
    text: str


class Directory:
    """The routers of an installation, as this process knows them. Not thread-safe."""

    def __init__(
        self,
        partitions: int = DEFAULT_EVENT_PARTITIONS,
        min_rebuild_interval_ms: int = MIN_REBUILD_INTERVAL_MS,
    ) -> None:
        """`partitions` of the events topic; the interval is that of `Router`."""
        self.progress = PartitionProgress()
        self.generation = 0
        self._arriving: dict[int, Arriving] = {}
        self._partitions = partitions
        self._min_rebuild_interval_ms = min_rebuild_interval_ms
        self._routers: dict[str, Router] = {}
        self._configs: dict[str, ConfigVersion] = {}
        self._states: dict[str, RouterState] = {}

    @property
    def routers(self) -> Mapping[str, Router]:
        """The configured routers."""
        return MappingProxyType(self._routers)

    def get(self, router: str) -> Router:
        """The router of that name. Raises UnknownRouter."""
        found = self._routers.get(router)
        if found is None:
            raise UnknownRouter(
                f"there is no router {quoted(router)}; known: "
                f"{listed(list(map(quoted, sorted(self._routers))))}",
                "router",
            )
        return found

    def config(self, router: str) -> ConfigVersion | None:
        """The configuration in force, None for an unknown router."""
        return self._configs.get(router)

    def state(self, router: str) -> RouterState:
        """What is known of a router, whether it is configured or not."""
        state = self._states.get(router)
        if state is None:
            state = self._states[router] = RouterState(self._partitions, self.generation)
        return state

    def apply_config(self, event: RouterConfigured) -> bool:
        """Take a configuration if it is newer than the one in force. True if it was.

        Raises InvalidConfig for one that can't be applied; the one in force then stays.
        """
        version = ConfigVersion(event.version, event.config)
        known = self._configs.get(event.router)
        if known is not None and version <= known:
            return False
        config = parse_config(event.config)
        if config.router != event.router:
            raise InvalidConfig(
                f"router: {config.router!r} is configured under the name {event.router!r}"
            )
        self._configs[event.router] = version
        self._routers[event.router] = Router(
            config,
            event.version,
            self.state(event.router),
            min_rebuild_interval_ms=self._min_rebuild_interval_ms,
        )
        return True

    def remove_config(self, router: str) -> bool:
        """Forget a router (a tombstone was read). True if it was known. Its evidence stays."""
        self._configs.pop(router, None)
        return self._routers.pop(router, None) is not None

    def apply_snapshot(self, snapshot: Snapshot, applied_at_ms: int) -> bool:
        """Take in a share of evidence. True if it changed something. Never raises.

        One of a newer generation is kept aside, one of an older one ignored.
        """
        if snapshot.generation > self.generation and is_possible(snapshot):
            self._of(snapshot.generation).add_share(snapshot, applied_at_ms)
            return False
        return self.state(snapshot.router).apply(snapshot, applied_at_ms)

    def apply_progress(self, progress: Progress) -> bool:
        """Take in how far a partition is, behind all its shares. True if it changed something.

        Changes over to a newer generation when this was the last of it that was missing.
        """
        if progress.generation < self.generation or progress.generation > MAX_GENERATION:
            return False
        if progress.generation == self.generation:
            return self.progress.apply(progress)
        arriving = self._of(progress.generation)
        arriving.add_progress(progress)
        if arriving.is_complete(self._partitions):
            self._change_over(progress.generation)
        return True

    @property
    def settled(self) -> bool:
        """False while a newer generation is incomplete. Until then a state that was read from the
        beginning may lack shares: in the topic those of the newer one have taken their place."""
        return not self._arriving

    def _of(self, generation: int) -> Arriving:
        return self._arriving.setdefault(generation, Arriving())

    def _change_over(self, generation: int) -> None:
        arrived = self._arriving[generation]
        self._arriving = {g: each for g, each in self._arriving.items() if g > generation}
        self.generation = generation
        self.progress = PartitionProgress()
        for state in self._states.values():
            state.begin(generation)
        for snapshot, applied_at_ms in arrived.shares:
            self.state(snapshot.router).apply(snapshot, applied_at_ms)
        for progress in arrived.progress:
            self.progress.apply(progress)

    def remove_progress(self, partition: int) -> None:
        """Forget how far a partition is (a tombstone was read)."""
        self.progress.remove(partition)
        for arriving in self._arriving.values():
            arriving.remove_progress(partition)

    def remove_share(self, key: ShareKey) -> bool:
        """Forget a share of evidence (a tombstone was read). True if it was known."""
        for arriving in self._arriving.values():
            arriving.remove_share(key)
        state = self._states.get(key.router)
        return state is not None and state.remove(key.request_type, key.partition)

    def shares(self) -> Iterator[tuple[ShareKey, int]]:
        """Every share with its source offset."""
        for router, state in self._states.items():
            for request_type, partition, share in state.shares():
                yield ShareKey(router, request_type, partition), share.source_offset

    @property
    def refused_rows(self) -> int:
        """Evidence rows that could not be evidence, and were left out."""
        return sum(state.refused_rows for state in self._states.values())

    @property
    def refused_snapshots(self) -> int:
        """Snapshots with an impossible position or time."""
        return sum(state.refused_snapshots for state in self._states.values())

    @property
    def unlearned_tables(self) -> int:
        """Choice tables that had to be made from the priors alone."""
        return sum(router.unlearned_tables for router in self._routers.values())
