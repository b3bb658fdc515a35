"""Texts in tables: which column is the text, which the label, and several labels of a text."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepen.core.errors import DataError
from deepen.data.read import ReadOptions
from deepen.data.readers.text_table import read
from deepen.data.target import target_of


def put(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def column(dataset, name, split="all"):
    return dataset.tables[split].column(name).to_pylist()


def test_columns_are_found_by_their_names(tmp_path):
    body = "".join(f'{n},"a, long text of {n}",short {n},{"ab"[n % 2]}\n' for n in range(5))
    dataset = read(put(tmp_path, "a.csv", "id,review,title,sentiment\n" + body), ReadOptions())
    assert column(dataset, "text")[1] == "short 1\na, long text of 1" and column(dataset, "label")[:2] == ["a", "b"]
    assert column(dataset, "source")[1] == "a.csv, row 3"
    assert {fault.kind for fault in dataset.faults} == {"text-column", "target-guessed"}
    other = read(tmp_path / "a.csv", ReadOptions(columns=("title",), target="id"))
    assert column(other, "text")[1] == "short 1" and column(other, "label")[1] == "1"
    with pytest.raises(DataError, match="no column 'reveiw'; did you mean review"):
        read(tmp_path / "a.csv", ReadOptions(columns=("reveiw",)))


def test_without_a_known_name_the_longest_texts_are_taken(tmp_path):
    body = "".join(f"w{n},some words of a text {n},x\n" for n in range(5))
    dataset = read(put(tmp_path, "a.csv", "p,q,label\n" + body), ReadOptions())
    assert column(dataset, "text")[0] == "some words of a text 0"


def test_rows_without_names_and_classes_beside(tmp_path):
    put(tmp_path, "classes.txt", "World\nSports\nBusiness\n")
    rows = "".join(f'"{1 + n % 3}","A title of {n} words","And ""the"" description {n}"\n' for n in range(9))
    dataset = read(put(tmp_path, "test.csv", rows).parent, ReadOptions())
    assert dataset.labels == ("World", "Sports", "Business") and column(dataset, "label")[:3] == list(dataset.labels)
    assert column(dataset, "text")[0] == 'A title of 0 words\nAnd "the" description 0'
    assert column(dataset, "source")[0] == "test.csv, row 1"


def test_tabs_separate_texts_as_they_are(tmp_path):
    text = 'sentence\tlabel\nhe said "hi\tpos\n"oh no\tneg\nso\tpos\textra\n'
    dataset = read(put(tmp_path, "a.tsv", text + "well\tneg\n" * 200), ReadOptions())
    assert column(dataset, "text")[:3] == ['he said "hi', '"oh no', "well"]
    assert [(f.level, f.place) for f in dataset.faults if f.kind == "row-length"] == [("sample", "a.tsv, line 4")]
    quoted = read(put(tmp_path, "b.tsv", 'text\tlabel\n"a ""b"""\tx\n"c"\ty\n'), ReadOptions())
    assert column(quoted, "text") == ['a "b"', "c"]


def test_a_first_line_that_is_a_text_names_no_column(tmp_path):
    rows = "".join(f"gj04\t{n % 2}\tThis is sentence number {n} of them\n" for n in range(9))
    dataset = read(put(tmp_path, "a.tsv", rows), ReadOptions())
    assert (
        column(dataset, "label")[:2] == ["0", "1"] and column(dataset, "text")[0] == "This is sentence number 0 of them"
    )


def test_lists_of_labels_and_divided_ones(tmp_path):
    lines = "\n".join(json.dumps({"text": f"t {n}", "labels": ["a", "b"][: n % 3]}) for n in range(6))
    dataset = read(put(tmp_path, "a.jsonl", lines), ReadOptions())
    assert column(dataset, "labels")[:3] == [[], ["a"], ["a", "b"]] and target_of(dataset.tables["all"]) == "labels"
    pq.write_table(pa.table({"text": ["x", "y"], "topics": [[3, 5], None]}), tmp_path / "b.parquet")
    assert column(read(tmp_path / "b.parquet", ReadOptions(target="topics")), "labels") == [["3", "5"], None]
    put(tmp_path, "c.csv", "text,labels\nx,a|b\ny,\nz,c\n")
    assert column(read(tmp_path / "c.csv", ReadOptions(target="labels")), "labels") == [["a", "b"], None, ["c"]]
    assert column(read(tmp_path / "c.csv", ReadOptions()), "label") == ["a|b", None, "c"]


def test_a_column_of_splits_and_files_of_splits(tmp_path):
    put(tmp_path, "a.csv", "text,label,split\nx,a,train\ny,b,dev\nz,a,train\n")
    assert {s: t.num_rows for s, t in read(tmp_path / "a.csv", ReadOptions()).tables.items()} == {"train": 2, "val": 1}
    folder = tmp_path / "d"
    folder.mkdir()
    put(folder, "train.csv", "text,label\nx,a\n")
    put(folder, "test.csv", "text,label\ny,b\n")
    assert list(read(folder, ReadOptions()).tables) == ["train", "test"]
    put(folder, "test.csv", "texts,label\ny,b\n")
    with pytest.raises(DataError, match=r"train.csv and test.csv: column 'text' is in train.csv alone"):
        read(folder, ReadOptions())


def test_to_be_answered_no_label_is_needed(tmp_path):
    put(tmp_path, "a.csv", "id,text\n1,x\n2,\n")
    table = read(tmp_path / "a.csv", ReadOptions(target="label", targets_needed=False)).tables["all"]
    assert table.column_names == ["text", "source", "key"] and table.column("text").to_pylist() == ["x", ""]
    with pytest.raises(DataError, match="no column 'label'"):
        read(tmp_path / "a.csv", ReadOptions(target="label"))
    put(tmp_path, "b.csv", "a,b\n1,2\n3,4\n")
    table = pa.table({"a": [1, 2], "label": ["x", "y"]})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(DataError, match="there is no column of texts; name it with --columns: a, label"):
        read(tmp_path / "c.parquet", ReadOptions())


def test_a_group_is_kept(tmp_path):
    put(tmp_path, "a.csv", "text,label,author\nx,a,1\ny,b,2\n")
    assert read(tmp_path / "a.csv", ReadOptions(group="author")).tables["all"].column("author").to_pylist() == [
        "1",
        "2",
    ]


def test_ag_news(shared_data):
    """shared/data/ag_news: 7,600 rows, 1,900 a class."""
    dataset = read(shared_data("ag_news"), ReadOptions())
    labels = column(dataset, "label")
    assert {name: labels.count(name) for name in dataset.labels} == dict.fromkeys(
        ("World", "Sports", "Business", "Sci/Tech"), 1_900
    )
    assert column(dataset, "text")[0].startswith("Fears for T N pension after talks\nUnions representing")
