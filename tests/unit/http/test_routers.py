"""/v1/routers."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import RouterConfigured
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import CONFIG, Log, Picking


async def test_a_configuration_is_versioned_and_published_once(api: Caller, log: Log) -> None:
    same = await api.put("/v1/routers/main", CONFIG)
    assert same.json == {"router": "main", "version": 1, "changed": False}
    changed = await api.put("/v1/routers/main", CONFIG | {"stickiness": "turn"})
    assert changed.json == {"router": "main", "version": 2, "changed": True}
    assert [event.version for event in log.of(RouterConfigured)] == [1, 2]


async def test_the_routers_are_listed(api: Caller) -> None:
    await api.put("/v1/routers/other", CONFIG | {"request_types": ["chat"]})
    answer = await api.get("/v1/routers")
    assert answer.status == 200
    main, other = answer.json["routers"]
    assert (main["name"], main["version"], main["arms"]) == ("main", 1, ["cheap", "good", "best"])
    assert (other["name"], other["request_types"]) == ("other", ["chat"])


async def test_the_state_has_a_cell_for_every_arm_and_type(api: Caller) -> None:
    answer = await api.get("/v1/routers/main/state")
    assert answer.status == 200
    state = answer.json
    assert len(state["cells"]) == 3 * len(state["config"]["request_types"])
    general = [cell for cell in state["cells"] if cell["request_type"] == "general"]
    assert sum(cell["probability"] for cell in general) == pytest.approx(1)
    assert [cell["prior"] for cell in general] == [
        {"alpha": cell["alpha"], "beta": cell["beta"]} for cell in general
    ]


async def test_the_state_of_an_unknown_router_is_a_404(api: Caller) -> None:
    answer = await api.get("/v1/routers/nobody/state")
    assert (answer.status, answer.kind) == (404, "unknown-router")


async def test_a_name_in_the_body_must_be_that_of_the_address(api: Caller) -> None:
    assert (await api.put("/v1/routers/main", CONFIG | {"router": "main"})).status == 200
    answer = await api.put("/v1/routers/main", CONFIG | {"router": "other"})
    assert (answer.status, answer.fields) == (422, ["router"])


@pytest.mark.parametrize(
    ("path", "config", "field"),
    [
        ("main", {"weights": {"quality": 0.9, "cost": 0.9}}, "weights"),
        ("main", {"arms": []}, "arms"),
        ("main", {"wieghts": {}}, "wieghts"),
        ("main", {"rewards": {"latency_ms": 1}}, "rewards"),
        ("-bad-", {}, "router"),
    ],
)
async def test_a_bad_configuration_is_named_and_not_published(
    api: Caller, log: Log, path: str, config: dict[str, Any], field: str
) -> None:
    answer = await api.put(f"/v1/routers/{path}", CONFIG | config)
    assert (answer.status, answer.kind, answer.fields) == (422, "invalid-request", [field])
    assert len(log.of(RouterConfigured)) == 1


async def test_a_configuration_that_is_no_object_is_a_422(api: Caller) -> None:
    answer = await api.put("/v1/routers/main", ["cheap"])
    assert (answer.status, answer.fields) == (422, ["body"])


async def test_a_configuration_that_the_log_does_not_take_is_a_503(api: Caller, log: Log) -> None:
    log.takes_events = False
    answer = await api.put("/v1/routers/new", CONFIG)
    assert (answer.status, answer.kind) == (503, "unavailable")
    log.takes_events = True
    assert [each["name"] for each in (await api.get("/v1/routers")).json["routers"]] == ["main"]


async def test_a_new_configuration_is_used_by_the_next_pick(api: Caller, pick: Picking) -> None:
    await api.put("/v1/routers/main", {"arms": [{"name": "only"}]})
    picked = await pick()
    assert (picked["arm"], picked["probability"], picked["fallbacks"]) == ("only", 1, [])


@pytest.mark.parametrize("path", ["/v1/routers", "/v1/routers/main/state"])
async def test_nothing_is_told_before_the_state_is_read(api: Caller, log: Log, path: str) -> None:
    log.is_read = False
    answer = await api.get(path)
    assert (answer.status, answer.kind) == (503, "not-ready")
