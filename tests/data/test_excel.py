"""Excel: one sheet as text, said, and what a workbook may hide."""

import datetime

import openpyxl
import pytest

from deepen.core.errors import DataError
from deepen.data.excel import read_excel
from deepen.data.read import ReadOptions


def book(tmp_path, rows, change=lambda made: None):
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    change(made)
    made.save(tmp_path / "b.xlsx")
    return tmp_path / "b.xlsx"


def read(path, **options):
    table, faults = read_excel(path, ReadOptions(**options))
    return table.drop_columns(["source", "key"]).to_pylist(), faults, table.column("source").to_pylist()


def test_cells_become_text(tmp_path):
    day = datetime.datetime(2020, 3, 4)
    path = book(
        tmp_path, [["n", "x", "d", "t", "ok"], [7.0, 0.5, day, "007", True], [None], [None, 1, None, None, False]]
    )
    rows, faults, sources = read(path)
    assert rows[0] == {"n": "7", "x": "0.5", "d": "2020-03-04", "t": "007", "ok": "true"}
    assert rows[1] == {"n": None, "x": "1", "d": None, "t": None, "ok": "false"}
    assert sources == ["b.xlsx, row 2", "b.xlsx, row 4"] and faults == []


def test_the_first_sheet_that_is_not_hidden_is_read_and_said(tmp_path):
    def change(made):
        made.create_sheet("old", 0).sheet_state = "hidden"
        made.create_sheet("more").append(["z", "w"])
        made["more"].append([1, 2])

    path = book(tmp_path, [["a", "b"], [1, 2]], change)
    rows, faults, _ = read(path)
    assert rows == [{"a": "1", "b": "2"}]
    assert "sheet 'Sheet' is read" in faults[0].message and "old (hidden)" in faults[0].message
    assert read(path, sheet="more")[0] == [{"z": "1", "w": "2"}]
    with pytest.raises(DataError, match="no sheet 'mroe'; did you mean more"):
        read(path, sheet="mroe")


def test_formulas_without_a_value_are_refused_and_merged_cells_said(tmp_path):
    path = book(tmp_path, [["a"], [1], ["=A2+1"]])
    with pytest.raises(DataError, match=r"1 formulas have no value \(A3\)"):
        read(path)
    path = book(tmp_path, [["a", "b"], [1, 2], [3, 4]], lambda made: made.active.merge_cells("A2:A3"))
    _, faults, _ = read(path)
    assert faults[0].level == "warning" and "A2:A3" in faults[0].message


def test_what_is_no_workbook_is_refused(tmp_path):
    path = tmp_path / "b.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(DataError, match=r"old \.xls format"):
        read(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match=r"not a whole \.xlsx file"):
        read(path)
    with pytest.raises(DataError, match="sheet is empty"):
        read(book(tmp_path, []))
    with pytest.raises(DataError, match="no row below"):
        read(book(tmp_path, [["a", "b"]]))


def test_a_cut_workbook_is_refused_wherever_it_is_cut(tmp_path):
    whole = book(tmp_path, [["a", "b"], [1, 2]]).read_bytes()
    path = tmp_path / "cut.xlsx"
    for end in range(0, len(whole), len(whole) // 20):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError):
            read(path)


def test_a_row_longer_than_the_header_is_an_error(tmp_path):
    rows, faults, _ = read(book(tmp_path, [["a", "b"], [1, 2, 3], [4]]))
    assert rows == [{"a": "4", "b": None}]
    assert faults[0].level == "error" and "3 cells, expected 2" in faults[0].message
