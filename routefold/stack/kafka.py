"""Apache Kafka as one combined node (KRaft) in a child process."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from routefold.stack import processes
from routefold.stack.broker import SETTINGS, as_properties, local_addresses
from routefold.stack.errors import StateBroken
from routefold.stack.kafka_probe import cluster_id
from routefold.stack.ports import LOOPBACK
from routefold.stack.server import Server
from routefold.stack.state import StateDir

_LOG4J = Path(__file__).with_name("log4j2.properties")

# Start to first answer on two cores: 1.7 s; without the C1 limit 2.5 s.
_JVM_FLAGS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",  # a broker without heap must not linger half alive
    "-XX:-UsePerfData",  # leaves files in the system's temporary directory
    "-Djava.awt.headless=true",
)


class KafkaServer(Server):
    """The broker; its ports and cluster id are those of the state directory."""

    name = "kafka"
    stop_signal = signal.SIGTERM
    # Not SIGTERM: a clean shutdown can hang, and nobody is left to lose patience.
    death_signal = signal.SIGKILL

    def __init__(
        self, state: StateDir, java: Path, jars: Sequence[Path], overrides: Mapping[str, str]
    ) -> None:
        super().__init__(state.kafka, state.logs)
        self._state = state
        self._java = java
        self._class_path = ":".join(map(str, jars))
        self._overrides = dict(overrides)
        self._properties = state.kafka / "server.properties"
        self._data = state.kafka / "data"
        self._temporary = state.kafka / "tmp"

    @property
    def port(self) -> int:
        port = self._state.state.ports.kafka
        assert port is not None, "ports are chosen before the server starts"
        return port

    def stop_orphans(self) -> None:
        """End a broker that a killed run left behind on this directory."""
        for pid in processes.running_with("kafka.Kafka", str(self._properties)):
            processes.kill(processes.family(pid))

    def _prepare(self) -> None:
        controller_port = self._state.state.ports.kafka_controller
        assert controller_port is not None, "ports are chosen before the server starts"
        addresses = local_addresses(self.port, controller_port)
        settings = {**SETTINGS, **addresses, **self._overrides}
        self._properties.write_text(as_properties(settings), encoding="ascii")
        # Compression libraries unpack themselves here, and leave the files behind when killed.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(mode=0o700)
        if not self._state.is_initialised(self.name):
            self._format()
        elif not (self._data / "meta.properties").is_file():
            raise StateBroken(self._state.path, "kafka/data has lost its meta.properties")

    def _format(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        identity = self._state.state.kafka_cluster_id
        arguments = ("format", "-t", identity, "-c", self._properties)
        self._run_tool(self._java_command("kafka.tools.StorageTool", *arguments), "format")
        self._state.set_initialised(self.name)

    def _command(self) -> Sequence[str | Path]:
        return self._java_command("kafka.Kafka", self._properties)

    def _java_command(self, main_class: str, *arguments: str | Path) -> list[str | Path]:
        return [
            self._java,
            *_JVM_FLAGS,
            f"-Djava.io.tmpdir={self._temporary}",
            f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}",
            "-cp",
            self._class_path,
            main_class,
            *arguments,
        ]

    def _environment(self) -> Mapping[str, str]:
        # In the POSIX locale, as in many containers, Java can't open a path beyond ASCII.
        return os.environ | {"LC_ALL": "C.UTF-8"}

    def _serves(self) -> bool:
        # By id: another program's broker may hold our port.
        return cluster_id(LOOPBACK, self.port) == self._state.state.kafka_cluster_id
