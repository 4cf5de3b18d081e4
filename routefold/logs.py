"""Logs: structlog on standard error, for people (console) or machines (json).

Records of the standard library's loggers (aiokafka, uvicorn, alembic) take the same way out. Fields
that could carry a secret or a conversation are masked here, as the last line of defence: no caller
is meant to log them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

from routefold.settings import LogFormat, LogLevel

MASK: Final = "***"
_SENSITIVE_NAME: Final = re.compile(
    r"password|passwd|secret|token(?!s)|keys$|dsn|authorization|cookie|messages$|prompt|content$",
    re.IGNORECASE,
)
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")
_KEYWORD_PASSWORD: Final = re.compile(r"(?i)\b(password=)('[^']*'|\S+)")
# Chatty at info without saying anything an operator acts on.
_QUIET: Final = ("aiokafka", "alembic", "uvicorn.access", "asyncio")
# A broker makes its coordinator when the first group asks for one: aiokafka reports that as an
# error, and asks again a moment later. One that stays away shows in the consumer's lag.
_COORDINATOR: Final = "aiokafka.consumer.group_coordinator"
_NOT_YET: Final = "GroupCoordinatorNotAvailableError"


def mask_text(text: str) -> str:
    """The text without passwords of URLs and DSNs."""
    return _KEYWORD_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", text))


def mask_fields(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: hides fields with sensitive names, and passwords within texts."""
    for name, value in event.items():
        if _SENSITIVE_NAME.search(name):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event


def _is_worth_telling(record: logging.LogRecord) -> bool:
    return _NOT_YET not in record.getMessage()


def configure(level: LogLevel = "info", style: LogFormat = "console") -> None:
    """Send all logs to standard error. May be called again; the last call holds."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(style))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(level.upper() if level == "debug" else logging.WARNING)
    logging.getLogger(_COORDINATOR).filters = [] if level == "debug" else [_is_worth_telling]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _renderers(style: LogFormat) -> list[Processor]:
    last: Processor
    if style == "json":
        last = structlog.processors.JSONRenderer()
        formatting: list[Processor] = [structlog.processors.format_exc_info]
    else:
        # Plain tracebacks: rich ones print local variables, which may hold secrets.
        plain = structlog.dev.plain_traceback
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        formatting = []
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *formatting,
        mask_fields,
        last,
        _mask_rendered,  # tracebacks too quote the errors of drivers
    ]


def _mask_rendered(_logger: Any, _method: str, rendered: Any) -> str:
    return mask_text(str(rendered))
