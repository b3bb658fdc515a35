"""Text tables: what is read, exactly, and what is refused, with its words."""

import csv
import gzip
import io
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepen.core.errors import DataError, OptionError
from deepen.data.delimited import read_delimited
from deepen.data.read import ReadOptions

PLAIN = "name,size,note\nann,1.5,x\nbob,2.5,y\ncid,3.5,\n"
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
NAMES = st.lists(st.sampled_from(["a", "b c", "Größe", "x;y", "n,m", "tab"]), min_size=2, max_size=5, unique=True)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(tmp_path, content, name="t.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_delimited(path, ReadOptions(**options))


def cells(table):
    return table.drop_columns(["source", "key"]).to_pylist()


def refused(tmp_path, content, name="t.csv", **options):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, name, **options)
    assert caught.value.faults and caught.value.faults[0].level == "error"
    return str(caught.value)


def written(rows, **kwargs):
    out = io.StringIO()
    csv.writer(out, **kwargs).writerows(rows)
    return out.getvalue()


def test_cells_are_the_text_exactly(tmp_path):
    table, faults = read(tmp_path, "id,pin,none\nx,007,NA\ny,9007199254740993,None\n")
    assert cells(table) == [
        {"id": "x", "pin": "007", "none": "NA"},
        {"id": "y", "pin": "9007199254740993", "none": "None"},
    ]
    assert table.column("source").to_pylist() == ["t.csv, row 2", "t.csv, row 3"]
    assert faults == []


def test_empty_cells_are_null_and_blank_lines_are_no_rows(tmp_path):
    table, _ = read(tmp_path, "a,b\n\n1,\n\n\n,x\n\n")
    assert cells(table) == [{"a": "1", "b": None}, {"a": None, "b": "x"}]
    assert table.column("source").to_pylist() == ["t.csv, row 3", "t.csv, row 6"]


def test_row_numbers_are_lines_of_the_file_where_cells_hold_several(tmp_path):
    table, _ = read(tmp_path, 'a,b\n"one\ntwo, three","say ""hi"""\nx,y\n')
    assert cells(table)[0] == {"a": "one\ntwo, three", "b": 'say "hi"'}
    assert table.column("source").to_pylist() == ["t.csv, row 2", "t.csv, row 4"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_with_a_mark_give_the_same_table(tmp_path, encoding):
    text = PLAIN.replace("ann", "Änn €")
    marked = text if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else "\ufeff" + text
    twin, _ = read(tmp_path, text)
    table, _ = read(tmp_path, marked.encode(encoding))
    assert table.equals(twin)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_all_alike(tmp_path, end):
    twin, _ = read(tmp_path, PLAIN)
    table, _ = read(tmp_path, PLAIN.replace("\n", end))
    assert table.equals(twin)


def test_mixed_line_ends(tmp_path):
    twin, _ = read(tmp_path, PLAIN)
    assert read(tmp_path, "name,size,note\r\nann,1.5,x\rbob,2.5,y\ncid,3.5,")[0].equals(twin)


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_the_separator_is_found_and_said(tmp_path, separator, word):
    twin, _ = read(tmp_path, PLAIN)
    table, faults = read(tmp_path, PLAIN.replace(",", separator))
    assert table.equals(twin)
    assert [fault.level for fault in faults] == ["note"] and word in faults[0].sentence()


def test_a_first_line_may_state_the_separator(tmp_path):
    table, _ = read(tmp_path, "sep=;\na;b\n1,5;2\n")
    assert cells(table) == [{"a": "1,5", "b": "2"}]
    assert table.column("source").to_pylist() == ["t.csv, row 3"]


def test_semicolons_win_over_decimal_commas(tmp_path):
    table, faults = read(tmp_path, "a;b\n1,5;2,5\n3,5;NA\n", decimal=",")
    assert cells(table) == [{"a": "1.5", "b": "2.5"}, {"a": "3.5", "b": "NA"}]
    assert any("decimal comma" in fault.message for fault in faults)


def test_blanks_after_separators_are_no_data_where_all_have_them(tmp_path):
    table, _ = read(tmp_path, "39, State-gov, <=50K\n50, ?, >50K\n\n", name="adult.data", header=False)
    assert cells(table)[1] == {"column1": "50", "column2": "?", "column3": ">50K"}
    kept, _ = read(tmp_path, "a,b\nx, y\nz,w\n")
    assert cells(kept)[0]["b"] == " y"


def test_gzip_is_unpacked_and_a_cut_one_refused(tmp_path):
    packed = gzip.compress(PLAIN.encode())
    assert read(tmp_path, packed, name="t.csv.gz")[0].num_rows == 3
    assert "not a whole gzip file" in refused(tmp_path, packed[:-9], name="t.csv.gz")
    assert "not a whole gzip file" in refused(tmp_path, b"plain", name="t.csv.gz")


def test_wrong_bytes_are_refused_with_line_byte_and_mend(tmp_path):
    message = refused(tmp_path, "a,b\n1,2\ncaf\u00e9,3\n".encode("latin-1"))
    assert message.startswith("t.csv, line 3: byte 12 (0xe9) is not utf-8") and "--encoding" in message
    table, _ = read(tmp_path, "a,b\n1,2\ncaf\u00e9,3\n".encode("latin-1"), encoding="latin-1")
    assert cells(table)[1]["a"] == "caf\u00e9"
    assert "no such encoding" in refused(tmp_path, PLAIN, encoding="klingon")
    assert "UTF-16" in refused(tmp_path, PLAIN.encode("utf-16-le"))


def test_an_open_quote_is_named_where_it_opens(tmp_path):
    text = 'a,b\n1,x\n2,y\n3,"open\n4,z\n5,w\n'
    assert refused(tmp_path, text).startswith("t.csv, line 4: the quote opened here is never closed")
    later = 'a,b\n1,"fine\nstill fine","and\nopen\n2,x\n'
    assert refused(tmp_path, later).startswith("t.csv, line 3: the quote opened here")
    assert "closing quote" in refused(tmp_path, 'a,b\n"x"y,1\n')


def test_rows_of_a_wrong_length(tmp_path):
    table, faults = read(tmp_path, "a,b,c\n1,2,3\n4,5\n6,7,8\n9,9,9,9\n")
    assert [fault.sentence().split(";")[0] for fault in faults] == [
        "t.csv, row 3: 2 cells, expected 3",
        "t.csv, row 5: 4 cells, expected 3",
    ]
    assert {fault.level for fault in faults} == {"error"} and table.num_rows == 2


def test_a_file_whose_rows_are_all_too_long_is_one_fault(tmp_path):
    _, faults = read(tmp_path, "a,b,c\n" + "1,2,3,4\n" * 50)
    assert len(faults) == 1 and "50 rows from here on hold 4 cells" in faults[0].message


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "file is empty"), ("\n\n", "file is empty"), ("a,b\n", "no row below"), ("a,a\n1,2\n", "both called 'a'")],
)
def test_nothing_to_read(tmp_path, text, words):
    assert words in refused(tmp_path, text)


def test_a_first_line_of_data_is_refused(tmp_path):
    message = refused(tmp_path, "39,State,5\n40,Private,6\n41,State,7\n")
    assert "line 1: the first line looks like data (39, State, 5, ...)" in message and "--no-header" in message
    table, _ = read(tmp_path, "39,State,5\n40,Private,6\n", header=False)
    assert table.column_names[:3] == ["column1", "column2", "column3"] and table.num_rows == 2


def test_texts_that_all_occur_again_are_data_and_years_are_names(tmp_path):
    assert "looks like data" in refused(tmp_path, "red,big\nred,small\nblue,big\nblue,small\nred,big\n")
    table, _ = read(tmp_path, "2019,2020,2021\n1,2,3\n4,5,6\n")
    assert table.column_names[:3] == ["2019", "2020", "2021"]


def test_names_are_trimmed_and_ours_are_kept_free(tmp_path):
    table, faults = read(tmp_path, " x \u00a0, source,key,\n1,2,3,4\n", header=True)
    assert table.column_names == ["x", "source_column", "key_column", "column4", "source", "key"]
    assert {fault.kind for fault in faults} >= {"column-renamed", "column-unnamed"}


def test_rows_with_control_characters_are_left_out(tmp_path):
    table, faults = read(tmp_path, b"a,b\nx,1\ny\x00,2\nz,\xed\xa0\x80\nw,4\n")
    assert [row["a"] for row in cells(table)] == ["x", "w"]
    assert [(fault.level, fault.place) for fault in faults] == [("sample", "t.csv, row 3"), ("sample", "t.csv, row 4")]
    assert "U+0000" in faults[0].message and "U+D800" in faults[1].message


@pytest.mark.parametrize(
    ("options", "words"),
    [({"separator": "::"}, "--separator '::': expected one character"), ({"decimal": "x"}, "--decimal 'x'")],
)
def test_options_that_cannot_be_used(tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        read(tmp_path, PLAIN, **options)
    assert "cannot be used for text" in refused(tmp_path, PLAIN, encoding="base64")


def test_a_cell_of_ten_million_characters(tmp_path):
    table, _ = read(tmp_path, "a,b\n1," + "x" * 10_000_000 + "\n")
    assert len(cells(table)[0]["b"]) == 10_000_000
    assert csv.field_size_limit() == 131_072


@FEW
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), quoting=st.sampled_from([0, 1]))
def test_what_is_written_is_read(tmp_path, rows, quoting):
    """P6 and P13: quoted or not, a written table is read back."""
    text = written([("first", "second", "third"), *rows], quoting=quoting)
    try:
        table, _ = read(tmp_path, text)
    except DataError as error:
        assert "looks like data" in str(error)  # texts may say 'first' throughout
        return
    back = [tuple(row.values()) for row in cells(table)]
    assert back == [tuple(cell or None for cell in row) for row in rows]


@FEW
@given(names=NAMES, separator=st.sampled_from([",", ";", "\t", "|"]), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_separator_line_end_and_mark_change_nothing(tmp_path, names, separator, end):
    """P1, P2, P3."""
    rows = [names, *([str(i * len(names) + j) + ".5" for j in range(len(names))] for i in range(5))]
    twin, _ = read(tmp_path, written(rows, lineterminator="\n", quoting=csv.QUOTE_ALL))
    text = written(rows, delimiter=separator, lineterminator=end)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read(tmp_path, text.encode(encoding))[0].equals(twin)


@FEW
@given(order=st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_columns_changes_no_key(tmp_path, order):
    """P4."""
    rows = [{name: f"{name}{row}" for name in "abcd"} for row in range(4)]
    twin, _ = read(tmp_path, written([list("abcd"), *([row[name] for name in "abcd"] for row in rows)]))
    table, _ = read(tmp_path, written([order, *([row[name] for name in order] for row in rows)]))
    assert table.select(twin.column_names).equals(twin)


@FEW
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_table_or_a_sentence(tmp_path, data):
    """P17: nothing but DataError comes out."""
    for options in (ReadOptions(), replace(ReadOptions(), header=False)):
        path = tmp_path / "t.csv"
        path.write_bytes(data)
        with suppress(DataError):
            read_delimited(path, options)
