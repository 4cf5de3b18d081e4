"""One example of every event, for golden bytes. `python -m tests.contract.golden` prints the file.

A golden message is never changed: messages like it are in topics that are kept for ever. A new
schema version gets its own entry beside the old one.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from schemas.codec import CURRENT, Event, encode
from schemas.events import GenerationPromoted, Outcome, Progress, RouterConfigured, Turn
from schemas.evidence import SeriesKey, Sums
from schemas.snapshot import Snapshot
from tests.factories import T0, uuid7

FILE = Path(__file__).with_name("golden.json")
_RNG = random.Random(20)
TURN_ID, OUTCOME_ID, OTHER_ID = (uuid7(T0 + i, _RNG) for i in range(3))

EXAMPLES: dict[str, Event] = {
    "turn.v1": Turn(
        turn_id=TURN_ID,
        session_id="session-1",
        router="chat",
        router_version=3,
        request_type="writing",
        arm="provider/model-a",
        arm_served="model-b",
        eligible=("provider/model-a", "model-b"),
        probability=0.8125,
        snapshot_version="1204.-.998",
        snapshot_age_ms=42,
        mode="observe",
        previous_turn_id=OTHER_ID,
        reaction=("satisfaction",),
        occurred_at=T0,
        source="gateway-1",
    ),
    "outcome.v1": Outcome(
        outcome_id=OUTCOME_ID,
        turn_id=TURN_ID,
        session_id="session-1",
        router="chat",
        request_type="writing",
        arm="provider/model-a",
        arm_served="model-b",
        status="timeout",
        status_code=504,
        latency_ms=1234.5,
        ttft_ms=99.25,
        tokens_in=1500,
        tokens_out=321,
        cost_usd=0.0123,
        scores={"quality": 0.25, "helpful": 1.0},
        signals=("failure",),
        voids=OTHER_ID,
        occurred_at=T0 + 1500,
        source="gateway-1",
    ),
    "router_configured.v1": RouterConfigured(
        router="chat",
        version=3,
        config='{"router":"chat","arms":[{"name":"provider/model-a"},{"name":"model-b","tier":3}]}',
        occurred_at=T0,
        source="routefold apply",
    ),
    "generation_promoted.v1": GenerationPromoted(
        generation=2,
        command="promote",
        name="clean",
        settings='{"exclude_sources":["importer"]}',
        starts={0: 5, 1: 0},
        offsets={0: 1204, 1: 998},
        occurred_at=T0,
        source="routefold promote",
    ),
    "snapshot.v1": Snapshot(
        router="chat",
        request_type="writing",
        partition=2,
        generation=4,
        epoch=7,
        source_offset=1204,
        as_of_ms=T0,
        folded=1000,
        duplicates=3,
        late=1,
        seen_ms={"provider/model-a": T0 - 5000, "model-b": T0},
        evidence={
            SeriesKey("model-b", "quality", "fast", 60_000, 99): Sums(2**70, 2**80, 2**90),
            SeriesKey("provider/model-a", "quality", "slow", 0, 0): Sums(65536, 1, 0),
        },
    ),
    "progress.v1": Progress(
        partition=2,
        generation=4,
        epoch=7,
        next_offset=1204,
        folded=1000,
        duplicates=3,
        late=1,
        dead=2,
        stream_time_ms=T0,
    ),
}


def main() -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    fresh = {name: encode(event).hex() for name, event in EXAMPLES.items()}
    print(json.dumps({**fresh, **golden}, indent=1))


assert set(EXAMPLES) >= set(CURRENT.values())

if __name__ == "__main__":
    main()
