"""Two replicas that pick from their own, differently late copies of what was learned; in memory.

Everything that they do ends up in a log of two partitions, as Kafka would have it. The shares that
they read are made by folding that log as it grows, cut wherever the moment wants it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from consumer.rebuild.settings import RebuildSettings
from consumer.records import Batch
from routefold.audit.replay import Recipe, Replay
from routefold.history import OffsetRange
from router_api.routing.router import Router, sticky_key
from router_api.routing.state import RouterState
from schemas.codec import Event, decode, encode
from schemas.events import GenerationPromoted, Outcome, Turn
from schemas.router_config import RouterConfig
from tests.factories import T0, Record, config, configured, outcome, turn, uuid7
from tests.fixtures.pipeline import partition_of

PARTITIONS = 2
TYPES = ("general", "writing")
WORTH = {"a": 0.8, "b": 0.5, "c": 0.3}


def audited_config(arms: Sequence[str] = tuple(WORTH), **fields: Any) -> RouterConfig:
    """Arms with prices and speeds that count."""
    base: dict[str, Any] = {
        "request_types": TYPES,
        "weights": {"quality": 0.6, "cost": 0.2, "latency": 0.2},
        "half_lives_s": {"quality": {"slow": 3600.0, "fast": 60.0}},
        "rewards": {"quality": 1.0, "error": 1.0, "failure": 0.5},
    }
    plain = config(arms=arms, **{**base, **fields}).model_dump()
    for number, arm in enumerate(plain["arms"]):
        arm["price"] = {"usd_per_request": 0.03 - 0.01 * number}
    return RouterConfig.model_validate(plain)


@dataclass
class World:
    """A log under way. `log` is by partition; offsets have gaps, as transactions would leave."""

    seed: int
    config: RouterConfig = field(default_factory=audited_config)
    log: dict[int, list[Record]] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    version: int = 1
    generation: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now_ms = T0
        self.log = {partition: [] for partition in range(PARTITIONS)}
        self._folds = {partition: Replay(partition) for partition in range(PARTITIONS)}
        self._folded = dict.fromkeys(range(PARTITIONS), 0)
        self._states = [RouterState(PARTITIONS), RouterState(PARTITIONS)]
        self.configure(self.config)

    def configure(self, cfg: RouterConfig, version: int = 1) -> None:
        """Put a configuration into every partition, and the replicas on it."""
        self.config, self.version = cfg, version
        for partition in range(PARTITIONS):
            self._append(partition, configured(cfg, version, self.now_ms))
        self.routers = [Router(cfg, version, state) for state in self._states]

    def promote(self, settings: RebuildSettings, *, announced: bool = True) -> None:
        """Fold the log anew with these settings, and let both replicas go on from there."""
        self.generation += 1
        if announced:
            event = GenerationPromoted(
                generation=self.generation,
                command="promote",
                name="other",
                settings=settings.model_dump_json(),
                occurred_at=self.now_ms,
                source="test",
            )
            for partition in range(PARTITIONS):
                self._append(partition, event)
        self.close()
        recipe = Recipe(settings)
        self._folds = {partition: Replay(partition, recipe) for partition in range(PARTITIONS)}
        self._folded = dict.fromkeys(range(PARTITIONS), 0)
        for state in self._states:
            state.begin(self.generation)
        for partition in range(PARTITIONS):
            self._publish_to(partition, self._states)

    def play(self, count: int) -> World:
        """`count` requests, to either replica, whose outcomes come a while later."""
        late: list[Outcome] = []
        for number in range(count):
            self.now_ms += self.random.randrange(20, 200)
            late += self._outcomes(self._pick(number))
            while late and self.random.random() < 0.6:
                self._send(late.pop(self.random.randrange(len(late))))
            if self.random.random() < 0.3:
                self._publish()
        for each in late:
            self._send(each)
        return self

    def close(self) -> None:
        for fold in self._folds.values():
            fold.close()

    def _pick(self, number: int) -> Turn:
        router = self.random.choice(self.routers)
        session = f"s{number // 3}" if self.random.random() < 0.8 else None
        turn_id = uuid7(self.now_ms, self.random)
        choice = router.choose(
            self.random.choice(TYPES),
            sticky_key(router.config, session, turn_id),
            now_ms=self.now_ms,
            exclude=["b"] if self.random.random() < 0.2 else (),
        )
        made = turn(
            turn_id,
            session_id=session,
            router=router.config.router,
            router_version=router.version,
            request_type=choice.request_type,
            arm=choice.arm,
            eligible=choice.eligible,
            probability=choice.probability,
            snapshot_version=choice.snapshot_version,
            reaction=("failure",) if session and self.random.random() < 0.1 else (),
        )
        self.turns.append(made)
        self._send(made)
        return made

    def _outcomes(self, of: Turn) -> list[Outcome]:
        common = {"session_id": of.session_id, "request_type": of.request_type, "arm": of.arm}
        ok = self.random.random() < 0.95
        done = outcome(
            of.turn_id,
            uuid7(self.now_ms, self.random),
            status="ok" if ok else "error",
            latency_ms=self.random.lognormvariate(6, 0.5),
            cost_usd=0.01,
            scores={"quality": float(self.random.random() < WORTH[of.arm])},
            **common,
        )
        return [done, done] if self.random.random() < 0.05 else [done]

    def _send(self, event: Turn | Outcome) -> None:
        self._append(partition_of(event.key, PARTITIONS), event)

    def _append(self, partition: int, event: Event) -> None:
        offset = self.end(partition) + (self.random.random() < 0.02)
        record = Record(offset, self.now_ms + 1, event.key, encode(event))
        self.log[partition].append(record)

    def _publish(self) -> None:
        """Hand the shares of a partition to one replica or to both."""
        receiving = self.random.choice((self._states, self._states[:1], self._states[1:]))
        self._publish_to(self.random.randrange(PARTITIONS), receiving)

    def _publish_to(self, partition: int, receiving: Sequence[RouterState]) -> None:
        """Fold a partition as far as it goes, and hand its shares out."""
        fold = self._folds[partition]
        records = self.log[partition][self._folded[partition] :]
        fold.fold(Batch.of({partition: records}))
        self._folded[partition] += len(records)
        for request_type in TYPES:
            share = fold.share("r", request_type, self.end(partition), self.generation)
            if share is not None:
                for state in receiving:
                    state.apply(share, self.now_ms)

    def end(self, partition: int) -> int:
        """The next offset."""
        return self.log[partition][-1].offset + 1 if self.log[partition] else 0

    @property
    def held(self) -> Mapping[int, OffsetRange]:
        return {partition: OffsetRange(0, self.end(partition)) for partition in self.log}

    async def batches(self) -> AsyncIterator[Batch]:
        """The log as a reader gives it: pieces of every partition."""
        left = {partition: list(records) for partition, records in self.log.items()}
        while any(left.values()):
            piece: dict[int, Sequence[Record]] = {}
            for partition, records in left.items():
                size = self.random.randrange(1, 60)
                piece[partition], left[partition] = records[:size], records[size:]
            yield Batch.of({p: rs for p, rs in piece.items() if rs})

    def rewrite(self, of: Turn, **fields: Any) -> Turn:
        """Change a turn in the log, as nobody may."""
        changed = replace(of, **fields)
        for records in self.log.values():
            for place, record in enumerate(records):
                if record.value is not None and decode(record.value) == of:
                    records[place] = replace(record, value=encode(changed))
        return changed


async def drained(batches: Iterable[Batch]) -> AsyncIterator[Batch]:
    for batch in batches:
        yield batch
