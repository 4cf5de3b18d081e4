"""A router's state for people and programs, as GET /v1/routers/{router}/state answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.special import betaincinv

from router_api.freshness import Freshness
from router_api.routing.router import ChoiceSet, Router, TypeView
from schemas.metrics import from_fixed, kind_of
from schemas.posterior import MetricEvidence

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
        "cells": [cell for view, choices in views for cell in _cells(router, view, choices)],
    }


def _cells(router: Router, view: TypeView, choices: ChoiceSet) -> Iterator[dict[str, Any]]:
    alpha = np.array([posterior.alpha for posterior in view.posteriors])
    beta = np.array([posterior.beta for posterior in view.posteriors])
    low, high = betaincinv(alpha, beta, _INTERVAL_90).tolist()
    for index, arm in enumerate(router.config.arms):
        prior = router.config.prior.of(arm, view.request_type)
        posterior = view.posteriors[index]
        evidence = view.reading.metrics.get(arm.name, {})
        yield {
            "request_type": view.request_type,
            "arm": arm.name,
            "probability": choices.table.probabilities[index],
            "prior": {"alpha": prior.alpha, "beta": prior.beta},
            "alpha": posterior.alpha,
            "beta": posterior.beta,
            "mean": posterior.mean,
            "interval_90": [low[index], high[index]],
            "observations": posterior.observations,
            "metrics": _metrics(evidence),
        }


def _metrics(evidence: Mapping[str, MetricEvidence]) -> dict[str, dict[str, Any]]:
    """{metric: what is believed of it}: of the recent past where that contradicts the long run."""
    shown = {}
    for metric in sorted(evidence):
        ruling = evidence[metric].ruling
        mean = None if ruling.mean is None else from_fixed(kind_of(metric), ruling.mean)
        shown[metric] = {"n": ruling.n, "mean": mean, "drifted": evidence[metric].drifted}
    return shown
