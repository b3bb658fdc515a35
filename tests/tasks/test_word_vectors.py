"""Word vectors from text to answers: what is learned, written, read by others, gone on with, and refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.core.errors import OptionError
from deepen.prepare.vector_files import read_vectors
from deepen.tasks.word_vectors import FILES
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import predict
from deepen.verbs.train import train

MODELS = ["skip-gram", "cbow", "skip-gram-subword", "cbow-subword", "glove"]
KINDS = ("fruit", "metal", "river", "music", "tool", "cloud")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    given = {"export": tuple(FILES), "threads": 1}
    return train("word-vectors", "tiny", given, out=tmp_path_factory.mktemp("words") / "run")


def vectors_of(run):
    model = loaded(run.folder)
    return model.task.tokenizer.vocabulary, model.model.vectors.detach()


def same_topic(words, vectors):
    """The share of topic words whose nearest word is of their own topic."""
    units = torch.nn.functional.normalize(vectors, dim=1)
    cosines = units @ units.T
    cosines.fill_diagonal_(-1)
    cosines[:, 0] = -1
    rows = [i for i, word in enumerate(words) if word[:-1] in KINDS]
    return np.mean([words[int(cosines[i].argmax())][:-1] == words[i][:-1] for i in rows])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("output", ["negative-sampling", "huffman"])
def test_every_model_puts_words_of_a_topic_together(tmp_path, model, output):
    if model == "glove" and output == "huffman":
        # it learns counts of pairs by least squares, so there is no output layer to choose
        pytest.skip("GloVe has no output layer")
    given = {"model": model, "threads": 1} | ({} if model == "glove" else {"network.output": output})
    if model == "glove":
        given |= {"network.window": 5, "epochs": 40}
    run = train("word-vectors", "tiny", given, out=tmp_path / "run")
    words, vectors = vectors_of(run)
    assert same_topic(words, vectors) > 0.8


def test_vectors_are_written_in_every_format_and_read_back(run):
    words, vectors = vectors_of(run)
    for name in FILES.values():
        found, array, _ = read_vectors(run.folder / name, None)
        assert found == words[1:]
        np.testing.assert_allclose(array, vectors[1:].numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["word2vec-text", "word2vec-binary", "fasttext"])
def test_gensim_reads_our_files(run, kind):
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    words, vectors = vectors_of(run)
    found = keyed.load_word2vec_format(str(run.folder / FILES[kind]), binary=kind.endswith("binary"))
    assert found.index_to_key == words[1:]
    np.testing.assert_allclose(found.vectors, vectors[1:].numpy(), rtol=1e-6)
    word, cosine = found.most_similar("fruit1", topn=1)[0]
    (answer,) = _answers(run, ["fruit1"])
    assert (answer.nearest, answer.cosine) == (word, pytest.approx(cosine, abs=1e-4))


def _answers(run, lines):
    file = run.folder.parent / "lines.txt"
    file.write_text("\n".join(lines) + "\n")
    return predict(run.folder, file)


@pytest.mark.parametrize("model", ["skip-gram", "glove"])
def test_a_run_begins_with_another_runs_vectors(run, tmp_path, model):
    given = {"model": model, "embeddings": str(run.folder), "steps": 1, "threads": 1, "optimizer.learning_rate": 1e-9}
    words, vectors = vectors_of(run)
    found = vectors_of(train("word-vectors", "tiny", given, out=tmp_path / "run"))
    assert found[0] == words
    torch.testing.assert_close(found[1][1:], vectors[1:], atol=1e-4, rtol=1e-4)


def test_text_classification_begins_with_a_runs_vectors(run, tmp_path):
    lines = [f"__label__{kind} {kind}{number} the {kind}{number % 3}" for kind in KINDS for number in range(8)]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    given = {
        "model": "fasttext", "embeddings": str(run.folder), "freeze": ("embedding",), "epochs": 1, "threads": 1,
        "network.width": 17,
    }  # fmt: skip
    classifier = loaded(train("text-classification", tmp_path / "texts.txt", given, out=tmp_path / "c").folder)
    words, vectors = vectors_of(run)
    vocabulary, table = classifier.task.tokenizer.vocabulary, classifier.model.embedding.weight
    shared = [word for word in vocabulary if word in words[1:]]
    assert len(shared) > 40
    for word in shared:
        torch.testing.assert_close(table[vocabulary.index(word)], vectors[words.index(word)])


def test_vectors_of_another_width_are_refused(run, tmp_path):
    given = {"embeddings": str(run.folder), "width": 19, "threads": 1}
    with pytest.raises(OptionError, match="have 17 numbers, but the network's embedding has 19"):
        train("word-vectors", "tiny", given, out=tmp_path / "run")
    with pytest.raises(OptionError, match="cbow-subword makes vectors of n-grams, which a file of words does not hold"):
        train("word-vectors", "tiny", {**given, "model": "cbow-subword"}, out=tmp_path / "other")


def test_judged_words_are_scored(run, tmp_path):
    pairs = [f"{a}{i}\t{b}{i + 1}\t{10 if a == b else 1}" for a in KINDS[:3] for b in KINDS[:3] for i in range(5)]
    (tmp_path / "pairs.tsv").write_text("\n".join([*pairs, "fruit1\tzebra\t3"]) + "\n")
    found = evaluate(run.folder, tmp_path / "pairs.tsv").metrics
    assert found["spearman"] > 0.7 and found["pairs_unknown"] == pytest.approx(1 / 46)
    (tmp_path / "analogies.txt").write_text(": topics\nfruit1 fruit2 metal1 metal2\nfruit1 zebra metal1 metal2\n")
    found = evaluate(run.folder, tmp_path / "analogies.txt").metrics
    assert found["analogies_unknown"] == 0.5 and found["accuracy"] in (0.0, 1.0)
    with pytest.raises(OptionError, match="holds judgements of words to evaluate on; train on running text"):
        train("word-vectors", tmp_path / "pairs.tsv", out=tmp_path / "none")


def test_the_report_maps_the_words_by_name(run):
    page = (run.folder / "report.html").read_text("utf-8")
    assert "t-SNE" in page and "principal components" in page and "Nearest words" in page
    assert all(any(f">{kind}{n}</text>" in page for n in range(8)) for kind in KINDS)


def fitted(text, given, seed=0, threads=1, folder=None):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return train("word-vectors", text, {"seed": seed, "threads": threads, **given}, out=folder)
    finally:
        torch.set_num_threads(before)


def corpus(tmp_path):
    """About 300 KB in 64 blocks."""
    draw = np.random.default_rng(0)
    lines = [" ".join(f"{KINDS[int(k)]}{int(n)}" for n in draw.integers(0, 8, 11)) for k in draw.integers(0, 6, 4000)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_read_block_by_block_and_comes_to_the_same_with_no_room_to_keep_any(tmp_path, monkeypatch):
    given = {"model": "skip-gram", "width": 17, "epochs": 2, "text.min_count": 1}
    path = corpus(tmp_path)
    kept = fitted(path, given, folder=tmp_path / "kept")
    monkeypatch.setattr("deepen.prepare.corpus_stream.SHARE_KEPT", 0.0)
    read = fitted(path, given, folder=tmp_path / "read")
    assert "in 66 blocks of whole lines" in kept.header["data"]["layout"]
    assert torch.equal(vectors_of(kept)[1], vectors_of(read)[1])


def test_one_thread_repeats_bit_for_bit_and_several_learn_as_much(tmp_path):
    given = {"model": "cbow", "width": 17, "epochs": 3, "text.min_count": 1, "optimizer.learning_rate": 0.1}
    path = corpus(tmp_path)
    first, again = (fitted(path, given, folder=tmp_path / name) for name in ("a", "b"))
    assert torch.equal(vectors_of(first)[1], vectors_of(again)[1])
    several = fitted(path, given, threads=2, folder=tmp_path / "c")
    assert same_topic(*vectors_of(several)) > 0.9 and same_topic(*vectors_of(first)) > 0.9


def test_without_numba_training_says_so_and_still_learns(tmp_path, monkeypatch):
    from deepen.ops import word2vec, word2vec_loops

    compiled = fitted("tiny", {"epochs": 1}, folder=tmp_path / "a")
    monkeypatch.setattr(word2vec, "is_compiled", lambda: False)
    monkeypatch.setattr(word2vec, "_kernels", lambda: word2vec_loops)
    said = []

    class Heard:
        def __getattr__(self, name):
            return lambda *given: said.extend(given if name == "message" else ())

    slow = train("word-vectors", "tiny", {"epochs": 1, "threads": 1}, out=tmp_path / "b", events=Heard())
    assert any("numba is not installed" in str(each) and "pip install deepen[fast]" in str(each) for each in said)
    torch.testing.assert_close(vectors_of(slow)[1], vectors_of(compiled)[1], atol=1e-3, rtol=1e-2)


def test_options_that_this_training_does_not_read_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"--optimizer\.momentum|optimizer\.momentum"):
        train("word-vectors", "tiny", {"optimizer.momentum": 0.5}, out=tmp_path / "run")
    with pytest.raises(OptionError, match="plateau"):
        train("word-vectors", "tiny", {"schedule.kind": "plateau"}, out=tmp_path / "run")
