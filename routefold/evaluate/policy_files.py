"""Reads a policy file: shares, or a router as for `routefold apply`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from routefold.errors import Misuse
from routefold.evaluate.policy import FixedShares
from routefold.router_files import load_routers
from schemas.router_config import RouterConfig, describe

_SHARES_FIELDS: Final = frozenset(FixedShares.model_fields)


def load_policy(path: Path) -> FixedShares | RouterConfig:
    """The one policy of a file, YAML or JSON. Raises Misuse that names file and field."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise Misuse(f"{path}: can't be read ({error.strerror or error})") from None
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        document = None  # the reader of routers says where it is broken
    if _is_shares(document):
        try:
            return FixedShares.model_validate(document)
        except ValidationError as error:
            raise Misuse(f"{path}: {_faults(error)}") from None
    routers = load_routers(path)
    if len(routers) > 1:
        raise Misuse(f"{path}: {len(routers)} routers in it, but a policy is one of them")
    return routers[0]


def _is_shares(document: Any) -> bool:
    return isinstance(document, dict) and bool(_SHARES_FIELDS & document.keys())


def _faults(error: ValidationError) -> str:
    return describe(error).replace("configuration: ", "").replace("Value error, ", "")
