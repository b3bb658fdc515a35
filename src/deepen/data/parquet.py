"""Parquet files as Arrow tables, read with every check that the format offers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from deepen.core.errors import DataError
from deepen.core.faults import Fault
from deepen.core.units import size
from deepen.data.columns import column_names, with_origin
from deepen.data.text_file import refusal

if TYPE_CHECKING:
    from deepen.data.read import ReadOptions

MOST_ROWS = 200_000_000
LARGEST = 1 << 36  # bytes, unpacked
_HEADER_LIMIT = 1 << 26


def read_parquet(path: Path, options: ReadOptions) -> tuple[pa.Table, list[Fault]]:
    """The table of a Parquet file with its own types, and what was noticed; `options` holds nothing that it needs.

    Dictionary columns are unpacked. Then come `source` ("data.parquet, row 5", from 1) and `key`. Raises DataError for
    a file that is cut, damaged, or claims sizes beyond MOST_ROWS or LARGEST.
    """
    del options
    faults: list[Fault] = []
    table = _validated(path)
    table = table.rename_columns(column_names(table.column_names, path.name, faults)).replace_schema_metadata(None)
    if table.num_rows == 0:
        raise refusal("no-rows", path.name, "the table has no rows.")
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
        elif pa.types.is_large_string(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pa.string()))
    return with_origin(table, [f"{path.name}, row {row}" for row in range(1, table.num_rows + 1)]), faults


def _validated(path: Path) -> pa.Table:
    try:
        with path.open("rb") as handle, _opened(handle) as file:
            _refuse_claims(file.metadata, path)
            table = file.read(use_threads=False)
            table.validate(full=True)
            return table
    except DataError:
        raise
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        message = f"not a whole Parquet file ({reason}); write or copy it anew."
        raise refusal("parquet-damaged", path.name, message) from error


def _opened(handle) -> pq.ParquetFile:
    return pq.ParquetFile(
        handle,
        memory_map=False,
        page_checksum_verification=True,
        thrift_string_size_limit=_HEADER_LIMIT,
        thrift_container_size_limit=_HEADER_LIMIT,
    )


def _refuse_claims(metadata: pq.FileMetaData, path: Path) -> None:
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    rows = max([metadata.num_rows, *(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))])
    if not 0 <= rows <= MOST_ROWS or unpacked > LARGEST or unpacked < 0:
        message = f"claims {rows:,} rows and {size(abs(unpacked))}; at most {MOST_ROWS:,} and {size(LARGEST)} are read."
        raise refusal("parquet-size", path.name, message)
