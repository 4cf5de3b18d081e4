"""The broker's settings: one table for the local stack's properties file and for compose.yaml.

compose.yaml repeats the table as environment variables; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

# Also in pom.xml and compose.yaml (tested). After a change: python -m routefold.stack.relock
KAFKA_VERSION = "4.3.1"

NODE_ID = "1"

SETTINGS: Mapping[str, str] = {
    # One node that is broker and controller.
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    # Internal topics on one node.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A mistyped topic name is an error, not a new topic with one partition.
    "auto.create.topics.enable": "false",
    # The events topic is the source of truth: nothing expires unless a topic says so itself.
    "log.retention.ms": "-1",
    # The first consumer of a group gets its partitions at once, not after 3 s.
    "group.initial.rebalance.delay.ms": "0",
    # After a crash the controller waits for the dead broker's session to end before it takes the
    # new one: 12 s until it serves again with the default of 9 s, 5 s with this. Not shorter: a
    # stalled machine would fence its only broker.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # The cleaner reserves 128 MiB of heap by default; 16 MiB hold 600,000 keys per pass.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    # A developer's machine has a few cores, and a few clients.
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def local_addresses(port: int, controller_port: int) -> dict[str, str]:
    """Listeners on the loopback interface; data beside the broker's working directory."""
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        # Voters by configuration, not in the log (`format --standalone`): the port may change.
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        # Relative, so that no character of the path needs escaping and the directory can move.
        "log.dirs": "data",
    }


# In compose.yaml: the other services use kafka:19092, programs on the host 127.0.0.1:9092.
COMPOSE_ADDRESSES: Mapping[str, str] = {
    "listeners": "INTERNAL://:19092,HOST://:9092,CONTROLLER://:9093",
    "advertised.listeners": "INTERNAL://kafka:19092,HOST://127.0.0.1:9092",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,HOST:PLAINTEXT",
    "inter.broker.listener.name": "INTERNAL",
    "controller.quorum.voters": f"{NODE_ID}@kafka:9093",
    "log.dirs": "/var/lib/kafka/data",
}


def as_properties(settings: Mapping[str, str]) -> str:
    """A Java properties file: ISO 8859-1 with escapes, one `key=value` a line."""
    lines = (f"{key}={_escape(value)}\n" for key, value in settings.items())
    return "".join(lines)


def _escape(value: str) -> str:
    # UTF-16 units, since Java reads \uXXXX only, also for what lies beyond 16 bits.
    units = value.encode("utf-16-be")
    characters = (int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2))
    escaped = "".join(
        chr(unit) if 0x20 <= unit < 0x7F and unit != ord("\\") else f"\\u{unit:04x}"
        for unit in characters
    )
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


def as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The form that the apache/kafka image reads."""
    return {environment_name(key): value for key, value in settings.items()}


def environment_name(setting: str) -> str:
    """KAFKA_ and the name in capitals; a dot becomes `_`, an underscore `__`, a dash `___`."""
    return "KAFKA_" + setting.translate(_TO_ENVIRONMENT).upper()


_TO_ENVIRONMENT = str.maketrans({".": "_", "_": "__", "-": "___"})
