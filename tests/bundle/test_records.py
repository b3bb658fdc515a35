"""metrics.jsonl and timing.jsonl: whole lines only."""

from __future__ import annotations

import math
import os

import pytest

from deepen.bundle import records
from deepen.core.errors import RunError
from tests.torture.kills import every_kill


def test_lines_come_back_in_order(tmp_path):
    assert records.read_metrics(tmp_path) == []
    for step in (1, 2, 3):
        records.append_metrics(tmp_path, {"step": step, "loss": 1 / 3})
        records.append_timing(tmp_path, {"step": step, "seconds": 0.5})
    assert records.read_metrics(tmp_path) == [{"step": step, "loss": 1 / 3} for step in (1, 2, 3)]
    assert records.read_timing(tmp_path)[0] == {"step": 1, "seconds": 0.5}
    assert (tmp_path / "metrics.jsonl").read_bytes().count(b"\n") == 3


def test_nan_and_infinity_become_null_and_line_breaks_stay_inside(tmp_path):
    records.append_metrics(tmp_path, {"loss": math.nan, "parts": [math.inf, 1.5], "text": "a\nb\u2028c"})
    assert records.read_metrics(tmp_path) == [{"loss": None, "parts": [None, 1.5], "text": "a\nb\u2028c"}]


def test_truncating_keeps_the_first_lines_and_goes_on_from_there(tmp_path):
    for step in range(5):
        records.append_metrics(tmp_path, {"step": step})
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    records.truncate_metrics(tmp_path, 3)
    for step in (3, 4):
        records.append_metrics(tmp_path, {"step": step})
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole
    with pytest.raises(RunError, match="at least 6 lines, but has 5"):
        records.truncate_metrics(tmp_path, 6)
    records.truncate_timing(tmp_path, 0)
    assert not (tmp_path / "timing.jsonl").exists()


def test_half_a_line_is_no_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st')
    assert records.read_metrics(tmp_path) == [{"step": 1}]
    records.append_metrics(tmp_path, {"step": 2})
    assert records.read_metrics(tmp_path) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("line", [b"[1]\n", b"{\n", b"\n", b'{"a": 1, "a": 2}\n'])
def test_a_damaged_line_is_refused_with_its_number(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line)
    with pytest.raises(RunError, match=r"metrics.jsonl, record 2"):
        records.read_metrics(tmp_path)


def test_killed_at_every_operation_there_are_the_old_lines_or_one_more(tmp_path):
    records.append_metrics(tmp_path, {"step": 1})
    seen = set()
    for _ in every_kill(lambda: records.append_metrics(tmp_path, {"step": 2})):
        seen.add(len(records.read_metrics(tmp_path)))
        for name in os.listdir(tmp_path):
            if name != "metrics.jsonl":
                os.unlink(tmp_path / name)
        records.truncate_metrics(tmp_path, 1)
    assert seen == {1, 2}
