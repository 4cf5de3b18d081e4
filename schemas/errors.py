"""What can be wrong with an event or a configuration.

ContractError (ValueError)
├── UnknownSchema     the bytes name a schema that is not shipped here: upgrade the reader
├── Undecodable       the bytes are not what their schema says: they can't be read at all
└── InvalidConfig     a router configuration that must not be applied
"""

from __future__ import annotations


class ContractError(ValueError):
    """Data that breaks the contract of this package. The message says what, with what value."""


class UnknownSchema(ContractError):
    """The framing names a schema this version does not ship."""


class Undecodable(ContractError):
    """The bytes can't be decoded with the schema that they name."""


class InvalidConfig(ContractError):
    """A router configuration that must not be applied."""
