"""compose.yaml says what the tables in the code say, and gives nothing away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from routefold.stack import broker
from routefold.stack.postgres import INITDB_ARGUMENTS

ROOT = Path(__file__).parents[3]
# Read by the image's own scripts, not turned into a broker setting.
NOT_A_SETTING = {"KAFKA_HEAP_OPTS"}
OUR_PROCESSES = ("init", "consumer", "api")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    found: dict[str, Any] = document["services"]
    return found


def test_broker_settings_equal_the_table(services: dict[str, Any]) -> None:
    environment = dict(services["kafka"]["environment"])
    for name in NOT_A_SETTING:
        environment.pop(name)
    assert environment == broker.as_environment({**broker.SETTINGS, **broker.COMPOSE_ADDRESSES})


def test_kafka_version_equals_the_pin(services: dict[str, Any]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{broker.KAFKA_VERSION}"


def test_postgres_is_initialised_as_the_local_one(services: dict[str, Any]) -> None:
    postgres = services["postgres"]
    assert postgres["image"] == "postgres:18"
    assert tuple(postgres["environment"]["POSTGRES_INITDB_ARGS"].split()) == INITDB_ARGUMENTS


def test_every_port_is_published_on_the_loopback_interface(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_lasting_service_has_a_health_check(services: dict[str, Any]) -> None:
    lasting = services.keys() - {"init"}
    assert all(services[name]["healthcheck"]["test"] for name in lasting)


def test_our_processes_wait_for_what_they_need(services: dict[str, Any]) -> None:
    for name in OUR_PROCESSES:
        conditions = {key: wait["condition"] for key, wait in services[name]["depends_on"].items()}
        assert conditions["kafka"] == conditions["postgres"] == "service_healthy"
        if name != "init":
            assert conditions["init"] == "service_completed_successfully"


@pytest.mark.parametrize("name", ["consumer", "api"])
def test_scalable_services_claim_nothing_that_exists_once(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    assert "container_name" not in service
    for port in service.get("ports", ()):
        host_ports = port.split(":")[1]
        assert re.fullmatch(r"\d+-\d+", host_ports), f"{port} is one port, for one replica"


def test_secrets_have_no_default(services: dict[str, Any]) -> None:
    values = {
        key: str(value)
        for service in services.values()
        for key, value in service["environment"].items()
        if re.search(r"PASSWORD|DSN|KEY", key)
    }
    assert {"POSTGRES_PASSWORD", "ROUTEFOLD_POSTGRES_DSN", "ROUTEFOLD_TOKEN_KEYS"} <= values.keys()
    for key, value in values.items():
        assert re.search(r"\$\{ROUTEFOLD_[A-Z_]+:\?[^}]+\}", value), f"{key} has a literal value"


def test_only_the_api_gets_the_token_keys(services: dict[str, Any]) -> None:
    holders = [
        name
        for name, service in services.items()
        if "ROUTEFOLD_TOKEN_KEYS" in service["environment"]
    ]
    assert holders == ["api"]


def test_the_image_runs_as_an_ordinary_user_with_hashed_dependencies() -> None:
    text = (ROOT / "Dockerfile").read_text()
    final_stage = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!root|0)\w+$", final_stage, re.MULTILINE)
    assert 'ENTRYPOINT ["routefold"]' in final_stage
    assert "--require-hashes" in text


def test_the_image_takes_in_all_that_it_copies() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for line in re.findall(
            r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M
        )
        for source in line.split()
    }
    assert copied == allowed


def test_the_consumer_serves_what_its_health_check_asks(services: dict[str, Any]) -> None:
    port = services["consumer"]["environment"]["ROUTEFOLD_METRICS_PORT"]
    assert f"127.0.0.1:{port}/healthz" in services["consumer"]["healthcheck"]["test"][-1]


def test_each_api_replica_has_its_own_spool(services: dict[str, Any]) -> None:
    api = services["api"]
    (volume,) = api["volumes"]
    assert api["environment"]["ROUTEFOLD_SPOOL_PATH"].startswith(volume + "/")
    assert ":" not in volume  # anonymous: replicas can't share a spool file
