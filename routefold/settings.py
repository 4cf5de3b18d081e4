"""Settings, from the environment (ROUTEFOLD_*), with secrets optionally in files.

An option on the command line wins over the environment. Secrets are SecretStr: they are never part
of a repr, an error message or a log line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from routefold.errors import Misuse
from schemas.topics import DEFAULT_EVENT_PARTITIONS, Topics

PREFIX = "ROUTEFOLD_"
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """One field per variable: `port` is ROUTEFOLD_PORT. Empty variables count as not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    bootstrap_servers: str | None = None
    postgres_dsn: SecretStr | None = None
    postgres_dsn_file: Path | None = None
    token_keys: SecretStr | None = None
    token_keys_file: Path | None = None

    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")] = "routefold"
    event_partitions: Annotated[int, Field(ge=1, le=1024)] = DEFAULT_EVENT_PARTITIONS
    group_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    spool_path: Path | None = None

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 8080
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    metrics_port: Port | None = None
    state_dir: Path = Path(".routefold")
    url: str | None = None

    log_level: LogLevel = "info"
    log_format: LogFormat = "console"

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be like http://127.0.0.1:8080")
        return url.rstrip("/") if url else url

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.topic_prefix, event_partitions=self.event_partitions)

    @property
    def consumer_group(self) -> str:
        """Named by the prefix: two installations on one cluster must not share a group."""
        return self.group_id or f"{self.topic_prefix}-consumer"

    def need_bootstrap_servers(self) -> str:
        """Kafka's address. Raises Misuse where none is set."""
        if self.bootstrap_servers is None:
            raise Misuse(
                "no Kafka is named: set ROUTEFOLD_BOOTSTRAP_SERVERS=HOST:PORT, "
                "or run `routefold up`, which brings its own"
            )
        return self.bootstrap_servers

    def find_postgres_dsn(self) -> SecretStr | None:
        """The DSN from its variable or its file; None where neither is set. Raises Misuse."""
        if self.postgres_dsn is not None:
            return self.postgres_dsn
        if self.postgres_dsn_file is None:
            return None
        return SecretStr(_read_secret("POSTGRES_DSN_FILE", self.postgres_dsn_file))

    def need_postgres_dsn(self) -> SecretStr:
        """Postgres' DSN. Raises Misuse where none is set."""
        dsn = self.find_postgres_dsn()
        if dsn is None:
            raise Misuse(
                "no Postgres is named: set ROUTEFOLD_POSTGRES_DSN=postgresql://... (or "
                "ROUTEFOLD_POSTGRES_DSN_FILE), or run `routefold up`, which brings its own"
            )
        return dsn

    def need_token_keys(self) -> tuple[str, ...]:
        """The keys that sign turn tokens, newest first; at least one. Raises Misuse."""
        if self.token_keys is not None:
            name, text = "TOKEN_KEYS", self.token_keys.get_secret_value()
        elif self.token_keys_file is not None:
            name, text = "TOKEN_KEYS_FILE", _read_secret("TOKEN_KEYS_FILE", self.token_keys_file)
        else:
            raise Misuse(
                "no token keys: set ROUTEFOLD_TOKEN_KEYS_FILE to a file with a random key a line "
                "(make one with `openssl rand -hex 32`), or ROUTEFOLD_TOKEN_KEYS"
            )
        return parse_keys(text, PREFIX + name)


# Below 128 bits of hexadecimal text a key can be guessed from one token, offline.
MIN_KEY_CHARS = 32


def parse_keys(text: str, name: str) -> tuple[str, ...]:
    """Keys separated by commas or line ends, newest first. Raises Misuse, without the keys."""
    keys = tuple(
        key for line in text.splitlines() for part in line.split(",") if (key := part.strip())
    )
    if not keys:
        raise Misuse(f"{name} holds no key: put a random key of {MIN_KEY_CHARS}+ characters in it")
    for index, key in enumerate(keys, start=1):
        if len(key) < MIN_KEY_CHARS:
            raise Misuse(
                f"{name}: key {index} has {len(key)} characters, at least {MIN_KEY_CHARS} are "
                "needed (make one with `openssl rand -hex 32`)"
            )
    return keys


def load_settings(**options: object) -> Settings:
    """Settings from the environment, overridden by the options that are not None.

    Raises Misuse with one line per wrong value, naming option and variable but never the value.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        faults = "; ".join(
            f"{_name_of(str(fault['loc'][0]), given)}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise Misuse(faults) from None


def _name_of(field: str, given: dict[str, object]) -> str:
    return f"--{field.replace('_', '-')}" if field in given else f"{PREFIX}{field.upper()}"


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise Misuse(f"{PREFIX}{name}={path} can't be read: {reason}") from None
