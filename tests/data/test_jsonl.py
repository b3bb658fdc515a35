"""JSON lines: types kept where a column has one, and each bad line named."""

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError
from deepen.data.jsonl import read_jsonl
from deepen.data.read import ReadOptions

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
ROWS = st.lists(
    st.fixed_dictionaries({"a": st.integers(-(2**70), 2**70), "b": st.none() | st.booleans(), "c": TEXTS}),
    min_size=1,
    max_size=6,
)


def read(tmp_path, text):
    path = tmp_path / "t.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_jsonl(path, ReadOptions())


def test_types_are_kept_and_what_lacks_is_missing(tmp_path):
    table, faults = read(tmp_path, '{"n": 1, "x": 0.5, "ok": true}\n\n{"n": 2, "s": "007", "x": 3}\n')
    assert table.schema.types[:4] == [pa.int64(), pa.float64(), pa.bool_(), pa.string()] and faults == []
    assert table.column("x").to_pylist() == [0.5, 3.0] and table.column("s").to_pylist() == [None, "007"]
    assert table.column("source").to_pylist() == ["t.jsonl, line 1", "t.jsonl, line 3"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"n": 1,}', "not JSON at character 9"),
        ('{"n": 1, "n": 2}', "holds 'n' twice"),
        ('{"n": NaN}', "holds NaN, which is not JSON"),
        ('{"n": ' + "9" * 5000 + "}", "thousands of digits"),
        ('{"n": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested thousands"),
        ("[1]", "is a list, expected one object"),
        ("null", "is null, expected one object"),
        ('{"n": "\\ud800"}', "surrogate"),
    ],
)
def test_a_bad_line_is_left_out_and_named(tmp_path, line, words):
    table, faults = read(tmp_path, '{"n": 1}\n' + line + '\n{"n": 3}\n')
    assert table.column("n").to_pylist() == [1, 3]
    assert [(fault.level, fault.place) for fault in faults] == [("sample", "t.jsonl, line 2")]
    assert words in faults[0].message


def test_no_good_line_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 1: is a list.*No line of the file is a JSON object"):
        read(tmp_path, "[1, 2]\n")
    with pytest.raises(DataError, match="file is empty"):
        read(tmp_path, "\n")


def test_mixed_types_become_text_with_a_warning(tmp_path):
    table, faults = read(tmp_path, '{"n": 1}\n{"n": "1"}\n{"n": true}\n')
    assert table.column("n").to_pylist() == ["1", "1", "true"]
    assert faults[0].level == "warning" and faults[0].place == "t.jsonl, line 2"
    with pytest.raises(DataError, match="lists or objects of several types"):
        read(tmp_path, '{"n": [1]}\n{"n": {"a": 1}}\n')


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_what_is_written_is_read(tmp_path, rows):
    """P1, P13."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    table, _ = read(tmp_path, text)
    back = table.select(["a", "b", "c"]).to_pylist()
    assert [str(row["a"]) for row in back] == [str(row["a"]) for row in rows]
    assert [row["c"] for row in back] == [row["c"] for row in rows]
    assert read(tmp_path, b"\xef\xbb\xbf" + text.encode())[0].equals(table)
