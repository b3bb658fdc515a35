"""Parquet: the file's own types, and nothing but DataError from a damaged file."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepen.core.errors import DataError
from deepen.data import parquet
from deepen.data.parquet import read_parquet
from deepen.data.read import ReadOptions

TABLE = pa.table({"n": [1, 2, None], "s": pa.array(["x", None, "y"]).dictionary_encode(), "key": [True, False, None]})


def data() -> bytes:
    out = io.BytesIO()
    pq.write_table(TABLE, out)
    return out.getvalue()


def read(tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    return read_parquet(path, ReadOptions())


def test_types_are_kept_and_dictionaries_unpacked(tmp_path):
    table, faults = read(tmp_path, data())
    assert table.schema.names == ["n", "s", "key_column", "source", "key"]
    assert table.schema.types[:3] == [pa.int64(), pa.string(), pa.bool_()]
    assert table.column("source").to_pylist()[2] == "t.parquet, row 3"
    assert [fault.kind for fault in faults] == ["column-renamed"]
    assert len(set(table.column("key").to_pylist())) == 3


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path):
    whole = data()
    for end in range(0, len(whole), len(whole) // 20):
        with pytest.raises(DataError, match=r"^t\.parquet: not a whole Parquet file"):
            read(tmp_path, whole[:end])


def test_no_rows_and_absurd_claims_are_refused(tmp_path, monkeypatch):
    out = io.BytesIO()
    pq.write_table(TABLE.slice(0, 0), out)
    with pytest.raises(DataError, match="the table has no rows"):
        read(tmp_path, out.getvalue())
    monkeypatch.setattr(parquet, "MOST_ROWS", 2)
    with pytest.raises(DataError, match="claims 3 rows"):
        read(tmp_path, data())
