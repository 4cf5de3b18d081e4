"""Topics that exist must be what the program needs."""

from __future__ import annotations

import pytest

from routefold.topics_admin import Found, differences
from schemas.topics import Topic, Topics


@pytest.mark.parametrize("topic", Topics().all, ids=lambda topic: topic.name)
def test_a_topic_as_wanted_has_no_differences(topic: Topic) -> None:
    more = {**topic.config, "min.insync.replicas": "2", "index.interval.bytes": "4096"}
    assert differences(topic, Found(topic.partitions, more)) == []


def test_every_difference_is_told() -> None:
    topic = Topic("events", 4, {"cleanup.policy": "delete", "retention.ms": "-1"})
    assert differences(topic, Found(3, {"cleanup.policy": "compact"})) == [
        "it has 3 partitions, wanted 4",
        "cleanup.policy is compact, wanted delete",
        "retention.ms is None, wanted -1",
    ]
