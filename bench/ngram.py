"""N-gram models on WikiText-2: building, perplexity, and scoring against the `kenlm` module on the same ARPA file.

    python -m bench.ngram                 with kenlm where it is installed (pip install kenlm)
    python -m bench.ngram --order 3       another order
    python -m bench.ngram --classes 100   also the model over classes of words

Perplexities are of all tokens with <eos>, vocabulary of 33,278. Speed is a ratio of processor times within a round of
one process, in which all ways take turns on one thread each; of the rounds the median, least and most are said.
`lines` begins from lines of text as kenlm.Model.score does, `ids` from numbers, which a run has already.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.places import data_set
from deepen.models.ngram import Options, build, fit_counts, score_ids
from deepen.nn.shapes import TextShape
from deepen.ops.ngram_counts import count_ngrams
from deepen.ops.ngram_scoring import Scorer
from deepen.ops.ngram_smoothing import additive, best_k, kneser_ney
from deepen.ops.ngram_trie import BackoffModel
from deepen.prepare.arpa import backoff_model, write_arpa
from deepen.prepare.arpa_file import read_arpa
from deepen.prepare.arpa_model import ArpaModel

END = "<eos>"


class Corpus:
    """WikiText-2 as ids: the vocabulary is the training text's words in their order, and <eos>."""

    def __init__(self, folder: Path) -> None:
        files = {name: folder / "wikitext-2" / f"wiki.{name}.tokens" for name in ("train", "valid", "test")}
        self.lines = {name: path.read_text("utf-8").split("\n")[:-1] for name, path in files.items()}
        self.vocabulary = [
            *dict.fromkeys(word for line in self.lines["train"] for word in line.split(" ") if word),
            END,
        ]
        self.end = len(self.vocabulary) - 1
        self._known = pa.array(self.vocabulary)
        self.ids = {name: self.marked(lines) for name, lines in self.lines.items()}

    def marked(self, lines: list[str]) -> np.ndarray:
        """The lines' ids with <eos> behind each, as `ngram_counts.marked` gives them."""
        split: Any = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(pa.array(lines)))  # type: ignore[attr-defined]
        words = split.flatten().dictionary_encode()
        known = pc.index_in(words.dictionary, self._known).fill_null(self.vocabulary.index("<unk>"))  # type: ignore[attr-defined]
        ids = known.to_numpy(zero_copy_only=False)[words.indices.to_numpy()]
        empty = words.dictionary.index("").as_py()
        ids = ids[words.indices.to_numpy() != empty] if empty >= 0 else ids
        lengths = np.char.count(np.array([], str), " ") if not lines else self._lengths(split, words, empty)
        ends = np.cumsum(lengths)
        text = np.insert(ids, ends, self.end)
        begins = np.concatenate([[0], np.flatnonzero(text[:-1] == self.end) + 1])
        return np.insert(text, begins, len(self.vocabulary)).astype(np.int32)

    @staticmethod
    def _lengths(split: Any, words: Any, empty: int) -> np.ndarray:
        lengths = pc.list_value_length(split).to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[attr-defined]
        if empty < 0:
            return lengths
        line = np.repeat(np.arange(len(lengths)), lengths)
        return np.bincount(line[words.indices.to_numpy() != empty], minlength=len(lengths))


def perplexity(model: BackoffModel, text: np.ndarray) -> float:
    """Of all words of a marked text."""
    return float(10 ** (-Scorer(model).log10(text).sum() / (text != model.num_words).sum()))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the seconds of processor time, which other work on the machine changes little."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def built(corpus: Corpus, order: int) -> BackoffModel:
    """Modified Kneser-Ney, with what it took and its neighbours' perplexities."""
    train, size = corpus.ids["train"], len(corpus.vocabulary)
    tokens = int((train != size).sum())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, seconds = timed(lambda: count_ngrams(train, size, order))
    (model, discounts), more = timed(lambda: kneser_ney(counts))
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)  # in KiB on Linux
    number = sum(model.trie.sizes)
    print(f"{tokens:,} tokens, vocabulary {size:,}, order {order}: {number:,} n-grams {model.trie.sizes}")
    print(f"counted in {seconds:.2f} s, estimated in {more:.2f} s: {tokens / (seconds + more):,.0f} tokens/s")
    print(f"{model.num_bytes():,} bytes, {model.num_bytes() / number:.2f} an n-gram", end="; ")
    print(f"building took at most {grown:,} more, {grown / number:.0f} an n-gram")
    print("discounts", [[round(value, 4) for value in each.values] for each in discounts])
    print(f"modified Kneser-Ney   valid {perplexity(model, corpus.ids['valid']):8.2f}", end="  ")
    print(f"test {perplexity(model, corpus.ids['test']):8.2f}")
    for name, make in (
        ("Kneser-Ney", lambda: kneser_ney(counts, modified=False)[0]),
        ("pruned 0,1", lambda: kneser_ney(counts, prune=(0, 1))[0]),
    ):
        other = make()
        print(f"{name:<20}  valid {perplexity(other, corpus.ids['valid']):8.2f}", end="  ")
        print(f"test {perplexity(other, corpus.ids['test']):8.2f}  {sum(other.trie.sizes):,} n-grams")
    pairs = count_ngrams(train, size, 2)
    best = best_k(pairs, corpus.ids["valid"])
    for k in (1.0, best):
        found = perplexity(additive(pairs, k), corpus.ids["test"])
        print(f"add-{k:.3g}, order 2: test {found:.2f}")
    return model


def of_classes(corpus: Corpus, order: int, classes: int) -> None:
    """The model over classes, alone and with the words' own."""
    plain = {name: text[text != len(corpus.vocabulary)] for name, text in corpus.ids.items()}
    for with_words in (False, True):
        options = Options(order=order, classes=classes, with_words=with_words)
        model = build("class-ngram", TextShape(len(corpus.vocabulary), pad=-1), 32, options)
        notes, seconds = timed(
            lambda model=model, options=options: fit_counts(
                model, plain["train"], plain["valid"], options, end=corpus.end, vocabulary=corpus.vocabulary
            )
        )
        figures = [float(np.exp(-score_ids(model, plain[name]).mean())) for name in ("valid", "test")]
        name = "classes and words" if with_words else "classes"
        print(f"{name}: valid {figures[0]:.2f}  test {figures[1]:.2f}  {seconds:.1f} s")
        print("  " + " ".join(notes))


def against_kenlm(corpus: Corpus, model: BackoffModel, rounds: int) -> None:
    """The same ARPA file in both: every line's score, and the time for all of them."""
    try:
        import kenlm  # type: ignore[import-not-found]
    except ImportError:
        print("kenlm is not installed, so nothing is compared: pip install kenlm")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        _, wrote = timed(lambda: write_arpa(path, model, corpus.vocabulary, end=END))
        compiled, read = timed(lambda: ArpaModel(path, compiled=True))
        again, _ = backoff_model(read_arpa(path), corpus.vocabulary, end=END)
        plain = ArpaModel(path, compiled=False)
        theirs, loaded = timed(lambda: kenlm.Model(str(path)))
        print(f"ARPA of {path.stat().st_size:,} bytes: written in {wrote:.1f} s, read in {read:.1f} s", end="; ")
        print(f"kenlm {loaded:.1f} s")
    lines = [line.strip() for line in corpus.lines["test"]]
    text = corpus.ids["test"]
    ids, numpy_ids = Scorer(again, compiled=True), Scorer(again, compiled=False)
    ours = compiled.scores(lines)
    assert np.allclose(ours, np.add.reduceat(ids.log10(text), np.flatnonzero(text == again.num_words)), atol=1e-9)
    exact = np.array([sum(word[0] for word in theirs.full_scores(line)) for line in lines])
    short = np.array([theirs.score(line) for line in lines])
    print(
        f"largest difference of a line: {np.abs(ours - exact).max():.2e} from kenlm's words added up in 64 bits,",
        end=" ",
    )
    print(f"{np.abs(ours - short).max():.2e} from Model.score, which adds in 32 (lines to {short.min():.0f})")
    works: dict[str, Callable[[], Any]] = {
        "kenlm": lambda: sum(theirs.score(line) for line in lines),
        "lines, numba": lambda: compiled.scores(lines).sum(),
        "lines, numpy": lambda: plain.scores(lines).sum(),
        "ids, numba": lambda: ids.log10(text).sum(),
        "ids, numpy": lambda: numpy_ids.log10(text).sum(),
    }
    seconds = in_turns(works, rounds)
    tokens = int((text != again.num_words).sum())
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(seconds["kenlm"], times, strict=True)]
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        speed = tokens / statistics.median(times)
        print(f"{name:<13} {speed / 1e6:6.2f} M tokens/s  {middle:5.2f} times kenlm ({low:.2f} to {high:.2f})")


def in_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each by round; each round begins with another, and the first does not count."""
    names, found = list(works), {name: [] for name in works}
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            _, seconds = timed(works[name])
            if number:
                found[name].append(seconds)
    return found


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--classes", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    corpus = Corpus(data_set("wikitext2"))
    model = built(corpus, given.order)
    if given.classes:
        of_classes(corpus, given.order, given.classes)
    against_kenlm(corpus, model, given.rounds)


if __name__ == "__main__":
    main()
