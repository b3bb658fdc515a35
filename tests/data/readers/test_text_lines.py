"""Plain text as blocks, and as lines."""

from __future__ import annotations

import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.read import ReadOptions, read

CORPUS = Schema(("text_lines",), ("text",), "", needs_target=False)
LABELLED = Schema(("text_lines",), ("text",), "label")


def put(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_blocks_make_up_the_text_and_name_their_line(tmp_path):
    text = "".join(f"line {number} of a text\n" for number in range(1, 1_009)) + "the end"
    (tmp_path / "a.txt").write_text(text)
    table = read(tmp_path / "a.txt", CORPUS).tables["all"]
    table.validate(full=True)
    assert table.column_names == ["text", "place", "source", "key"] and table.num_rows > 4
    assert "".join(table.column("text").to_pylist()) == text
    assert table.column("place").to_pylist() == list(range(table.num_rows))
    for block, source in zip(table.column("text").to_pylist(), table.column("source").to_pylist(), strict=True):
        number = int(source.removeprefix("a.txt, line "))
        assert block.startswith(f"line {number} of" if number < 1_009 else "the end")


def test_a_folder_of_splits_and_what_is_left_out(tmp_path):
    folder = put(tmp_path / "d", README="not data\n", valid="b\n", train="a\n", test="c\n")
    (folder / "table.csv").write_text("x,y\n1,2\n")
    dataset = read(folder, CORPUS)
    assert {split: table.column("text").to_pylist() for split, table in dataset.tables.items()} == {
        "train": ["a\n"],
        "val": ["b\n"],
        "test": ["c\n"],
    }
    assert "3 lines" in dataset.layout
    assert [(f.level, f.message) for f in dataset.faults] == [("note", "not read as data: README.txt, table.csv.")]


def test_files_without_splits_are_one_corpus_in_the_order_of_their_names(tmp_path):
    folder = put(tmp_path / "d", two="b\n", one="a\n")
    (folder / "deep").mkdir()
    put(folder / "deep", three="c\n")
    table = read(folder, CORPUS).tables["all"]
    assert table.column("text").to_pylist() == ["c\n", "a\n", "b\n"]
    assert table.column("source").to_pylist() == ["deep/three.txt, line 1", "one.txt, line 1", "two.txt, line 1"]


def test_to_be_answered_each_line_is_a_row(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n  \ntwo\r\n")
    for schema in (CORPUS, LABELLED):
        dataset = read(tmp_path / "a.txt", schema, ReadOptions(targets_needed=False))
        assert dataset.tables["all"].column("text").to_pylist() == ["one", "two"]
        assert dataset.tables["all"].column("source").to_pylist() == ["a.txt, line 1", "a.txt, line 4"]
        assert [(f.level, f.message) for f in dataset.faults] == [("note", "2 blank lines passed over.")]


def test_text_without_labels_or_without_anything_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"a.txt: holds plain text without labels"):
        read(tmp_path / "a.txt", LABELLED)
    (tmp_path / "b.txt").write_text("\n \n")
    (tmp_path / "c.txt").write_text("")
    for name in ("b.txt", "c.txt"):
        with pytest.raises(DataError, match=rf"{name}: holds no text; give a file with some"):
            read(tmp_path / name, CORPUS)
    (tmp_path / "picture").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(DataError, match=r"picture: is not a file this task reads"):
        read(tmp_path / "picture", CORPUS)


def test_the_published_counts_of_wikitext_2(shared_data):
    """shared/data/wikitext2/README.md: 36,718, 3,760 and 4,358 lines, 2,088,628, 217,646 and 245,569 tokens."""
    tables = read(shared_data("wikitext2"), CORPUS).tables
    texts = {split: "".join(table.column("text").to_pylist()) for split, table in tables.items()}
    assert [text.count("\n") for text in texts.values()] == [36_718, 3_760, 4_358]
    assert [len(text.split()) + text.count("\n") for text in texts.values()] == [2_088_628, 217_646, 245_569]
