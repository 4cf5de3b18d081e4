"""What the pure routing core raises on purpose, apart from ValueError for arguments that a correct
caller never passes."""

from __future__ import annotations

from router_api.errors import RoutingError


class QuadratureError(RoutingError, ArithmeticError):
    """Choice probabilities could not be computed to the promised accuracy.

    Keep serving the last good table, or equal shares: a pick must not fail over it.
    """
