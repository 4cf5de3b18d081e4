"""Router files: the accepted shapes, and faults by file, line, router and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from routefold.errors import Misuse
from routefold.router_files import load_routers

ONE = "router: {name}\narms:\n  - name: large\n  - name: small\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "routers.yaml"
    path.write_text(text)
    return path


def test_the_four_shapes_of_a_file(tmp_path: Path) -> None:
    chat, code = "{router: chat, arms: [{name: a}]}", "{router: code, arms: [{name: a}]}"
    for text in (
        f"routers:\n  - {chat}\n  - {code}\n",
        f"- {chat}\n- {code}\n",
        f"{chat}\n---\n{code}\n",
        f'[{{"router": "chat", "arms": [{{"name": "a"}}]}}, {code}]',
    ):
        assert [each.router for each in load_routers(write(tmp_path, text))] == ["chat", "code"]
    assert [each.router for each in load_routers(write(tmp_path, ONE.format(name="x")))] == ["x"]


def test_a_fault_names_file_line_router_and_field(tmp_path: Path) -> None:
    path = write(tmp_path, ONE.format(name="chat") + "weights:\n  quality: 0.7\n  cots: 0.3\n")
    with pytest.raises(Misuse) as caught:
        load_routers(path)
    assert str(caught.value) == (
        f"{path}:7: router 'chat': weights.cots: Extra inputs are not permitted"
    )


def test_a_fault_of_the_whole_router_names_its_first_line(tmp_path: Path) -> None:
    path = write(tmp_path, "\n\n" + ONE.format(name="chat") + "min_probability: 0.9\n")
    with pytest.raises(Misuse, match=r":3: router 'chat': .*min_probability"):
        load_routers(path)


def test_several_faults_are_all_told(tmp_path: Path) -> None:
    path = write(tmp_path, "- {router: a, arms: []}\n- {router: b, arms: [{name: x, tier: 9}]}\n")
    with pytest.raises(Misuse, match="2 faults, nothing was applied") as caught:
        load_routers(path)
    assert caught.value.detail is not None
    first, second = caught.value.detail.splitlines()
    assert ":1: router 'a': arms" in first
    assert ":2: router 'b': arms.0.tier" in second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no router in it"),
        ("# nothing\n", "no router in it"),
        ("routers: []\n", "no router in it"),
        ("just text\n", "configuration"),
        ("router: [unclosed\n", "not YAML"),
        ("router: a\nrouter: b\narms: [{name: x}]\n", "'router' is given twice"),
        ("router: a\narms: [{name: x, name: y}]\n", "'name' is given twice"),
        ("- {router: a, arms: [{name: x}]}\n- {router: a, arms: [{name: y}]}", "given twice"),
        ("!!python/object/apply:os.getcwd []\n", "not YAML"),
        ("a: &a [*a]\n", "configuration|not YAML|Extra|router"),
    ],
)
def test_broken_files_are_misuse(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Misuse, match=message):
        load_routers(write(tmp_path, text))


def test_a_missing_file_and_a_binary_one(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"absent\.yaml: can't be read \(No such file"):
        load_routers(tmp_path / "absent.yaml")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match="not UTF-8"):
        load_routers(binary)
