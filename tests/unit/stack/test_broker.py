"""The broker's settings in their two written forms."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routefold.stack import broker
from routefold.stack.fetch import POM
from routefold.stack.jars import JarLock


def read_properties(text: str) -> dict[str, str]:
    """As java.util.Properties reads them: the escapes that matter, UTF-16 units joined."""

    def unescape(value: str) -> str:
        plain = re.sub(r"\\u([0-9a-f]{4})|\\(.)", _replace, value)
        return plain.encode("utf-16-be", "surrogatepass").decode("utf-16-be")

    pairs = (line.split("=", 1) for line in text.splitlines())
    return {key: unescape(value.lstrip(" ")) for key, value in pairs}


def _replace(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_value_survives_the_properties_file(value: str) -> None:
    text = broker.as_properties({"some.key": value})
    assert text.isascii()
    assert text.count("\n") == 1
    assert read_properties(text) == {"some.key": value}


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("log.dirs", "KAFKA_LOG_DIRS"),
        ("a_b", "KAFKA_A__B"),
        ("ssl.key-alias", "KAFKA_SSL_KEY___ALIAS"),
    ],
)
def test_environment_names_follow_the_images_rule(setting: str, name: str) -> None:
    assert broker.environment_name(setting) == name


def test_addresses_never_repeat_or_override_a_common_setting() -> None:
    assert not broker.SETTINGS.keys() & broker.COMPOSE_ADDRESSES.keys()
    assert broker.local_addresses(1, 2).keys() == broker.COMPOSE_ADDRESSES.keys()


def test_the_local_broker_listens_on_the_loopback_interface_only() -> None:
    listeners = broker.local_addresses(9001, 9002)["listeners"].split(",")
    assert len(listeners) == 2
    assert all("://127.0.0.1:" in listener for listener in listeners)


def test_one_kafka_version_everywhere() -> None:
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ElementTree.parse(POM)
    versions = {
        dependency.findtext("m:artifactId", namespaces=namespace): dependency.findtext(
            "m:version", namespaces=namespace
        )
        for dependency in pom.iterfind(".//m:dependency", namespace)
    }
    assert versions["kafka_2.13"] == broker.KAFKA_VERSION
    locked = JarLock.read().digests
    assert f"kafka_2.13-{broker.KAFKA_VERSION}.jar" in locked
    assert f"kafka-clients-{broker.KAFKA_VERSION}.jar" in locked


def test_the_log_configuration_is_shipped() -> None:
    assert (Path(broker.__file__).with_name("log4j2.properties")).is_file()
