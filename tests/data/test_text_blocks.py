"""Blocks of a corpus: whole lines, the whole text, and the same however the text comes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.data import text_blocks
from deepen.data.text_blocks import LARGEST_BLOCK, block_text, blocks_of_stream, cut, strings


def corpus(seed: int, lines: int, longest: int) -> bytes:
    draw = random.Random(seed)
    words = ["a", "größe", "中文", "word", "", "longer-word"]
    return "\n".join(" ".join(draw.choices(words, k=draw.randint(0, longest))) for _ in range(lines)).encode()


@given(seed=st.integers(0, 10_000), size=st.sampled_from([53, 211, 4_096]), piece=st.sampled_from([1, 7, 997, 100_003]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_stream_gives_the_blocks_of_the_whole(seed: int, size: int, piece: int) -> None:
    data = corpus(seed, 97, 31)
    found = cut(data, size)
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    streamed = list(blocks_of_stream(pieces, size, len(data)))
    assert b"".join(streamed) == data
    assert [text_blocks.key_of(block) for block in streamed] == found.keys
    assert all(block.endswith(b"\n") for block in streamed[:-1]) and found.inside == 0
    lines = data.split(b"\n")
    for line, block in zip(found.lines, streamed, strict=True):
        assert lines[line - 1] == block.split(b"\n")[0]
    assert found.total == len(lines) - (data[-1:] == b"\n")


def test_blocks_are_of_about_one_length() -> None:
    data = b"a line of a few words\n" * 9_973
    lengths = [stop - start for start, stop in pairwise(cut(data, 4_096).offsets)]
    assert max(lengths) <= 4_096 and min(lengths) > 3_900


@pytest.mark.parametrize("text", ["word " * 60_013, "中" * 100_003], ids=["blanks", "no blank"])
def test_a_line_that_is_too_long_is_cut_at_a_blank_or_a_character(text: str) -> None:
    data = text.encode()
    found = cut(data, 4_096)
    arrays = strings(data, found.offsets)
    arrays.validate(full=True)  # every block is UTF-8 by itself
    blocks = arrays.to_pylist()
    assert "".join(blocks) == text and found.inside == len(blocks) - 1 and found.total == 1
    assert max(len(block.encode()) for block in blocks) <= LARGEST_BLOCK
    assert "word" not in text or all(block.endswith(" ") for block in blocks)


def test_strings_share_the_bytes_and_are_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus(3, 301, 17)
    offsets = cut(data, 1_009).offsets
    one = strings(data, offsets)
    monkeypatch.setattr(text_blocks, "_MOST_IN_ARRAY", 5_003)
    several = strings(data, offsets)
    several.validate(full=True)
    assert several.num_chunks > 3 and several.to_pylist() == one.to_pylist()
    assert one.to_pylist() == [data[a:b].decode() for a, b in pairwise(offsets)]


def test_a_block_is_read_from_its_file_as_it_would_have_been_read_whole(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("eins\r\n\ufeffzwei\r\ndrei".encode())
    assert block_text(path, 0, path.stat().st_size, "utf-8") == "eins\nzwei\ndrei"
    assert block_text(path, 6, 9, "utf-8") == "zwei\n"
