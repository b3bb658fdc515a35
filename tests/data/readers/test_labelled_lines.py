"""A text a line with its label: which layouts are told apart, and what is in the tables."""

from __future__ import annotations

import pytest

from deepen.core.errors import DataError
from deepen.data.read import ReadOptions
from deepen.data.readers.labelled_lines import kind_of, read, recognizes

WORDS = ("word", "more words", "words of a text", "and words again")


def rows(dataset, split="all"):
    table = dataset.tables[split]
    return list(zip(*(table.column(name).to_pylist() for name in table.column_names[:3]), strict=True))


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["__label__a one", "__label__b two"], "marked"),
        (["DESC:def What is it ?", "NUM:dist How far ?"], "coarse"),
        (["ham\tHello you", "spam\tBuy it now", "ham\tWhat else"], "tab-first"),
        (["Hello you\tham", "Buy it now\tspam", "What else\tham"], "tab-last"),
        (["词汇阅读是关键\t3", "中国人民公安\t3", "日本地震\t5"], "tab-last"),
        (["0 bad film", "1 good film", "0 no", "1 yes"], "number"),
        (["1. first", "2. second"], ""),
        (["1 first", "2 second", "3 third", "4 fourth", "5 fifth"], ""),
        (["Note: this is", "plain text"], ""),
        (["a long text of words\tanother long text", "some more text here\tand here more of it"], ""),
        ([], ""),
    ],
)
def test_layouts_are_told_by_the_lines(lines, kind):
    assert kind_of(lines) == kind


def test_several_marks_on_a_line_make_a_list(tmp_path):
    (tmp_path / "a.txt").write_text("__label__a __label__b one  two\n\n__label__a three\n" * 9 + "none\n")
    dataset = read(tmp_path / "a.txt", ReadOptions())
    assert rows(dataset)[:2] == [("one  two", ["a", "b"], "a.txt, line 1"), ("three", ["a"], "a.txt, line 3")]
    assert rows(dataset)[-1] == ("none", None, "a.txt, line 28")
    assert dataset.layout.endswith("19 texts, 2 labels")
    (tmp_path / "b.txt").write_text("__label__a one\n__label__b two\n")
    assert rows(read(tmp_path / "b.txt", ReadOptions())) == [
        ("one", "a", "b.txt, line 1"),
        ("two", "b", "b.txt, line 2"),
    ]


def test_coarse_classes_and_by_target_the_fine_ones(tmp_path):
    (tmp_path / "q.label").write_text("DESC:def What is it ?\nNUM:dist How far ?\n")
    assert rows(read(tmp_path / "q.label", ReadOptions()))[0] == ("What is it ?", "DESC", "q.label, line 1")
    assert rows(read(tmp_path / "q.label", ReadOptions(target="fine")))[1][1] == "NUM:dist"
    with pytest.raises(DataError, match="--target fin: labelled lines have no such column; did you mean fine"):
        read(tmp_path / "q.label", ReadOptions(target="fin"))


def test_class_numbers_are_named_by_the_file_beside(tmp_path):
    (tmp_path / "class.txt").write_text("sea\nland\n")
    (tmp_path / "train.txt").write_text("a ship\t0\na cow\t1\n" * 4)
    (tmp_path / "test.txt").write_text("a boat\t0\n")
    assert recognizes(tmp_path)
    dataset = read(tmp_path, ReadOptions())
    assert dataset.labels == ("sea", "land")
    assert [row[1] for row in rows(dataset, "train")[:2]] == ["sea", "land"] and rows(dataset, "test")[0][1] == "sea"
    assert any("labels are numbers from 0" in fault.message for fault in dataset.faults)
    (tmp_path / "train.txt").write_text("a ship\t1\na cow\t2\n" * 4)
    (tmp_path / "test.txt").write_text("a boat\t1\n")
    assert rows(read(tmp_path, ReadOptions()), "test")[0][1] == "sea"
    (tmp_path / "train.txt").write_text("a ship\t0\na cow\t2\n" * 4)
    with pytest.raises(DataError, match="label '2' is beyond the 2 class names, counted from 0"):
        read(tmp_path, ReadOptions())


def test_a_line_of_column_names_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("text\tlabel\nbad film\tneg\ngood film\tpos\n" + "so so\tneg\n" * 3)
    dataset = read(tmp_path / "a.txt", ReadOptions())
    assert rows(dataset)[0] == ("bad film", "neg", "a.txt, line 2") and dataset.faults[0].kind == "header"


def test_a_line_unlike_the_others_keeps_its_text_and_has_no_label(tmp_path):
    (tmp_path / "a.txt").write_text("0 bad\n1 good\n" * 50 + "neither\n")
    assert rows(read(tmp_path / "a.txt", ReadOptions()))[-1] == ("neither", None, "a.txt, line 101")


def test_the_key_is_the_text_without_its_label(tmp_path):
    (tmp_path / "a.txt").write_text("0 same\n1 same\n0 other\n1 other\n")
    keys = read(tmp_path / "a.txt", ReadOptions()).tables["all"].column("key").to_pylist()
    assert keys[0] == keys[1] != keys[2]


def test_trec_and_thucnews(shared_data):
    """shared/data: trec 5,452 + 500 questions of 6 and 50 classes; thucnews_titles 10,000 + 10,000 of 10."""
    trec = read(shared_data("trec"), ReadOptions())
    assert [table.num_rows for table in trec.tables.values()] == [5_452, 500] and "6 classes" in trec.layout
    assert "50 classes" in read(shared_data("trec"), ReadOptions(target="fine")).layout
    assert any("latin-1" in fault.message and "0xf0" in fault.message for fault in trec.faults)
    news = read(shared_data("thucnews_titles"), ReadOptions())
    assert {split: table.num_rows for split, table in news.tables.items()} == {"train": 10_000, "test": 10_000}
    assert len(news.labels) == 10 and news.labels[0] == "finance"
    assert news.tables["train"].column("label").to_pylist().count("game") == 1_000
