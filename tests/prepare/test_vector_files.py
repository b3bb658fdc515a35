"""Files of word vectors: written and read again in every format, agreement with gensim, and what is refused."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest

from deepen.core.errors import DataError, FileError, OptionError
from deepen.prepare.vector_files import FORMATS, read_vectors, write_vectors

WORDS = ["the", "Käse", "字", "a\u00a0b", "\u2028", "0.5", "</s>", '"', "e1", "nan", "x"]
VECTORS = np.random.default_rng(7).normal(size=(len(WORDS), 5)).astype(np.float32)
VECTORS[0] = [0, -0.0, 1e-38, 3.4e38, 1 / 3]


@pytest.mark.parametrize("name", ["v.txt", "v.gz"])
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_bit_for_bit(tmp_path, format, name):
    path = tmp_path / name
    write_vectors(path, WORDS, VECTORS, format)
    words, vectors, notes = read_vectors(path)
    assert words == WORDS and vectors.dtype == np.float32
    assert vectors.tobytes() == VECTORS.tobytes()
    assert len(notes) == 1 and "11 vectors of 5 numbers" in notes[0]
    before = path.read_bytes()
    write_vectors(path, WORDS, VECTORS, format)
    assert path.read_bytes() == before, "equal vectors give equal files"


@pytest.mark.parametrize("format", FORMATS)
def test_only_what_is_wanted_is_kept(tmp_path, format):
    write_vectors(tmp_path / "v", WORDS, VECTORS, format)
    words, vectors, notes = read_vectors(tmp_path / "v", {"x", "字", "absent"})
    assert words == ["字", "x"] and (vectors == VECTORS[[2, 10]]).all()
    assert "2 of 11 vectors" in notes[0]
    words, vectors, _ = read_vectors(tmp_path / "v", set())
    assert words == [] and vectors.shape == (0, 5)


@pytest.mark.parametrize("is_binary", [False, True])
def test_gensim_reads_what_we_write_and_we_what_it_writes(tmp_path, is_binary):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    words = [word for word in WORDS if not word.isspace()]  # its text reader strips the line
    vectors = VECTORS[[WORDS.index(word) for word in words]]
    write_vectors(ours, words, vectors, "word2vec-binary" if is_binary else "word2vec-text")
    found = keyed.load_word2vec_format(str(ours), binary=is_binary)
    assert found.index_to_key == words and (found.vectors == vectors).all()
    found.save_word2vec_format(str(theirs), binary=is_binary)
    again = read_vectors(theirs)
    assert again[0] == words and (again[1] == vectors).all()


def test_the_binary_format_by_hand_with_and_without_line_feeds(tmp_path):
    for end in (b"", b"\n"):
        rows = b"".join(
            word + b" " + struct.pack("<2f", *row) + end for word, row in ((b"a", (1, 2)), (b"b", (10, 0.5)))
        )
        (tmp_path / "v").write_bytes(b"2 2\n" + rows)
        words, vectors, _ = read_vectors(tmp_path / "v")
        assert words == ["a", "b"] and vectors.tolist() == [[1, 2], [10, 0.5]]


def read(tmp_path, content, wanted=None):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    return read_vectors(path, wanted)


def test_text_as_others_write_it(tmp_path):
    words, vectors, notes = read(
        tmp_path, b"3 2\r\na +1 2e0 \r\nb .5 -3. \r\na 7 8\r\n"
    )  # fastText ends rows with a blank
    assert words == ["a", "b"] and vectors.tolist() == [[1, 2], [0.5, -3]]
    assert notes[1].endswith("1 word given twice or more; the first counts.")
    words, vectors, notes = read(
        tmp_path, b". . . 1 2\nat name@domain.com 3 4\n".replace(b". . . 1 2\n", b"the 5 6\n. . . 1 2\n")
    )
    assert words == ["the", ". . .", "at name@domain.com"] and vectors.tolist() == [[5, 6], [1, 2], [3, 4]]
    assert "2 words with blanks inside" in notes[1]
    words, _, notes = read(tmp_path, b"caf\xe9 1 2\nb 3 4\n")
    assert words == ["caf\ufffd", "b"] and "not UTF-8" in notes[1]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\n", "line 1 holds"),
        (b"word\n", r"line 1 holds 'word"),
        (b"0 0\n", "line 1 holds '0 0"),
        (b"a 1 2\nb 3\n", r"line 2 \(word 'b'\): 1 number, expected 2"),
        (b"a 1 2\nb 3 4 5\n", r"line 2 \(word 'b'\): 3 numbers, expected 2"),
        (b"a 1 2\nb\n", r"line 2 \(word 'b'\): 0 numbers"),
        (b"a 1 2\nb 3 four\n", r"line 2 \(word 'b'\): 'four' is not a number"),
        (b"a 1 2\nb 3 1_0\n", r"'1_0' is not a number"),
        (b"a 1 2\nb  4\n", r"line 2 \(word 'b'\): '' is not a number"),
        (b"a 1 2\nb nan 4\n", r"line 2 \(word 'b'\): holds NaN"),
        (b"a 1 2\nb 3 -inf\n", r"line 2 \(word 'b'\): holds NaN, an infinity"),
        (b"a 1 2\nb 3 1e39\n", r"line 2 \(word 'b'\): holds NaN, an infinity or a number too large"),
        (b"3 2\na 1 2\nb 3 4\n", "promises 3 vectors, but 2 follow"),
        (b"1 2\na 1 2\nb 3 4\n", "promises 1 vector, but 2 follow"),
        (b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb \x00\x00", r"cut in vector 2 \(word 'b'\) of the 2"),
        (b"2 2\na " + struct.pack("<2f", 1, 2) + b"\n", "cut before vector 2 of the 2"),
        (b"1 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<2f", 1, 2), "goes on behind the 1 vectors"),
        (b"1 2\na " + struct.pack("<2f", 1, float("nan")), r"word 'a'\): holds NaN"),
        (b"999999999 60000\na " + struct.pack("<2f", 1, 2), r"cut in vector 1 \(word 'a'\)"),
        (struct.pack("<ii", 793712314, 12), r"whole fastText model \(.bin\), which is not read here; give the .vec"),
        (pickle.dumps({"a": [1.0]}, protocol=4), "is a pickle, which can run code"),
        (b"\x93NUMPY\x01\x00", "array of numpy"),
        (b"PK\x03\x04junk", "zip archive; unpack it"),
        (gzip.compress(b"a 1 2\nb 3 4\n" * 99, mtime=0)[:-9], "is not a whole gzip file"),
    ],
)
def test_what_is_refused_is_named(tmp_path, content, match):
    with pytest.raises(DataError, match=match) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(str(tmp_path / "vectors"))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("deepen.prepare.vector_files.LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="line 2 is longer than 1,000 bytes"):
        read(tmp_path, b"a 1 2\n" + b"b" * 5000)


def test_rows_that_are_not_wanted_may_hold_anything_but_another_width(tmp_path):
    assert read(tmp_path, b"a 1 2\nb nan x\n", {"a"})[1].tolist() == [[1, 2]]
    with pytest.raises(DataError, match="line 2"):
        read(tmp_path, b"a 1 2\nb 3\n", {"a"})


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(FileError, match="absent"):
        read_vectors(tmp_path / "absent")
    with pytest.raises(FileError):
        read_vectors(tmp_path)


@pytest.mark.parametrize(
    ("words", "vectors", "format", "error", "match"),
    [
        (["a b"], [[1, 2]], "glove", DataError, "'a b' cannot be written"),
        (["a\n"], [[1, 2]], "word2vec-binary", DataError, "cannot be written"),
        ([""], [[1, 2]], "glove", DataError, "'' cannot be written"),
        (["a"], [[1, np.inf]], "glove", DataError, "vector of 'a' is not finite"),
        (["a"], [[1, 2]], "bin", OptionError, "one of word2vec-text, word2vec-binary, glove, fasttext"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, words, vectors, format, error, match):
    with pytest.raises(error, match=match):
        write_vectors(tmp_path / "v", words, np.array(vectors), format)
    assert list(tmp_path.iterdir()) == []
