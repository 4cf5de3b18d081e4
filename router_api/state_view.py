"""A router's state for people and programs, as GET /v1/routers/{router}/state answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.special import betaincinv, stdtrit

from router_api.freshness import Freshness
from router_api.routing.router import ChoiceSet, Router, TypeView
from schemas.metrics import MAX_TIME_MS, from_fixed, kind_of
from schemas.posterior import MetricEvidence
from schemas.speed import SpeedBelief, speed_beliefs

_INTERVAL_90 = np.array([[0.05], [0.95]])


def state_view(router: Router, dead: int, freshness: Freshness, now_ms: int) -> dict[str, Any]:
    """Configuration, evidence and beliefs, ready for JSON.

    All parts are of one moment, the newest there is: digest, versions and cells belong together.
    `dead` counts the dead letters of the installation.
    """
    views = [router.view(name, now_ms) for name in router.config.request_types]
    return {
        "router": router.config.router,
        "version": router.version,
        "config": router.config.model_dump(mode="json"),
        "state_digest": router.state.digest(),
        "snapshot": {view.request_type: view.reading.version for view, _ in views},
        "events": {**router.state.counts()._asdict(), "dead": dead},
        "freshness_ms": freshness._asdict(),
        "cells": [
            cell for view, choices in views for cell in _cells(router, view, choices, now_ms)
        ],
    }


def _cells(
    router: Router, view: TypeView, choices: ChoiceSet, now_ms: int
) -> Iterator[dict[str, Any]]:
    """One for each deployment, of which the quality is its arm's."""
    config, believed = router.config, view.beliefs
    alpha = np.array([posterior.alpha for posterior in believed.quality])
    beta = np.array([posterior.beta for posterior in believed.quality])
    low, high = betaincinv(alpha, beta, _INTERVAL_90).tolist()
    speeds = speed_beliefs(believed.times)
    for index, deployment in enumerate(config.deployments):
        arm = config.arms[deployment.arm]
        prior = config.prior.of(arm, view.request_type)
        posterior = believed.quality[deployment.arm]
        health = believed.health[index]
        timed = believed.times[index].n > 0
        yield {
            "request_type": view.request_type,
            "arm": deployment.name,
            "deployment_of": arm.name if arm.deployments else None,
            "probability": choices.table.probabilities[index],
            "prior": {"alpha": prior.alpha, "beta": prior.beta},
            "alpha": posterior.alpha,
            "beta": posterior.beta,
            "mean": posterior.mean,
            "interval_90": [low[deployment.arm], high[deployment.arm]],
            "observations": posterior.observations,
            "speed": _speed(speeds[index]) if timed else None,
            "health": {
                "calls": health.calls,
                "answering": health.answering,
                "failing": health.failing(config.health.failing_below),
            },
            "age_ms": max(0, now_ms - view.reading.as_of_ms) if view.reading.as_of_ms else None,
            "metrics": _metrics(view.reading.metrics.get(deployment.name, {})),
        }


def _speed(belief: SpeedBelief) -> dict[str, Any]:
    """The typical time of a request: its geometric mean, with its interval."""
    reach = belief.scale * float(stdtrit(belief.degrees, 0.95))
    return {
        "mean_ms": _ms(belief.location),
        "interval_90_ms": [_ms(belief.location - reach), _ms(belief.location + reach)],
    }


def _ms(octaves: float) -> float:
    """Milliseconds, bounded so that a wild interval is still a number in JSON."""
    return float(min(2.0 ** min(octaves, 64.0), MAX_TIME_MS))


def _metrics(evidence: Mapping[str, MetricEvidence]) -> dict[str, dict[str, Any]]:
    """{metric: what is believed of it}: of the recent past where that contradicts the long run."""
    shown = {}
    for metric in sorted(evidence):
        ruling = evidence[metric].ruling
        mean = None if ruling.mean is None else from_fixed(kind_of(metric), ruling.mean)
        shown[metric] = {"n": ruling.n, "mean": mean, "drifted": evidence[metric].drifted}
    return shown
