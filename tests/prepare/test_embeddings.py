"""What an embedding begins with, from a file and from a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.bundle import tensors
from deepen.bundle.header import PREPARE_FILE, WEIGHTS_FILE, complete, write_header
from deepen.core.errors import DataError, OptionError, RunError
from deepen.core.files import sha256_file, write_bytes, write_json
from deepen.prepare.embeddings import starting_embedding, starting_tables
from deepen.prepare.text import TextOptions, learn
from deepen.prepare.vector_files import write_vectors

VOCABULARY = ["<pad>", "<unk>", "the", "Cat", "DOG", "zebra", "yak"]


def fresh():
    table = torch.randn(len(VOCABULARY), 3, generator=torch.Generator().manual_seed(0))
    table[0] = 0.0
    return table


def vectors(tmp_path):
    path = tmp_path / "v.txt"
    rows = np.array([[3, 4, 0], [1, 2, 2], [0, 9, 12], [7, 7, 7]], np.float32)
    write_vectors(path, ["the", "Cat", "dog", "cat"], rows, "glove")
    return path


def test_found_as_written_then_in_lower_case_and_the_rest_as_loud(tmp_path):
    drawn = fresh()
    table, note = starting_embedding(vectors(tmp_path), VOCABULARY, drawn)
    assert table[2:5].tolist() == [[3, 4, 0], [1, 2, 2], [0, 9, 12]]
    assert table[0].tolist() == [0, 0, 0]
    others = [1, 5, 6]
    # root mean squares by hand: (25 + 9 + 225) / 9 numbers of the vectors found
    scale = np.sqrt(259 / 9) / drawn[others].square().mean().sqrt()
    torch.testing.assert_close(table[others], drawn[others] * scale)
    assert note.endswith("vectors for 3 of 7 words (42.9%), 1 of them in lower case; the others begin at random.")
    assert (fresh() == drawn).all(), "the draw itself is left alone"


def test_every_table_of_a_network_begins_with_the_vectors(tmp_path):
    network = {"embedding.weight": fresh(), "fixed_embedding.weight": fresh() + 1, "linear.weight": torch.ones(2, 3)}
    table, note = starting_embedding(vectors(tmp_path), VOCABULARY, fresh())
    found, notes = starting_tables(vectors(tmp_path), VOCABULARY, network)
    assert list(found) == ["embedding.weight", "fixed_embedding.weight"] and notes == [note]
    assert all(torch.equal(each, table) for each in found.values())
    del network["fixed_embedding.weight"]
    assert list(starting_tables(str(vectors(tmp_path)), VOCABULARY, network)[0]) == ["embedding.weight"]
    assert starting_tables(None, VOCABULARY, network) == ({}, [])


def test_all_found_and_another_kind_of_number(tmp_path):
    table, note = starting_embedding(vectors(tmp_path), ["cat", "the"], torch.zeros(2, 3, dtype=torch.float64))
    assert table.tolist() == [[7, 7, 7], [3, 4, 0]] and table.dtype == torch.float64
    assert note.endswith("vectors for 2 of 2 words (100.0%).")


def test_a_width_that_does_not_fit_names_both(tmp_path):
    with pytest.raises(OptionError, match="vectors have 3 numbers, but the network's embedding has 5"):
        starting_embedding(vectors(tmp_path), VOCABULARY, torch.zeros(len(VOCABULARY), 5))


def test_vectors_of_no_word_are_refused(tmp_path):
    with pytest.raises(OptionError, match="a vector for none of the 2 words, such as 'gnu'"):
        starting_embedding(vectors(tmp_path), ["<pad>", "gnu"], torch.zeros(2, 3))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "v").write_bytes(b"a 1 2\nb 3\n")
    with pytest.raises(DataError, match="line 2"):
        starting_embedding(tmp_path / "v", ["a"], torch.zeros(1, 2))


def run_folder(tmp_path, num_rows=None, name="vectors"):
    state = learn(["the cat sat", "the cat"], TextOptions(), [])
    rows = num_rows or len(state["vocabulary"])
    write_json(tmp_path / PREPARE_FILE, {"text": state})
    write_bytes(tmp_path / WEIGHTS_FILE, tensors.sealed({name: torch.arange(3.0 * rows).reshape(rows, 3)}))
    digests = {name: sha256_file(tmp_path / name) for name in (PREPARE_FILE, WEIGHTS_FILE)}
    write_header(tmp_path, complete({"task": "tabular-classification", "status": "done", "files": digests}))
    return tmp_path


def test_vectors_of_a_run(tmp_path):
    # ids: <pad> 0, <unk> 1, cat 2, the 3 (twice each, by code point), sat 4
    table, note = starting_embedding(run_folder(tmp_path), ["sat", "THE", "gnu"], torch.ones(3, 3))
    assert table[:2].tolist() == [[12, 13, 14], [9, 10, 11]]
    assert "2 of 3 words" in note


def test_a_run_of_another_kind_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run that learned word vectors"):
        starting_embedding(run_folder(tmp_path, name="embedding.weight"), ["sat"], torch.ones(1, 3))


def test_a_run_whose_vectors_and_words_do_not_fit_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds 3 vectors for 5 words"):
        starting_embedding(run_folder(tmp_path, num_rows=3), ["sat"], torch.ones(1, 3))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="expected a run folder"):
        starting_embedding(tmp_path, ["sat"], torch.ones(1, 3))
