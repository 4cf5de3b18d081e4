"""Records of the log into a directory: what is applied, what is skipped, and at what cost."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from router_api import intake as intake_module
from router_api.directory import Directory
from router_api.errors import UnknownRouter
from router_api.intake import BadRecords, Intake
from router_api.routing.state import ShareKey
from schemas.codec import Event, current, decode, encode
from schemas.events import Progress, RouterConfigured
from schemas.snapshot import Snapshot
from schemas.topics import Topics
from tests.factories import config, configured, turn, uuid7
from tests.snapshots import AS_OF_MS, observed, snapshot

TOPICS = Topics()


@dataclass
class Record:
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 0


class Observed:
    def __init__(self) -> None:
        self.applied: list[tuple[ShareKey, int]] = []
        self.progress: list[Progress] = []

    def share_applied(self, key: ShareKey, source_offset: int) -> None:
        self.applied.append((key, source_offset))

    def progressed(self, progress: Progress) -> None:
        self.progress.append(progress)


class Fed:
    """An intake with all that it fills."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.bad = BadRecords()
        self.observed = Observed()
        self._intake = Intake(TOPICS, self.directory, self.bad, self.observed)

    def take(self, *records: Record, now_ms: int = 5) -> int:
        """Apply the records as one batch; the units of work it took."""
        return sum(1 for _ in self._intake.apply(records, now_ms))

    @property
    def versions(self) -> dict[str, str]:
        shares = [key for key, _ in self.directory.shares()]
        return {
            f"{key.router}/{key.request_type}": self.directory.state(key.router)
            .of(key.request_type)
            .read()
            .version
            for key in shares
        }


@pytest.fixture
def fed() -> Fed:
    return Fed()


def record(event: Event, **fields: Any) -> Record:
    topic = TOPICS.routers if isinstance(event, RouterConfigured) else TOPICS.snapshots
    return Record(**{"topic": topic, "key": event.key, "value": encode(event), **fields})


def progress(next_offset: int, epoch: int = 1, dead: int = 0) -> Progress:
    return Progress(
        partition=2,
        epoch=epoch,
        next_offset=next_offset,
        folded=0,
        duplicates=0,
        late=0,
        dead=dead,
        stream_time_ms=0,
    )


def tombstone(event: Event) -> Record:
    return replace(record(event), value=None)


# Configurations


def test_configuration_makes_a_router(fed: Fed) -> None:
    fed.take(record(configured(config("chat", arms="ab"), version=3)))
    router = fed.directory.get("chat")
    assert router.version == 3
    assert router.config.arm_names == ("a", "b")


def test_unknown_router_names_the_known(fed: Fed) -> None:
    fed.take(record(configured(config("chat"))))
    with pytest.raises(UnknownRouter, match="no router 'caht'; known: 'chat'") as caught:
        fed.directory.get("caht")
    assert caught.value.field == "router"


def test_only_greater_versions_are_applied(fed: Fed) -> None:
    fed.take(record(configured(config(arms="ab"), version=2)))
    fed.take(record(configured(config(arms="xy"), version=1)))
    assert fed.directory.get("r").config.arm_names == ("a", "b")


def test_racing_versions_converge_on_the_greater_text() -> None:
    one, other = configured(config(arms="ab"), version=2), configured(config(arms="xy"), version=2)
    winner = max((one, other), key=lambda event: event.config)
    for order in ((one, other), (other, one)):
        fed = Fed()
        fed.take(*map(record, order))
        known = fed.directory.config("r")
        assert known is not None
        assert known.text == winner.config


def test_new_configuration_keeps_what_was_learned(fed: Fed) -> None:
    fed.take(record(configured(config(arms="ab"))), record(snapshot(observed("a", [1.0]))))
    learned = fed.directory.get("r").state.digest()
    fed.take(record(configured(config(arms="abc"), version=2)))
    assert fed.directory.get("r").state.digest() == learned


def test_evidence_may_come_before_its_configuration(fed: Fed) -> None:
    fed.take(record(snapshot(observed("a", [1.0]))))
    fed.take(record(configured(config())))
    assert fed.directory.get("r").state.of("general").read().version == "1.-.-.-"


def test_removed_router_is_unknown(fed: Fed) -> None:
    fed.take(record(configured(config())))
    fed.take(tombstone(configured(config())))
    with pytest.raises(UnknownRouter):
        fed.directory.get("r")
    assert fed.directory.config("r") is None


def test_invalid_configuration_leaves_the_one_in_force(fed: Fed) -> None:
    fed.take(record(configured(config(arms="ab"))))
    broken = replace(configured(config()), version=2, config='{"router": "r", "arms": []}')
    misnamed = replace(configured(config("other")), router="r", version=3)
    fed.take(record(broken), record(misnamed))
    assert fed.directory.get("r").version == 1
    assert fed.bad.counts == {"invalid_config": 2}


# Snapshots and progress


def test_snapshots_of_a_batch_are_applied_by_position(fed: Fed) -> None:
    zombie = snapshot(observed("a", [0.0]), epoch=1, source_offset=99)
    fed.take(
        record(snapshot(observed("a", [0.0]), epoch=2, source_offset=3)),
        record(snapshot(observed("a", [1.0]), epoch=2, source_offset=4)),
        record(zombie),
    )
    assert fed.versions == {"r/general": "4.-.-.-"}
    assert fed.observed.applied == [(ShareKey("r", "general", 0), 4)]


def test_superseded_snapshots_are_not_decoded(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def counted(value: bytes) -> Event:
        decoded.append(value)
        return decode(value)

    monkeypatch.setattr(intake_module, "decode", counted)

    units = fed.take(*(record(snapshot(observed("a", [1.0]), source_offset=i)) for i in range(50)))

    assert fed.versions == {"r/general": "49.-.-.-"}
    assert (len(decoded), units) == (1, 1)


def test_tombstone_counts_from_its_place_in_the_log(fed: Fed) -> None:
    first, second = snapshot(source_offset=9), snapshot(source_offset=2)
    fed.take(record(first), tombstone(first))
    assert fed.versions == {}
    fed.take(record(first))
    fed.take(tombstone(first), record(second))
    assert fed.versions == {"r/general": "2.-.-.-"}


def test_progress_is_kept_and_removed(fed: Fed) -> None:
    fed.take(record(progress(5, dead=2)), record(progress(4, epoch=2, dead=3)))
    assert fed.directory.progress.dead == 3
    assert [each.next_offset for each in fed.observed.progress] == [4]
    fed.take(tombstone(progress(5)))
    assert fed.directory.progress.dead == 0


def test_repeats_are_not_observed_again(fed: Fed) -> None:
    for _ in range(3):
        fed.take(record(snapshot()), record(progress(5)))
    assert len(fed.observed.applied) == len(fed.observed.progress) == 1


# Generations


def of_generation(generation: int, *partitions: int, source_offset: int = 1) -> list[Record]:
    """What the writers of these partitions publish of a generation: shares, and then progress."""
    fields: dict[str, Any] = {"generation": generation, "source_offset": source_offset}
    return [
        record(each)
        for partition in partitions
        for each in (
            snapshot(partition=partition, **fields),
            replace(progress(source_offset), partition=partition, generation=generation),
        )
    ]


def test_a_generation_comes_into_use_when_all_of_it_is_there(fed: Fed) -> None:
    fed.take(*of_generation(0, 0, 1, 2, 3))
    fed.take(*of_generation(2, 0, 1, 2, source_offset=7))
    assert fed.versions == {"r/general": "1.1.1.1"}
    assert not fed.directory.settled
    fed.take(*of_generation(2, 3, source_offset=8))
    assert fed.versions == {"r/general": "2:7.7.7.8"}
    assert fed.directory.generation == 2
    assert fed.directory.settled


def test_shares_of_a_poll_count_before_any_progress(fed: Fed) -> None:
    """A progress of the former generation at its beginning must not pull the later ones forward."""
    fed.take(*of_generation(0, 0, 1, 2, 3), *of_generation(1, 0, 1, 2, 3, source_offset=4))
    assert fed.versions == {"r/general": "1:4.4.4.4"}


def test_a_generation_that_is_there_loses_nothing_to_one_on_its_way(fed: Fed) -> None:
    both = [*of_generation(1, 0, 1, 2, 3), *of_generation(2, 0)]
    fed.take(*both)
    assert fed.versions == {"r/general": "1:1.1.1.1"}
    fed.take(*of_generation(2, 1, 2, 3))
    assert fed.versions == {"r/general": "2:1.1.1.1"}


def test_what_only_the_former_generation_has_is_gone(fed: Fed) -> None:
    only = snapshot(observed("a", [1.0]), request_type="writing", source_offset=9)
    fed.take(record(only), *of_generation(0, 0, 1, 2, 3))
    fed.take(*of_generation(1, 0, 1, 2, 3), record(only))
    assert fed.versions == {"r/general": "1:1.1.1.1"}
    assert fed.directory.state("r").of("writing").read().version == "1:-.-.-.-"


def test_a_tombstone_reaches_what_is_on_its_way(fed: Fed) -> None:
    arriving = of_generation(1, 0, 1, 2, 3)
    fed.take(*arriving[:-1])
    fed.take(replace(arriving[0], value=None), replace(arriving[3], value=None))
    fed.take(arriving[-1])
    assert fed.directory.generation == 0
    fed.take(arriving[3])
    assert fed.versions == {"r/general": "1:-.1.1.1"}


def test_observers_are_told_of_what_is_in_use(fed: Fed) -> None:
    fed.take(*of_generation(1, 0, 1, 2, source_offset=5))
    assert fed.observed.applied == []
    assert fed.observed.progress == []
    fed.take(*of_generation(1, 3, source_offset=6))
    assert sorted(offset for _, offset in fed.observed.applied) == [5, 5, 5, 6]
    assert [each.generation for each in fed.observed.progress] == [1]


def test_an_impossible_generation_keeps_nobody_waiting(fed: Fed) -> None:
    fed.take(*of_generation(2**40, 0), *of_generation(-1, 0))
    assert fed.directory.settled
    assert fed.directory.refused_snapshots == 2


# Bad records

GOOD = snapshot(observed("a", [1.0]), source_offset=5)
TURN = turn(uuid7(AS_OF_MS, random.Random(1)))


def corrupted(value: bytes, at: int) -> bytes:
    raw = bytearray(value)
    raw[at] ^= 0xFF
    return bytes(raw)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(Record(TOPICS.snapshots, GOOD.key, b"hello"), "undecodable", id="no event"),
        pytest.param(Record(TOPICS.snapshots, GOOD.key, b""), "undecodable", id="empty"),
        pytest.param(
            record(GOOD, value=corrupted(encode(GOOD), -1)), "undecodable", id="digest differs"
        ),
        pytest.param(record(GOOD, value=encode(GOOD)[:40]), "undecodable", id="cut short"),
        pytest.param(record(GOOD, value=encode(GOOD)[:11]), "undecodable", id="cut in its head"),
        pytest.param(
            record(GOOD, value=corrupted(encode(GOOD), 5)), "unknown_schema", id="unknown schema"
        ),
        pytest.param(record(GOOD, key=b"r/general/1"), "wrong_key", id="under another key"),
        pytest.param(record(GOOD, key=None), "wrong_key", id="without a key"),
        pytest.param(record(TURN), "wrong_event", id="a turn among snapshots"),
        pytest.param(record(GOOD, topic=TOPICS.routers), "wrong_event", id="among routers"),
        pytest.param(
            Record(TOPICS.routers, b"r", b"hello"), "undecodable", id="no event among routers"
        ),
        pytest.param(
            record(configured(config()), key=b"q"), "wrong_key", id="a router under another key"
        ),
    ],
)
def test_bad_record_is_counted_and_skipped(fed: Fed, bad: Record, kind: Any) -> None:
    fed.take(record(snapshot(partition=3)), bad, record(configured(config("later"))))

    assert fed.bad.counts == {kind: 1}
    assert fed.versions == {"r/general": "-.-.-.1"}
    assert fed.directory.get("later").version == 1


def test_corrupt_record_does_not_hide_the_good_one_before_it(fed: Fed) -> None:
    newer = snapshot(observed("a", [1.0]), source_offset=6)
    fed.take(record(GOOD), record(newer, value=corrupted(encode(newer), -1)))
    assert fed.versions == {"r/general": "5.-.-.-"}
    assert fed.bad.counts == {"undecodable": 1}


def test_each_kind_is_logged_once_and_without_content(fed: Fed) -> None:
    with structlog.testing.capture_logs() as logs:
        for offset in range(10):
            fed.take(Record(TOPICS.snapshots, b"k", b"secret content", offset=offset))
        fed.take(record(GOOD, key=b"r/general/1"))
    assert [(log["fault"], log["offset"]) for log in logs] == [("undecodable", 0), ("wrong_key", 0)]
    assert "secret" not in str(logs)
    assert fed.bad.counts == {"undecodable": 10, "wrong_key": 1}


@settings(deadline=None)
@given(st.data())
def test_no_bytes_can_stop_the_intake(data: st.DataObject) -> None:
    fed = Fed()
    prefix = data.draw(st.sampled_from([b"", current(Snapshot).prefix, encode(GOOD)[:30]]))
    records = data.draw(
        st.lists(
            st.builds(
                Record,
                st.sampled_from([TOPICS.routers, TOPICS.snapshots]),
                st.none() | st.binary(max_size=20) | st.just(GOOD.key),
                st.none() | st.binary(max_size=80).map(lambda rest: prefix + rest),
            ),
            max_size=5,
        )
    )
    fed.take(*records, record(snapshot(request_type="writing")))
    assert "r/writing" in fed.versions


def test_applies_in_units_between_which_others_can_be_served(fed: Fed) -> None:
    def batch() -> Iterable[Record]:
        for partition in range(4):
            yield record(snapshot(partition=partition))
        yield record(configured(config()))

    assert fed.take(*batch()) == 5
