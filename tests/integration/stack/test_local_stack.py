"""The local stack with its real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from routefold.stack import LocalStack, StackError, wipe
from routefold.stack.errors import PortTaken, StartFailed, StateBroken, StateInUse
from routefold.stack.ports import LOOPBACK, choose
from routefold.stack.privileges import step_down

pytestmark = pytest.mark.integration

MakeStack = Callable[..., LocalStack]


async def _write_record(bootstrap_servers: str, topic: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def _read_records(bootstrap_servers: str, topic: str) -> list[bytes]:
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while len(values) < end:
            values.append((await consumer.getone()).value)
        return values


def _write_row(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('row')")


def _read_rows(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT value FROM kept").fetchall()


async def test_data_and_addresses_survive_a_restart(make_stack: MakeStack, state_dir: Path) -> None:
    first = make_stack(durable=True)
    before = first.start()
    await _write_record(before.bootstrap_servers, "kept", b"record")
    _write_row(before.postgres_dsn)
    first.stop()

    after = make_stack(durable=True).start()
    assert after == before
    assert await _read_records(after.bootstrap_servers, "kept") == [b"record"]
    assert _read_rows(after.postgres_dsn) == [("row",)]


async def test_new_ports_when_others_took_ours(make_stack: MakeStack) -> None:
    first = make_stack()
    before = first.start()
    await _write_record(before.bootstrap_servers, "kept", b"record")
    _write_row(before.postgres_dsn)
    ports = [_kafka_port(before.bootstrap_servers), first.postgres.port, _controller_port(first)]
    first.stop()

    squatters = [socket.create_server((LOOPBACK, port)) for port in ports]
    try:
        second = make_stack()
        after = second.start()
        used = {
            _kafka_port(after.bootstrap_servers),
            second.postgres.port,
            _controller_port(second),
        }
        assert used.isdisjoint(ports)
        assert await _read_records(after.bootstrap_servers, "kept") == [b"record"]
        assert _read_rows(after.postgres_dsn) == [("row",)]
    finally:
        for squatter in squatters:
            squatter.close()


def _kafka_port(bootstrap_servers: str) -> int:
    return int(bootstrap_servers.rpartition(":")[2])


def _controller_port(stack: LocalStack) -> int:
    properties = (stack.kafka.directory / "server.properties").read_text()
    match = re.search(r"CONTROLLER://127\.0\.0\.1:(\d+)", properties)
    assert match is not None
    return int(match[1])


@pytest.mark.parametrize("lost", ["kafka", "kafka_controller", "postgres"])
def test_a_port_lost_at_the_last_moment_costs_one_more_try(
    make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """The look says free, the bind says taken: what a race with another program looks like."""
    with socket.create_server((LOOPBACK, 0)) as squatter:
        taken = squatter.getsockname()[1]
        ports = {"kafka": choose(None), "kafka_controller": choose(None), "postgres": choose(None)}
        first_look = list((ports | {lost: taken}).values())

        def hasty_choose(preferred: int | None, avoid: object = ()) -> int:
            return first_look.pop(0) if first_look else choose(preferred)

        monkeypatch.setattr("routefold.stack.stack.choose", hasty_choose)
        stack = make_stack()
        endpoints = stack.start()
        assert not first_look
        used = {_kafka_port(endpoints.bootstrap_servers), _controller_port(stack)}
        assert taken not in used | {stack.postgres.port}


def test_another_broker_on_our_port_is_not_taken_for_ours(
    make_stack: MakeStack, running_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = running_stack.kafka.port
    first_look = [theirs]

    def hasty_choose(preferred: int | None, avoid: object = ()) -> int:
        return first_look.pop() if first_look else choose(preferred)

    monkeypatch.setattr("routefold.stack.stack.choose", hasty_choose)
    stack = make_stack()
    stack.start()
    assert stack.kafka.port != theirs
    assert stack.kafka.is_running
    assert running_stack.kafka.is_running


def test_a_restart_on_a_port_that_was_taken_meanwhile_says_so(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.start()
    stack.postgres.stop()
    with (
        socket.create_server((LOOPBACK, stack.postgres.port)),
        pytest.raises(PortTaken, match="postgres found its port in use"),
    ):
        stack.postgres.restart()
    assert not stack.postgres.is_running


def test_a_second_stack_on_the_same_directory_is_refused(
    make_stack: MakeStack, state_dir: Path
) -> None:
    first = make_stack()
    first.start()
    with pytest.raises(StateInUse, match=f"process {os.getpid()}"):
        make_stack().start()
    with pytest.raises(StateInUse):
        wipe(state_dir)
    assert first.kafka.is_running
    assert first.postgres.is_running
    first.stop()
    wipe(state_dir)
    assert not state_dir.exists()


async def test_killed_servers_come_back_with_their_data(make_stack: MakeStack) -> None:
    stack = make_stack(durable=True)
    endpoints = stack.start()
    await _write_record(endpoints.bootstrap_servers, "kept", b"record")
    _write_row(endpoints.postgres_dsn)
    pids = {stack.kafka.pid, stack.postgres.pid}
    for server in (stack.kafka, stack.postgres):
        server.kill()
        assert not server.is_running
        with pytest.raises(StackError, match="is not running"):
            _ = server.pid
        server.restart()
    assert pids.isdisjoint({stack.kafka.pid, stack.postgres.pid})
    assert stack.endpoints == endpoints
    assert await _read_records(endpoints.bootstrap_servers, "kept") == [b"record"]
    assert _read_rows(endpoints.postgres_dsn) == [("row",)]


def test_servers_listen_on_the_loopback_interface_only(running_stack: LocalStack) -> None:
    addresses = {
        connection.laddr.ip
        for server in (running_stack.kafka, running_stack.postgres)
        for connection in psutil.Process(server.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    # Java speaks of 127.0.0.1 as an IPv4 address mapped into IPv6.
    assert {address.removeprefix("::ffff:") for address in addresses} == {LOOPBACK}


def test_the_password_is_needed_private_and_not_shown(running_stack: LocalStack) -> None:
    endpoints = running_stack.endpoints
    state_dir = running_stack.postgres.directory.parent
    secrets = list((state_dir / "secrets").iterdir())
    assert secrets
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in secrets)
    passwords = [file.read_text().strip() for file in secrets]
    assert not any(password in repr(endpoints) for password in passwords)
    logs = "".join(file.read_text() for file in (state_dir / "logs").iterdir())
    assert not any(password in logs for password in passwords)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(re.sub(r":[^:@]+@", ":wrong@", endpoints.postgres_dsn))


def test_the_owner_role_may_make_databases_but_is_no_superuser(running_stack: LocalStack) -> None:
    with psycopg.connect(running_stack.endpoints.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE copy TEMPLATE routefold")
        row = connection.execute(
            "SELECT rolsuper, current_database() FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == (False, "routefold")


@pytest.mark.parametrize(("durable", "setting"), [(True, "on"), (False, "off")])
def test_durability_is_what_was_asked_for(
    make_stack: MakeStack, durable: bool, setting: str
) -> None:
    stack = make_stack(durable=durable)
    with psycopg.connect(stack.start().postgres_dsn) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {name}").fetchone() == (setting,)


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(make_stack: MakeStack) -> None:
    stack = make_stack(num_io_threads="none")
    with pytest.raises(StartFailed, match=r"kafka .* see .*kafka\.\w*\.?log") as caught:
        stack.start()
    assert "num.io.threads" in caught.value.log_tail
    assert "\n" not in str(caught.value)
    with pytest.raises(StackError, match="not started"):
        _ = stack.postgres
    # Nothing half made stands in the way afterwards.
    make_stack().start()


@pytest.mark.parametrize("server", ["kafka", "postgres"])
def test_a_first_start_that_was_cut_short_is_redone(
    make_stack: MakeStack, used_state_dir: Path, server: str
) -> None:
    state_file = used_state_dir / "state.json"
    state = json.loads(state_file.read_text())
    state["initialised"].remove(server)
    state_file.write_text(json.dumps(state))
    essential = {"kafka": "meta.properties", "postgres": "PG_VERSION"}[server]
    (used_state_dir / server / "data" / essential).unlink()
    endpoints = make_stack().start()
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("SELECT 1")


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("kafka/data/meta.properties", "kafka/data has lost its meta.properties"),
        ("postgres/data/PG_VERSION", "postgres/data has lost its PG_VERSION"),
        ("secrets/postgres-postgres.password", "has lost secrets/postgres-postgres.password"),
        ("state.json", "but no state.json"),
    ],
)
def test_lost_files_are_named_and_fresh_helps(
    make_stack: MakeStack, used_state_dir: Path, lost: str, words: str
) -> None:
    (used_state_dir / lost).unlink()
    with pytest.raises(StateBroken) as caught:
        make_stack().start()
    assert words in str(caught.value)
    assert str(used_state_dir) in str(caught.value)
    assert "--fresh" in str(caught.value)
    wipe(used_state_dir)
    assert not used_state_dir.exists()


def test_a_pid_file_that_names_another_program_is_cleared(
    make_stack: MakeStack, used_state_dir: Path
) -> None:
    """After a power cut the pid in it may long be another program's, of the same user."""
    stack = make_stack()
    stack.start()
    stack.postgres.kill()
    stack.stop()
    data = used_state_dir / "postgres" / "data"
    with subprocess.Popen([*step_down(data), "sleep", "600"]) as other:
        try:
            pid_file = data / "postmaster.pid"
            lines = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            make_stack().start()
            assert other.poll() is None
        finally:
            other.kill()


def test_the_locale_does_not_matter(
    make_stack: MakeStack, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not str(state_dir).isascii()
    monkeypatch.setenv("LC_ALL", "POSIX")
    make_stack().start()


def test_stop_kills_a_server_that_does_not_listen(make_stack: MakeStack) -> None:
    stack = make_stack()
    stack.start()
    pids = [stack.kafka.pid, stack.postgres.pid]
    os.kill(stack.kafka.pid, signal.SIGSTOP)
    stack.stop(timeout_s=1)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    stack.stop()  # idempotent
