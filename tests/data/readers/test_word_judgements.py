"""Word pairs with scores and analogies under sections, as the published files have them."""

from __future__ import annotations

import pytest

from deepen.core.errors import DataError
from deepen.data.dataset import Schema
from deepen.data.read import ReadOptions, read
from deepen.data.readers import word_judgements

SCHEMA = Schema(("word_judgements", "text_stream"), (), "", needs_target=False)


def put(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name


@pytest.mark.parametrize("between", ["\t", ",", ";", " ", "   "])
def test_pairs_with_a_comment_and_names_of_columns(tmp_path, between):
    lines = ["# by people", between.join(["word1", "word2", "score"])]
    lines += [between.join(each) for each in (("tiger", "cat", "7.35"), ("Maradona", "football", "8.62"))]
    data = read(put(tmp_path, "pairs.csv", "\n".join(lines) + "\n"), SCHEMA)
    table = data.tables["all"]
    assert table.column("first").to_pylist() == ["tiger", "Maradona"]
    assert table.column("second").to_pylist() == ["cat", "football"]
    assert table.column("score").to_pylist() == [7.35, 8.62]
    assert table.column("third").null_count == 2 and set(table.column("section").to_pylist()) == {"pairs"}
    assert table.column("source").to_pylist() == ["pairs.csv, line 3", "pairs.csv, line 4"]
    assert "2 pairs and 0 analogies" in data.layout


def test_analogies_by_section(tmp_path):
    text = ": capitals\nAthens Greece Oslo Norway\n\n: family words\nboy girl king queen\nhe she his her\n"
    table = read(put(tmp_path, "questions.txt", text), SCHEMA).tables["all"]
    assert table.column("fourth").to_pylist() == ["Norway", "queen", "her"]
    assert table.column("section").to_pylist() == ["capitals", "family words", "family words"]
    assert table.column("score").null_count == 3
    assert table.column("source").to_pylist()[-1] == "questions.txt, line 6"


def test_a_folder_of_lists(tmp_path):
    put(tmp_path / "lists", "a.tsv", "sun\tmoon\t5\nsea\tshore\t6.5\n")
    put(tmp_path / "lists", "b.txt", ": s\na b c d\n")
    table = read(tmp_path / "lists", SCHEMA).tables["all"]
    assert sorted(table.column("section").to_pylist()) == ["a", "a", "s"]


@pytest.mark.parametrize("line", ["sun moon", "sun moon very", "a b c d e"])
def test_a_line_that_is_no_judgement_is_named(tmp_path, line):
    path = put(tmp_path, "pairs.txt", f"sun moon 5\nsea shore 6\n{line}\n")
    with pytest.raises(DataError, match=f"pairs.txt, line 3: .*{line!r}"):
        word_judgements.read(path, ReadOptions())


@pytest.mark.parametrize("text", ["one two three\nfour five six\n", "it was 5\n", "a long line of words and 7\n" * 3])
def test_running_text_is_not_taken_for_judgements(tmp_path, text):
    assert not word_judgements.recognizes(put(tmp_path, "corpus.txt", text))


def test_the_published_lists(shared_data):
    folder = shared_data("word_similarity")
    pairs = read(folder / "wordsim353.tsv", SCHEMA).tables["all"]
    assert pairs.num_rows == 353 and max(pairs.column("score").to_pylist()) == 10
    assert read(folder / "simlex999.txt", SCHEMA).tables["all"].num_rows == 999
    analogies = read(folder / "questions-words.txt", SCHEMA).tables["all"]
    assert analogies.num_rows == 19_544 and len(set(analogies.column("section").to_pylist())) == 14
