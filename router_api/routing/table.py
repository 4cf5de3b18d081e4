"""A tabulated choice: who is picked for which hash, and with exactly what probability.

Everything here is a multiple of 2**-53: the hash is one of 2**53 equally likely values, and the
probabilities are rounded to that grid when a table is made. Sums of such numbers up to 1 are exact
in doubles, so an arm's logged probability is precisely the share of hash values that pick it, and
off-policy estimates built on it carry no rounding.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import Self

# A double holds every integer up to 2**53: the finest grid on which sums up to 1 are exact.
_UNITS = 1 << 53
# How far given probabilities may miss a sum of 1: rounding of a normalised vector, not a mistake.
_SUM_TOLERANCE = 1e-9
_MAX_SALT_BYTES = 64  # limit of a BLAKE2b key, RFC 7693


@dataclass(frozen=True, slots=True)
class ChoiceTable:
    """Arms of one (router, request type) with the exact chance of each to be picked.

    ``probabilities`` are multiples of 2**-53 that add up to exactly 1; make tables with
    ``from_probabilities``, which sees to that. Immutable, so one table serves all threads.
    """

    arms: tuple[str, ...]
    probabilities: tuple[float, ...]
    _cumulative: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.arms) != len(self.probabilities) or not self.arms:
            raise ValueError(
                "a choice table needs one probability per arm and at least one arm, got"
                f" {len(self.arms)} arms and {len(self.probabilities)} probabilities"
            )
        if len(set(self.arms)) != len(self.arms):
            raise ValueError(f"arms of a choice table must be different, got {self.arms!r}")
        units = [p * _UNITS for p in self.probabilities]
        if any(u < 0 or not u.is_integer() for u in units) or sum(units) != _UNITS:
            raise ValueError(
                "probabilities of a choice table must be multiples of 2**-53 with a sum of 1, got"
                f" {self.probabilities!r}; use ChoiceTable.from_probabilities"
            )
        object.__setattr__(self, "_cumulative", tuple(accumulate(self.probabilities)))

    @classmethod
    def from_probabilities(
        cls, arms: Sequence[str], probabilities: Sequence[float], min_probability: float = 0.0
    ) -> Self:
        """Table with an exploration floor: ``(1 - n * min_probability) * p + min_probability``.

        ``probabilities`` must be >= 0 with a sum of 1 within 1e-9. Rounding to the grid moves
        each by about 2**-53, the largest by up to n times that. Raises ValueError otherwise, or
        when n arms cannot all have ``min_probability``.
        """
        n = len(probabilities)
        invalid = [i for i, p in enumerate(probabilities) if not 0.0 <= p < math.inf]
        if invalid:
            raise ValueError(
                f"probability of arm {invalid[0]} must be finite and >= 0,"
                f" got {probabilities[invalid[0]]!r}"
            )
        total = math.fsum(probabilities)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise ValueError(f"probabilities must sum to 1 within {_SUM_TOLERANCE}, got {total!r}")
        if not 0.0 <= min_probability * n <= 1.0:
            raise ValueError(
                f"min_probability must be between 0 and 1/{n} for {n} arms, got {min_probability!r}"
            )
        share = 1.0 - n * min_probability
        units = [int((share * p / total + min_probability) * _UNITS) for p in probabilities]
        # What rounding left over goes to the likeliest arm, where it is relatively smallest.
        units[units.index(max(units))] += _UNITS - sum(units)
        return cls(tuple(arms), tuple(u / _UNITS for u in units))

    def probability(self, arm: int) -> float:
        """Chance that ``pick`` answers ``arm`` for a uniform u; the value to log with the pick."""
        return self.probabilities[arm]

    def pick(self, u: float) -> int:
        """Index of the arm whose interval holds ``u``, by inverse CDF; ``u`` in [0, 1).

        Never an arm of probability 0: its interval is empty.
        """
        if not 0.0 <= u < 1.0:
            raise ValueError(f"u must be in [0, 1), got {u!r}; use unit_hash")
        return bisect_right(self._cumulative, u)


def ranked_fallbacks(table: ChoiceTable, picked: int) -> list[int]:
    """The other arms, likeliest first, equals in table order: whom to try if ``picked`` fails."""
    others = (arm for arm in range(len(table.arms)) if arm != picked)
    return sorted(others, key=lambda arm: -table.probabilities[arm])


def unit_hash(key: bytes, salt: bytes) -> float:
    """Keyed hash of ``key`` as a uniform number in [0, 1), a multiple of 2**-53.

    The upper 53 bits of BLAKE2b (RFC 7693) with an 8-byte digest read as a big-endian integer, and
    ``salt`` (at most 64 bytes) as its key. Fixed for ever: replicas agree without shared state, and
    any pick can be recomputed later. Who does not know the salt cannot make a key that steers a
    pick.
    """
    if len(salt) > _MAX_SALT_BYTES:
        raise ValueError(f"salt must be at most {_MAX_SALT_BYTES} bytes, got {len(salt)}")
    digest = blake2b(key, key=salt, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / _UNITS
