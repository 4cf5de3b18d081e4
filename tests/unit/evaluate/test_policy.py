"""Policies: what they pick, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from routefold.errors import Misuse
from routefold.evaluate.policy import FixedShares, RouterPolicy
from routefold.evaluate.policy_files import load_policy
from router_api.routing.router import Router
from schemas.router_config import RouterConfig
from tests.factories import config
from tests.snapshots import observed, snapshot, state_of

ROUTER = """
router: chat
arms: [{name: large}, {name: small}]
"""


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_shares_grow_in_proportion_where_arms_are_excluded() -> None:
    policy = FixedShares(shares={"a": 0.5, "b": 0.3, "c": 0.2})
    assert policy.chances("general", ["a", "b", "c"]) == {"a": 0.5, "b": 0.3, "c": 0.2}
    assert policy.chances("general", ["b", "c"]) == pytest.approx({"b": 0.6, "c": 0.4})
    assert policy.chances("general", ["d"]) is None


def test_a_type_has_its_own_shares() -> None:
    policy = FixedShares(shares={"a": 1.0}, by_type={"writing": {"b": 1.0}})
    assert policy.chances("writing", ["a", "b"]) == {"b": 1.0}
    assert policy.chances("general", ["a", "b"]) == {"a": 1.0}
    assert set(policy.arms) == {"a", "b"}


def test_a_type_without_shares_is_named() -> None:
    policy = FixedShares(by_type={"writing": {"b": 1.0}})
    with pytest.raises(Misuse, match="'general'"):
        policy.chances("general", ["b"])


def test_an_arm_with_share_zero_need_not_exist_in_the_log() -> None:
    assert set(FixedShares(shares={"a": 1.0, "b": 0.0}).arms) == {"a"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("shares: {a: 0.5, b: 0.4}", "shares: the shares must sum to 1, got 0.9"),
        ("by_type: {writing: {a: 0.7}}", "by_type.writing: the shares must sum to 1, got 0.7"),
        ("shares: {a: 1.5, b: -0.5}", "shares.a"),
        ("shares: {a: one}", "shares.a"),
        ("shares: {}", "shares"),
        ("shares: {a: 1.0}\nby_typ: {}", "by_typ"),
        ("by_type: {}", "give `shares`, `by_type`, or both"),
        ("shares: [1, 2", "not YAML"),
        (ROUTER.replace("arms", "amrs"), "amrs"),
        ("routers:\n- {router: a, arms: [{name: x}]}\n- {router: b, arms: [{name: x}]}",
         "2 routers in it"),
        ("", "no router in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(policy_file: Path, text: str, fault: str) -> None:
    policy_file.write_text(text)
    with pytest.raises(Misuse) as caught:
        load_policy(policy_file)
    assert fault in f"{caught.value} {caught.value.detail or ''}"
    assert str(policy_file) in str(caught.value)


def test_a_missing_file_is_named(policy_file: Path) -> None:
    with pytest.raises(Misuse, match=r"policy\.yaml: can't be read"):
        load_policy(policy_file)


def test_files_hold_shares_or_a_router(policy_file: Path) -> None:
    policy_file.write_text("shares: {a: 0.333, b: 0.333, c: 0.333}")
    thirds = load_policy(policy_file)
    assert isinstance(thirds, FixedShares)
    assert thirds.chances("general", ["a", "b", "c"]) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    policy_file.write_text(ROUTER)
    router = load_policy(policy_file)
    assert isinstance(router, RouterConfig)
    assert router.arm_names == ("large", "small")


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (FixedShares(shares={"a": 0.5, "z": 0.5}), r"shares\.z"),
        (FixedShares(by_type={"writing": {"z": 1.0}}), r"by_type\.writing\.z"),
        (FixedShares(by_type={"poetry": {"a": 1.0}}), r"by_type\.poetry"),
    ],
)
def test_names_that_the_router_does_not_have_are_refused(policy: FixedShares, field: str) -> None:
    with pytest.raises(Misuse, match=field):
        policy.require_known(["a", "b"], ["general", "writing"])


def test_a_router_policy_picks_as_the_router_would() -> None:
    cfg = config(arms=("a", "b", "c"), min_probability=0.02)
    evidence = observed("a", [1.0] * 30) | observed("b", [0.0, 1.0] * 10)
    state = state_of(snapshot(evidence))
    policy = RouterPolicy(cfg, lambda name: state.of(name).read())
    router = Router(cfg, 1, state)
    _, everyone = router.view("general", now_ms=0)
    assert policy.chances("general", ["a", "b", "c"]) == dict(
        zip(everyone.table.arms, everyone.table.probabilities, strict=True)
    )
    choice = router.choose("general", b"key", now_ms=0, exclude=["a"])
    chances = policy.chances("general", ["b", "c"])
    assert chances is not None
    assert chances[choice.arm] == choice.probability
    assert policy.chances("general", ["gone"]) is None


def test_a_router_policy_must_know_the_types_of_the_log() -> None:
    policy = RouterPolicy(config(request_types=["writing"]), lambda _: pytest.fail("not read"))
    with pytest.raises(Misuse, match="'general'"):
        policy.chances("general", ["a"])
