"""Blocks that stay in their files are those of `text_lines`."""

from __future__ import annotations

import random

import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.read import ReadOptions, read
from deepen.data.readers import text_stream
from deepen.data.text_blocks import block_text

STREAM = Schema(("text_stream",), ("path",), "", needs_target=False)
LINES = Schema(("text_lines",), ("text",), "", needs_target=False)


def corpus(seed: int, lines: int) -> str:
    draw = random.Random(seed)
    words = ["a", "été", "longer", "words", ""]
    return "\n".join(" ".join(draw.choices(words, k=draw.randint(0, 23))) for _ in range(lines)) + "\n"


def texts(table) -> list[str]:
    columns = [table.column(name).to_pylist() for name in ("path", "offset", "length", "encoding")]
    return [block_text(*row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("piece", [1_009, 1 << 22])
def test_the_same_blocks_keys_and_places_as_read_whole(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(text_stream, "PIECE_BYTES", piece)
    for name, seed in (("train", 3), ("test", 5)):
        (tmp_path / f"{name}.txt").write_text(corpus(seed, 701))
    whole, streamed = read(tmp_path, LINES), read(tmp_path, STREAM)
    for split, table in whole.tables.items():
        other = streamed.tables[split]
        assert other.column_names == ["path", "offset", "length", "encoding", "place", "source", "key"]
        assert table.num_rows > 3 and texts(other) == table.column("text").to_pylist()
        for name in ("place", "source", "key"):
            assert other.column(name).to_pylist() == table.column(name).to_pylist()
    assert whole.fingerprint() == streamed.fingerprint()


def test_a_file_that_is_not_utf_8_is_found_out_and_said(tmp_path):
    text = corpus(7, 701)
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    dataset = read(tmp_path / "a.txt", STREAM)
    assert "".join(texts(dataset.tables["all"])) == text
    assert [f.kind for f in dataset.faults] == ["encoding-found"] and "latin-1" in dataset.faults[0].message
    assert [f.sentence() for f in dataset.faults] == [f.sentence() for f in read(tmp_path / "a.txt", LINES).faults]


def test_damage_late_in_a_file_is_refused_with_its_line_and_byte(tmp_path):
    before = ("word " * 30 + "\n").encode() * 1_009
    (tmp_path / "a.txt").write_bytes(before + b"caf\xc3\n" + before)
    for schema in (STREAM, LINES):
        with pytest.raises(DataError, match=rf"a.txt, line 1,010: byte {len(before) + 4:,} \(0xc3\) is not utf-8"):
            read(tmp_path / "a.txt", schema)


def test_marks_are_passed_over_and_said(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\n\ufefftwo\n".encode())
    dataset = read(tmp_path / "a.txt", STREAM)
    assert texts(dataset.tables["all"]) == ["one\ntwo\n"] and [f.kind for f in dataset.faults] == ["mark-within"]


def test_blank_lines_alone_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("\n \n")
    for schema in (STREAM, LINES):
        with pytest.raises(DataError, match=r"a\.txt: holds no text"):
            read(tmp_path / "a.txt", schema)


def test_what_cannot_be_read_from_the_middle_is_refused(tmp_path):
    import gzip

    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(DataError, match=r"a.txt.gz: is packed"):
        read(tmp_path / "a.txt.gz", STREAM)
    (tmp_path / "b.txt").write_text("one\n", "utf-16")
    with pytest.raises(DataError, match=r"b.txt: is utf-16, whose lines cannot be found"):
        read(tmp_path / "b.txt", STREAM)
    with pytest.raises(DataError, match="no such encoding"):
        (tmp_path / "c.txt").write_text("one\n")
        read(tmp_path / "c.txt", STREAM, ReadOptions(encoding="latin-99"))
