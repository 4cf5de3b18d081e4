"""Reading logs: what is understood, and that every fault names its line and what to do."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routefold.play.errors import LogError
from routefold.play.log import Recorded, read_log
from tests.unit.play.doubles import Row, row

WriteLog = Callable[..., Path]
GOOD = row(a=1, b=0)


def text_of(*rows: Any) -> str:
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in rows)


@pytest.fixture
def log_text(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "log.jsonl"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_every_recorded_value_is_kept(write_log: WriteLog, name: str) -> None:
    full = {"y": 0.25, "usd": 0.5, "in": 10, "out": 3, "lat_s": 1.5, "err": 1}
    bare = {"y": 1, "usd": 0}
    log = read_log(
        write_log([row("writing", a=full, b=bare), row("general", b=full, a=bare)], name)
    )

    assert log.arms == ("a", "b")
    assert log.request_types == ("writing", "general")
    assert log.recorded(0, 0) == Recorded(0.25, 0.5, 1500.0, 10, 3, failed=True)
    assert log.recorded(0, 1) == Recorded(1.0, 0.0, None, None, None, failed=False)
    assert log.recorded(1, 0) == log.recorded(0, 1)
    assert log.recorded(1, 1) == log.recorded(0, 0)


def test_a_prompt_is_kept_only_where_no_type_is_given(write_log: WriteLog) -> None:
    log = read_log(write_log([row("writing", "secret", a=1), row(None, "a poem", a=1)]))
    assert log.prompts == {1: "a poem"}
    assert log.request_types == ("writing", None)


def test_gzip_is_told_by_content_not_by_name(log_text: Callable[[bytes], Path]) -> None:
    assert len(read_log(log_text(gzip.compress(text_of(GOOD, GOOD).encode())))) == 2


def test_blank_lines_foreign_fields_and_a_byte_order_mark_are_let_pass(
    log_text: Callable[[str], Path],
) -> None:
    text = "\ufeff" + text_of(GOOD, "", "  \r", {**GOOD, "bucket": 3, "tools": ["f"]}) + "\n\n"
    assert len(read_log(log_text(text))) == 2


def with_outcome(**fields: Any) -> Row:
    return row(a={"y": 1, "usd": 0.01, **fields}, b=0)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (with_outcome(y=1.5), r"r\.a\.y: .*less than or equal to 1, got 1\.5; y is the answer's"),
        (with_outcome(y=-0.1), r"r\.a\.y: .*greater than or equal to 0, got -0\.1"),
        (
            '{"rtype": "general", "r": {"a": {"y": NaN, "usd": 1}, "b": {"y": 1, "usd": 1}}}',
            r"r\.a\.y: .*finite",
        ),
        (with_outcome(usd=-1), r"r\.a\.usd: .*got -1; usd is what the request cost"),
        (with_outcome(lat_s=-1), r"r\.a\.lat_s: "),
        (with_outcome(**{"in": 1.5}), r"r\.a\.in: .*got 1\.5; in is the number of input tokens"),
        (with_outcome(out=2**31), r"r\.a\.out: "),
        (row(a={"usd": 1}, b=1), r"r\.a\.y: Field required; y is"),
        (row(a={"y": 1}, b=1), r"r\.a\.usd: Field required; usd is"),
        ({"rtype": "general"}, r"r: Field required; r is"),
        (row(), r"r: .*at least 1"),
        (row("Bad Type", a=1, b=1), r"rtype: .*got 'Bad Type'; rtype is"),
        (row(None, None, a=1, b=1), r"neither rtype nor prompt: give"),
        (row(a=1), r"no outcome of arm 'b', which line 1 has; every row needs every arm"),
        (row(a=1, b=1, c=1), r"arm 'c' is not in line 1; every row needs every arm"),
        (row("general", **{"a b": 1}), r"r\.a b: .*got 'a b'"),
        ('{"rtype": "general", "r": ', r"Invalid JSON.*; each line must be one JSON object"),
        ("[1, 2]", r"each line must be one JSON object"),
        ("id,rtype,y", r"Invalid JSON"),
    ],
)
def test_a_bad_line_is_named_with_what_to_do(
    log_text: Callable[[str], Path], line: Any, fault: str
) -> None:
    path = log_text(text_of(GOOD, "", line, GOOD))
    with pytest.raises(LogError, match=fault) as error:
        read_log(path)
    assert error.value.line == 3
    assert str(error.value).startswith(f"{path}:3: ")
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_a_bad_line(log_text: Callable[[bytes], Path]) -> None:
    with pytest.raises(LogError, match=r":2: Invalid JSON"):
        read_log(log_text(text_of(GOOD).encode() + b'{"rtype": "\xff\xfe"}\n'))


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_rows_is_refused(log_text: Callable[[str], Path], text: str) -> None:
    with pytest.raises(LogError, match="no rows") as error:
        read_log(log_text(text))
    assert error.value.line is None


def test_broken_gzip_is_refused(log_text: Callable[[bytes], Path]) -> None:
    whole = gzip.compress(text_of(*[row(a=i / 1000, b=0) for i in range(1000)]).encode())
    flipped_checksum = whole[:-8] + bytes(4) + whole[-4:]
    for broken in (whole[: len(whole) // 2], whole[:-4], whole[:12], flipped_checksum):
        with pytest.raises(LogError, match="the gzip file is broken here") as error:
            read_log(log_text(broken))
        assert error.value.line is not None


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(LogError, match=re.escape(str(path)) + ".*can't be read"):
            read_log(path)


def test_the_documented_example_can_be_played(log_text: Callable[[str], Path]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "play.md").read_text("utf-8")
    (example,) = re.findall(r"```jsonl\n(.*?)```", page, re.DOTALL)
    log = read_log(log_text(example))
    assert len(log) == 2
    assert log.recorded(0, 0).latency_ms is not None


def test_the_shared_logs_are_read_whole(shared_logs: list[Path]) -> None:
    for path in shared_logs:
        log = read_log(path)
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        assert len(log) == len(rows)
        last = rows[-1]["r"]
        assert log.arms == tuple(rows[0]["r"])
        assert log.reward[-1].tolist() == [last[arm]["y"] for arm in log.arms]
        assert np.nansum(log.tokens_in[-1]) == sum(last[arm]["in"] for arm in log.arms)
