"""Bodies as rows: what is taken, what is refused, and whose error it is."""

from __future__ import annotations

import base64
import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("python_multipart", reason="the extra `serve` is not installed")

from deepen.prepare.fields import Field
from deepen.serve.multipart import boundary_of, parts_of
from deepen.serve.problems import Problem
from deepen.serve.rows import checked, wanted

JSON = "application/json"
FORM = "multipart/form-data; boundary=xx"
TABLE = [Field("age", "number"), Field("job", "category")]
TEXT = [Field("text", "text")]
PICTURE = [Field("image", "picture")]


def rows(body, fields=TABLE, header=JSON, most=7):
    return wanted(body if isinstance(body, bytes) else json.dumps(body).encode(), header, fields, max_rows=most)


def refused(status, body, fields=TABLE, header=JSON, most=7):
    with pytest.raises(Problem) as caught:
        rows(body, fields, header, most)
    assert caught.value.status == status, caught.value.message
    assert len(caught.value.message) < 400
    return caught.value.message


def part(name, content, more=b""):
    head = b'--xx\r\ncontent-disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n"
    return head + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--xx--\r\n"


def test_cells_become_the_texts_that_a_table_would_hold():
    found = rows({"rows": [{"age": 41, "job": "nurse"}, {"age": 1.5, "job": True}, {"age": None, "job": 3.0}]})
    assert found.rows == [
        {"age": "41", "job": "nurse"},
        {"age": "1.5", "job": "true"},
        {"age": None, "job": "3"},
    ]
    assert found.errors == ["", "", ""] and found.notes == ()


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12))
@settings(max_examples=200, deadline=None)
def test_a_number_keeps_its_value(value):
    (row,) = rows({"rows": [{"age": value, "job": "x"}]}).rows
    assert row is not None and float(str(row["age"])) == value


def test_a_wrong_row_is_its_own_error():
    found = rows({"rows": [{"age": 1, "job": "a"}, {"ages": 1, "job": "a"}, 5, {"age": [1], "job": "a"}]})
    assert found.rows[0] and found.rows[1:] == [None, None, None]
    assert "'age' (there is 'ages') is missing" in found.errors[1]
    assert "5: expected an object" in found.errors[2] and "[1]: expected a number" in found.errors[3]
    assert found.notes == ("'ages' is no field of this run and is not used.",)


def test_a_single_field_needs_no_name():
    assert rows({"rows": ["a", {"text": "b"}]}, TEXT).rows == [{"text": "a"}, {"text": "b"}]


def test_words_may_be_given_as_plain_text_where_the_task_reads_it():
    field = Field("tokens", "words", instead="text")
    assert checked({"tokens": ["a", "b"]}, [field]) == {"tokens": ["a", "b"]}
    assert checked({"text": "a b"}, [field]) == checked({"tokens": "a b"}, [field]) == {"text": "a b"}
    assert "expected a list of words" in str(checked({"tokens": [1]}, [field]))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "line 1"),
        (b'{"rows": [NaN]}', 400, "NaN"),
        (b'{"rows": [1e400]}', 400, "too large"),
        (b'{"rows": [' + b"9" * 5000 + b"]}", 400, "too large"),
        (b'{"rows": [], "rows": [1]}', 400, "twice"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "nested"),
        (b'\xef\xbb\xbf{"rows": []}', 400, "byte order mark"),
        ('{"rows": ["a"]}'.encode("utf-16"), 400, "byte order mark"),
        (b'{"rows": ["\xff"]}', 400, "UTF-8"),
        (b"[1, 2]", 422, "expected"),
        (b'{"rows": {}}', 422, "expected"),
        (b'{"rows": []}', 422, "no rows"),
        (b'{"rows": ["a"], "model": "b"}', 422, "'model'"),
        (json.dumps({"rows": ["a"] * 8}).encode(), 413, "at most 7"),
    ],
)
def test_a_body_that_is_none_is_refused_with_its_place(body, status, words):
    assert words in refused(status, body, TEXT)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("\ud800", "surrogate"),
        ("a\x00b", "NUL"),
        (5, "expected a text"),
        ("x" * 200_001, "at most 200,000"),
        (["a"], "expected a text"),
    ],
)
def test_a_text_that_is_none(value, words):
    found = checked({"text": value}, TEXT)
    assert isinstance(found, str) and words in found and len(found) < 250


def test_a_line_holds_one_line():
    assert "one line" in str(checked({"text": "a\nb"}, [Field("text", "line")]))


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://x",
        "https://0x7f000001/",
        "HTTP://2130706433",
        "gopher://[::ffff:127.0.0.1]",
        " http://127.1/",
    ],
)
def test_an_address_is_never_fetched(address):
    assert "send the bytes" in str(checked({"image": address}, PICTURE))


@pytest.mark.parametrize("value", ["/etc/passwd", "../../x.png", "not base64!", "", 5, None])
def test_a_picture_is_bytes_and_no_path(value):
    assert isinstance(checked({"image": value}, PICTURE), str)


def test_a_picture_as_base64_or_as_a_part():
    data = bytes(range(256))
    assert rows({"rows": [{"image": base64.b64encode(data).decode()}]}, PICTURE).rows == [{"image": data}]
    body = form(part(b"image", data), part(b"image", b"second"), part(b"text", b"of one"))
    assert "as many of each" in refused(422, body, PICTURE + TEXT, FORM)
    found = rows(form(part(b"file", data), part(b"files", b"2")), PICTURE, FORM)
    assert found.rows == [{"image": data}, {"image": b"2"}]


def test_the_kth_part_of_a_name_belongs_to_the_kth_row():
    body = form(part(b"age", b"1"), part(b"job", b"a"), part(b"job", b"b"), part(b"age", b"2"))
    assert rows(body, TABLE, FORM).rows == [{"age": "1", "job": "a"}, {"age": "2", "job": "b"}]
    assert "as many of each" in refused(
        422, form(part(b"age", b"1"), part(b"age", b"2"), part(b"job", b"a")), TABLE, FORM
    )
    assert "'salary'" in refused(422, form(part(b"salary", b"1")), TABLE, FORM)
    assert "UTF-8" in refused(400, form(part(b"age", b"\xff"), part(b"job", b"a")), TABLE, FORM)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=" + "-" * 10_000, 400),
    ],
)
def test_other_types_are_refused(header, status):
    refused(status, b"{}", TEXT, header)


def test_multipart_has_limits_on_all_that_can_be_many():
    refused(413, form(*[part(b"text", b"a")] * 2000), TEXT, FORM)
    refused(400, part(b"text", b"a"), TEXT, FORM)  # no last boundary
    refused(400, b"x" * (1 << 20) + form(part(b"text", b"a")), TEXT, FORM)  # a preamble of 1 MB
    refused(400, b"--xx\r\n" + b"a: b\r\n" * 10_000 + b"\r\n--xx--\r\n", TEXT, FORM)
    refused(400, b"--xx\r\na: " + b"b" * 9_000 + b"\r\n\r\n--xx--\r\n", TEXT, FORM)
    refused(400, b"--xx\r\n\r\nno name\r\n--xx--\r\n", TEXT, FORM)
    refused(400, form(part(b"n" * 300, b"a")), TEXT, FORM)


@pytest.mark.parametrize("name", [b"../../x", b"a\x00b", b"x" * 1500, b'a\\"b'])
def test_a_file_name_is_not_looked_at(name):
    found = rows(form(part(b"file", b"data", b'; filename="' + name + b'"')), PICTURE, FORM)
    assert found.rows == [{"image": b"data"}]


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_rows_or_a_problem(body):
    for header in (JSON, FORM):
        try:
            rows(b"--xx\r\n" + body if header is FORM else body, TEXT, header)
        except Problem as problem:
            assert problem.status in (400, 413, 422)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (json.dumps({"rows": ["a" * n]}).encode(), JSON),
        lambda n: (json.dumps({"rows": ["\\" * (n // 2)]}).encode(), JSON),
        lambda n: (form(part(b"text", b"\r\n--x" * (n // 5))), FORM),
        lambda n: (b"--xx" + b"-" * n, FORM),
    ],
)
def test_reading_takes_time_in_proportion(make):
    def seconds(n):
        body, header = make(n)
        best = 9.0
        for _ in range(5):
            before = time.process_time()
            with contextlib.suppress(Problem):
                wanted(body, header, TEXT, max_rows=7)
            best = min(best, time.process_time() - before)
        return best

    assert seconds(4 << 18) < 2.5 * 2.5 * max(seconds(1 << 18), 2e-3)


def test_boundaries_and_parts_by_hand():
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    (found,) = parts_of(form(part(b"n", b"one\r\n--x two")), b"xx", most=1)
    assert (found.name, found.content) == ("n", b"one\r\n--x two")
