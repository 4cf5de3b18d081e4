"""What is believed of an arm's speed: a normal-inverse-gamma posterior of log2 milliseconds.

The conjugate prior of a normal with unknown mean and variance (Murphy, "Conjugate Bayesian analysis
of the Gaussian distribution", 2007, section 3). The mean's marginal is Student's t: an arm without
data is uncertain, never "0 ms". The prior is centred where the other arms are, as what a request
takes depends on the request first; failures and time-outs are no times and never enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from schemas.evidence import Effective
from schemas.metrics import TIME_STEPS_PER_OCTAVE

# Prior: worth a fifth of an observation, so that one call places an arm; single calls spread by
# half an octave (a factor of 1.4) until an arm's own spread is known.
_PRIOR_OBSERVATIONS: Final = 0.2
_PRIOR_SHAPE: Final = 1.5
_PRIOR_SPREAD_OCTAVES: Final = 0.5
# Where nothing at all is known every arm has the same centre, and it decides nothing.
_NO_CENTRE: Final = 10.0


@dataclass(frozen=True, slots=True)
class SpeedBelief:
    """Mean of log2 milliseconds: `location` + `scale` · t with `degrees` of freedom (> 2)."""

    location: float
    scale: float
    degrees: float


def speed_beliefs(evidence: Sequence[Effective]) -> list[SpeedBelief]:
    """Belief of each arm from its evidence of a time metric (n = 0: none)."""
    means = [seen.s1 / seen.n / TIME_STEPS_PER_OCTAVE for seen in evidence if seen.n > 0]
    centre = sum(means) / len(means) if means else _NO_CENTRE
    return [_posterior(seen, centre) for seen in evidence]


def _posterior(seen: Effective, centre: float) -> SpeedBelief:
    n = seen.n
    mean = seen.s1 / n / TIME_STEPS_PER_OCTAVE if n > 0 else centre
    squares = max(seen.s2 / TIME_STEPS_PER_OCTAVE**2 - n * mean * mean, 0.0)
    count = _PRIOR_OBSERVATIONS + n
    shape = _PRIOR_SHAPE + n / 2
    off_centre = _PRIOR_OBSERVATIONS * n / count * (mean - centre) ** 2
    rate = _PRIOR_SHAPE * _PRIOR_SPREAD_OCTAVES**2 + (squares + off_centre) / 2
    return SpeedBelief(
        location=(_PRIOR_OBSERVATIONS * centre + n * mean) / count,
        scale=sqrt(rate / (shape * count)),
        degrees=2 * shape,
    )
