"""Creates the topics, and checks those that exist: a wrong setting is an error, never adapted to.

A topic with too few partitions would spread a session's events over two partitions; one that
deletes old records would lose what was learned. So nothing starts on such a topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from routefold.errors import Failure, TopicMismatch, Unreachable
from schemas.topics import Topic, Topics

# A broker that is alive answers within a second; an unreachable host must not keep anybody waiting.
CONNECT_TIMEOUT_S: Final = 10.0
_REQUEST_TIMEOUT_MS: Final = 8_000
# One lost broker must neither lose nor block events; more copies buy little.
_WANTED_REPLICAS: Final = 3
_UNKNOWN_TOPIC: Final = 3  # error code UNKNOWN_TOPIC_OR_PARTITION
# Created topics appear in a broker's metadata some milliseconds after the answer; on a machine that
# is busy with everything else, after seconds.
_VISIBLE_TRIES: Final = 300
_VISIBLE_WAIT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it."""

    partitions: int
    config: Mapping[str, str]


def differences(topic: Topic, found: Found) -> list[str]:
    """What about an existing topic is not as wanted, in words; empty where all is well."""
    faults = []
    if found.partitions != topic.partitions:
        faults.append(f"it has {found.partitions} partitions, wanted {topic.partitions}")
    for name, wanted in sorted(topic.config.items()):
        has = found.config.get(name)
        if has != wanted:
            faults.append(f"{name} is {has}, wanted {wanted}")
    return faults


async def ensure_topics(bootstrap_servers: str, topics: Topics) -> list[str]:
    """Create the topics that are missing, check the others; the names created. Idempotent.

    Raises Unreachable, TopicMismatch, and Failure when the cluster refuses.
    """
    async with _admin(bootstrap_servers) as admin:
        existing = await _existing(admin, topics)
        _require_equal(topics, existing)
        missing = [topic for topic in topics.all if topic.name not in existing]
        if missing:
            await _create(admin, missing)
            await _wait_until_visible(admin, topics)
        return [topic.name for topic in missing]


async def check_topics(bootstrap_servers: str, topics: Topics) -> None:
    """Return if all topics are there and as wanted.

    Raises Unreachable, TopicMismatch, and Failure when one is missing.
    """
    async with _admin(bootstrap_servers) as admin:
        existing = await _existing(admin, topics)
    _require_equal(topics, existing)
    missing = [topic.name for topic in topics.all if topic.name not in existing]
    if missing:
        raise Failure(
            f"Kafka at {bootstrap_servers} has no topic {', '.join(missing)}: "
            "run `routefold init` first, or correct ROUTEFOLD_TOPIC_PREFIX"
        )


def _require_equal(topics: Topics, existing: Mapping[str, Found]) -> None:
    faults = [
        f"{topic.name}: {fault}"
        for topic in topics.all
        if topic.name in existing
        for fault in differences(topic, existing[topic.name])
    ]
    if faults:
        raise TopicMismatch(
            f"existing topics are not as needed ({'; '.join(faults)}): alter them, set "
            "ROUTEFOLD_EVENT_PARTITIONS to what is there, or choose another ROUTEFOLD_TOPIC_PREFIX"
        )


async def _existing(admin: AIOKafkaAdminClient, topics: Topics) -> dict[str, Found]:
    described = await admin.describe_topics([topic.name for topic in topics.all])
    partitions = {}
    for topic in described:
        if topic["error_code"] == 0:
            partitions[topic["topic"]] = len(topic["partitions"])
        elif topic["error_code"] != _UNKNOWN_TOPIC:
            raise Failure(f"topic {topic['topic']}: {for_code(topic['error_code']).__name__}")
    if not partitions:
        return {}
    configs = await _configs(admin, list(partitions))
    return {name: Found(count, configs[name]) for name, count in partitions.items()}


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for error_code, _message, _kind, name, entries in response.resources:
            if error_code:
                raise Failure(f"topic {name}: its settings can't be read ({for_code(error_code)})")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic]) -> None:
    cluster = await admin.describe_cluster()
    replicas = min(_WANTED_REPLICAS, len(cluster["brokers"]))
    # With acks=all a write is then on two brokers before it is acknowledged.
    durable = {"min.insync.replicas": "2"} if replicas == _WANTED_REPLICAS else {}
    response = await admin.create_topics(
        [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=replicas,
                topic_configs={**topic.config, **durable},
            )
            for topic in missing
        ]
    )
    for name, error_code, *message in response.topic_errors:
        if error_code not in (0, TopicAlreadyExistsError.errno):  # somebody else was faster
            reason = (message[0] if message else None) or for_code(error_code).__name__
            raise Failure(f"Kafka refused to create the topic {name}: {reason}")


async def _wait_until_visible(admin: AIOKafkaAdminClient, topics: Topics) -> None:
    for _ in range(_VISIBLE_TRIES):
        existing = await _existing(admin, topics)
        if len(existing) == len(topics.all):
            _require_equal(topics, existing)  # those that somebody else created meanwhile
            return
        await asyncio.sleep(_VISIBLE_WAIT_S)
    raise Failure("Kafka created the topics but does not list them: try `routefold init` again")


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    try:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=bootstrap_servers,
            client_id="routefold-admin",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
    except (ValueError, AssertionError) as error:
        raise Unreachable(_unreachable(bootstrap_servers, error)) from None
    try:
        with _without_client_logs():  # it logs as an error what is raised just below
            await asyncio.wait_for(admin.start(), CONNECT_TIMEOUT_S)
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unreachable(_unreachable(bootstrap_servers, error)) from error
    finally:
        await admin.close()


def _unreachable(bootstrap_servers: str, error: Exception) -> str:
    reason: Any = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return (
        f"Kafka at {bootstrap_servers} can't be reached ({reason}): "
        "is it running, and is ROUTEFOLD_BOOTSTRAP_SERVERS right?"
    )


class _without_client_logs:  # noqa: N801 - reads as a statement
    def __init__(self) -> None:
        self._logger = logging.getLogger("aiokafka")
        self._level = self._logger.level

    def __enter__(self) -> None:
        self._logger.setLevel(logging.CRITICAL + 1)

    def __exit__(self, *_exception: object) -> None:
        self._logger.setLevel(self._level)
