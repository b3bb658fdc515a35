import re

import numpy as np
import pytest

from deepen.core.errors import DataError
from deepen.ops.ngram_counts import count_ngrams, marked
from deepen.ops.ngram_scoring import Scorer, next_log10
from deepen.ops.ngram_smoothing import additive, kneser_ney
from deepen.prepare.arpa import arpa_word, backoff_model, write_arpa
from deepen.prepare.arpa_file import read_arpa
from tests.prepare.test_arpa_file import SMALL, written

NAMES = ["<unk>", "<eos>", "the", "cat", "sat", "été", "…"]
END = 1


def text_of(seed, length=503):
    draw = np.random.default_rng(seed)
    return draw.choice(len(NAMES), size=length, p=draw.dirichlet(np.ones(len(NAMES))))


def counts_of(seed, order):
    return count_ngrams(marked([text_of(seed)], len(NAMES), end=END), len(NAMES), order)


def with_tabs(text):
    """As KenLM wants it: tabs between probability, words and backoff."""
    return re.sub(r"^(-[\d.]+) ", r"\1\t", re.sub(r" (-[\d.]+)$", r"\t\1", text, flags=re.M), flags=re.M)


def same(a, b):
    held = zip(
        (*a.probabilities, *a.backoffs, *a.trie.words, *a.trie.starts),
        (*b.probabilities, *b.backoffs, *b.trie.words, *b.trie.starts),
        strict=True,
    )
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in held)


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_file_gives_back_the_same_bits(tmp_path, name, order):
    model, _ = kneser_ney(counts_of(order, order))
    write_arpa(tmp_path / name, model, NAMES, end="<eos>")
    again, notes = backoff_model(read_arpa(tmp_path / name), NAMES, end="<eos>")
    assert same(model, again) and again.is_closed and notes == []
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")


@pytest.mark.parametrize("kind", ["kneser-ney", "pruned", "additive", "written by hand"])
def test_kenlm_scores_our_files_as_we_do(tmp_path, kind):
    kenlm = pytest.importorskip("kenlm")
    names, end, path = NAMES, END, tmp_path / "model.arpa"
    if kind == "written by hand":
        path.write_text(with_tabs(SMALL[SMALL.index("\\data") :]))
        names, end = ["<unk>", "<eos>", "a", "b"], 1
        model, _ = backoff_model(read_arpa(path), names, end="<eos>")
    else:
        counts = counts_of(0, 3)
        model = (
            additive(counts, 0.2) if kind == "additive" else kneser_ney(counts, prune=(0, 1) * (kind == "pruned"))[0]
        )
        write_arpa(path, model, names, end="<eos>")
    theirs = kenlm.Model(str(path))
    draw = np.random.default_rng(1)
    for length in range(23):
        words = [int(word) for word in draw.choice([k for k in range(len(names)) if k != end], size=length)]
        ours = Scorer(model).log10(marked([np.array([*words, end])], len(names))).sum()
        assert ours == pytest.approx(theirs.score(" ".join(names[word] for word in words)), abs=1e-4)


def test_tokens_are_spelled_as_arpa_files_do():
    assert [arpa_word(token, end="<eos>", unknown="[UNK]") for token in ("<eos>", "[UNK]", "\n", "x")] == [
        "</s>",
        "<unk>",
        "<newline>",
        "x",
    ]


def test_missing_backoffs_are_0_and_the_words_are_mapped(tmp_path):
    model, notes = backoff_model(read_arpa(written(tmp_path, SMALL)), ["a", "b", "<eos>", "<unk>"], end="<eos>")
    assert notes == []
    assert next_log10(model, [4]) == pytest.approx([-0.25, -0.25 - 0.9, -0.25 - 0.5, -0.25 - 1.0])
    assert next_log10(model, [0]) == pytest.approx([-0.125 - 0.7, -0.5, -0.125 - 0.5, -0.125 - 1.0])
    assert next_log10(model, [1]) == pytest.approx([-0.7, -0.9, -0.375, -1.0])
    assert next_log10(model, [3]) == pytest.approx([-0.7, -0.9, -0.5, -1.0])


def test_another_vocabulary_is_said(tmp_path):
    path = written(tmp_path, SMALL)
    model, notes = backoff_model(read_arpa(path), ["<eos>", "b", "new", "<unk>"], end="<eos>")
    assert [re.sub(r".*arpa: ", "", note) for note in notes] == [
        "lacks 1 of 4 tokens; they get the probability of its <unk>.",
        "1 of its words are not in the vocabulary; their n-grams are left out.",
    ]
    assert model.trie.sizes == [5, 1]  # only b </s> is left
    assert next_log10(model, [1]) == pytest.approx([-0.375, -0.9, -1.0, -1.0])
    whole, _ = backoff_model(read_arpa(path))
    assert whole.num_words == 4
    without = written(tmp_path, SMALL.replace("-1.0\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    model, notes = backoff_model(read_arpa(without), ["<eos>", "b", "new", "a"], end="<eos>")
    assert "lacks 1 of 4 tokens; they get log10 p = -99, since it has no <unk>" in notes[0]
    assert next_log10(model, [])[2] == pytest.approx(-99)


def test_n_grams_whose_first_words_are_not_listed_are_completed(tmp_path):
    text = SMALL.replace("ngram 2=3", "ngram 2=3\nngram 3=1").replace(
        "\\end\\", "\\3-grams:\n-0.0625 <unk> a b\n\n\\end\\"
    )
    names = ["a", "b", "</s>", "<unk>"]
    model, notes = backoff_model(read_arpa(written(tmp_path, text)), names)
    assert "1 n-grams whose beginnings it does not list" in notes[0]
    assert next_log10(model, [3, 0])[1] == pytest.approx(-0.0625)
    assert next_log10(model, [3])[0] == pytest.approx(-0.7)  # as before it was added
    assert next_log10(model, [0])[1] == pytest.approx(-0.5)


def test_an_n_gram_without_its_last_words_is_still_found(tmp_path):
    text = SMALL.replace("ngram 2=3", "ngram 2=3\nngram 3=1").replace(
        "\\end\\", "\\3-grams:\n-0.0625 <s> a <unk>\n\n\\end\\"
    )
    model, _ = backoff_model(read_arpa(written(tmp_path, text)), ["a", "b", "</s>", "<unk>"])
    assert not model.is_closed
    ids = np.array([4, 0, 3])
    assert Scorer(model, compiled=False).log10(ids)[2] == pytest.approx(-0.0625)
    assert next_log10(model, ids[:2])[3] == pytest.approx(-0.0625)


def test_windows_line_ends_and_blank_lines_are_read(tmp_path):
    plain = backoff_model(read_arpa(written(tmp_path, SMALL)))[0]
    other = SMALL.replace("\n", "\r\n").replace("\r\n-0.9", "\r\n\r\n  -0.9")
    (tmp_path / "model.arpa").write_bytes(other.encode())
    assert same(plain, backoff_model(read_arpa(tmp_path / "model.arpa"))[0])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["<unk>", "<UNK>"], "'<unk>' and '<UNK>' are both read as <unk>"),
        (["a b", "c"], "'a b', which has white space"),
        (["", "c"], "token ''"),
        (["</s>", "<eos>"], "read as </s>"),
    ],
)
def test_tokens_that_a_file_cannot_hold_are_refused(tmp_path, names, said):
    model, _ = kneser_ney(count_ngrams(marked([np.array([0, 1, 0, 0])], 2), 2, 2))
    with pytest.raises(DataError, match=re.escape(said)):
        write_arpa(tmp_path / "model.arpa", model, names, end="<eos>")
    assert not (tmp_path / "model.arpa").exists()


def test_characters_that_are_white_space_are_named(tmp_path):
    names = [" ", "\n", "x"]
    model, _ = kneser_ney(count_ngrams(marked([np.array([0, 1, 2, 0, 2, 1])], 3), 3, 2))
    write_arpa(tmp_path / "model.arpa", model, names, end="")
    assert "<space> <newline>" in (tmp_path / "model.arpa").read_text()
    assert same(model, backoff_model(read_arpa(tmp_path / "model.arpa"), names, end="")[0])
