"""Words per second of word vectors on WikiText-2, and how good they are, against gensim with the same settings.

    python -m bench.word_vectors                          speed: skip-gram, CBOW and both with subwords, in turns
    python -m bench.word_vectors --line-words 5           the same text cut into lines of five words
    python -m bench.word_vectors --threads 2              on two threads
    python -m bench.word_vectors --quality --seeds 0,1,2  WordSim-353 and SimLex-999, five epochs each

Both train on the same words (those seen five times; <unk> left out), 100 numbers, window 5, five words of noise,
words beyond 0.1 % of the text left out now and then, the rate falling from 0.025 to 0.0001. Seconds are those of
training with a vocabulary at hand: ours with reading, splitting and looking up every word of the file in the first
epoch, gensim's with looking up words that are split already (`sentences`), or from a file (`--corpus-file`). Compiling
does not count.
gensim must be installed; without it our side alone is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.places import data_set
from bench.rounds import Contender, append, interleaved, ratio, say_machine, table

Clock = Callable[[], float]
MODELS = ("skip-gram", "cbow", "skip-gram-subword", "cbow-subword")
FINAL = 0.004  # of the rate: 0.0001 of 0.025


def main() -> None:
    """Prints a table."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    say_machine()
    lines = _lines(given.line_words)
    num_words = sum(map(len, lines))
    print(f"{num_words:,} words in {len(lines):,} lines", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "corpus.txt")
        file.write_text("".join(" ".join(line) + "\n" for line in lines), "utf-8")
        if given.quality:
            _quality(given, lines, file)
        else:
            _speed(given, lines, file, num_words)


def _speed(given: argparse.Namespace, lines: list[list[str]], file: Path, num_words: int) -> None:
    rows, clock = [], time.process_time if given.cpu_time else time.perf_counter
    for model in given.models.split(","):
        contenders = [Contender("ours", lambda model=model: _ours(model, file, given.epochs, 0, clock)[0])]
        if importlib.util.find_spec("gensim"):
            corpus = file if given.corpus_file else lines
            peer = lambda model=model, corpus=corpus: _gensim(model, corpus, given, 0, clock)[0]  # noqa: E731
            contenders.append(Contender("gensim", peer))
        _ours(model, file, 1, 0, clock)  # compiles
        times = interleaved(contenders, rounds=given.rounds)
        paces = {name: num_words * given.epochs / statistics.median(each) for name, each in times.items()}
        gain = str(ratio(times["gensim"], times["ours"])) if "gensim" in times else ""
        rows.append([model, f"{paces['ours']:,.0f}", f"{paces.get('gensim', 0):,.0f}", gain])
        print(table(["model", "words/s", "gensim", "times as fast"], rows[-1:]), flush=True)
        append(given.out, {"bench": "word_vectors", "model": model, "times": times, **vars(given)})
    print(table(["model", "words/s", "gensim", "times as fast"], rows))


def _quality(given: argparse.Namespace, lines: list[list[str]], file: Path) -> None:
    rows = []
    for model in given.models.split(","):
        for name, train in (
            ("ours", lambda seed, model=model: _ours(model, file, given.epochs, seed, time.perf_counter)[1:]),
            ("gensim", lambda seed, model=model: _gensim(model, lines, given, seed, time.perf_counter)[1:]),
        ):
            if name == "gensim" and not importlib.util.find_spec("gensim"):
                continue
            found = [_scores(*train(int(seed))) for seed in given.seeds.split(",")]
            cells = [f"{np.mean(each):.3f} ± {np.std(each):.3f}" for each in zip(*found, strict=True)]
            rows.append([model, name, *cells])
            print(table(["model", "by", "WordSim-353", "SimLex-999"], rows[-1:]), flush=True)
            append(given.out, {"bench": "word_vectors quality", "model": model, "by": name, "scores": found})
    print(table(["model", "by", "WordSim-353", "SimLex-999"], rows))


def _ours(model: str, file: Path, epochs: int, seed: int, clock: Clock) -> tuple[float, list[str], np.ndarray]:
    """Seconds of training, the words and their vectors."""
    from deepen.data.read import read
    from deepen.tasks import word_vectors
    from deepen.verbs.options import resolved

    base = {"model": model, "epochs": epochs, "seed": seed, "schedule.final": FINAL, "text.splitter": "whitespace"}
    chosen = resolved("word-vectors", {}, base=base)
    dataset = read(file, word_vectors.schema(chosen.task))
    blocks: pa.Table = next(iter(dataset.tables.values()))
    state = word_vectors.learn(chosen.task, blocks, dataset, [])
    task = word_vectors.Task(chosen.task, state, chosen.network)
    encoded = task.encode(blocks, "train", [])
    _ = task.lexicon  # part of the vocabulary, which gensim's side has at hand too
    from deepen.engine.fit import fit

    begun = clock()
    fitted = fit(task, encoded, None, chosen.fit)
    taken = clock() - begun
    return taken, task.tokenizer.vocabulary[1:], fitted.model.vectors.detach().numpy()[1:]


def _gensim(
    model: str, corpus: Any, given: argparse.Namespace, seed: int, clock: Clock
) -> tuple[float, list[str], np.ndarray]:
    """The same of gensim."""
    from gensim.models import FastText, Word2Vec

    kind = FastText if model.endswith("subword") else Word2Vec
    made = kind(
        vector_size=100, window=5, negative=5, sample=1e-3, min_count=5, workers=given.threads, seed=seed + 1,
        sg=int(model.startswith("skip-gram")), alpha=0.025, min_alpha=0.0001,
    )  # fmt: skip
    source = {"corpus_file": str(corpus)} if isinstance(corpus, Path) else {"corpus_iterable": corpus}
    made.build_vocab(**source)
    begun = clock()
    made.train(**source, total_words=made.corpus_total_words, total_examples=made.corpus_count, epochs=given.epochs)
    return clock() - begun, list(made.wv.index_to_key), made.wv.vectors


def _scores(words: list[str], vectors: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation on WordSim-353 and SimLex-999, over pairs of known words."""
    from deepen.metrics.correlation import spearman

    places = {word: index for index, word in enumerate(words)}
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    found = []
    for name in ("wordsim353.tsv", "simlex999.txt"):
        judged = (data_set("word_similarity") / name).read_text("utf-8").splitlines()
        pairs = [line.split("\t") for line in judged if line and not line.startswith("#")]
        known = [
            (places[a], places[b], float(score))
            for a, b, score in ((_form(a, places), _form(b, places), score) for a, b, score in pairs)
            if a in places and b in places
        ]
        cosines = np.array([units[a] @ units[b] for a, b, _ in known])
        found.append(spearman(cosines, np.array([score for *_, score in known])))
    return found[0], found[1]


def _form(word: str, places: dict[str, int]) -> str:
    return word if word in places else word.lower()


def _lines(line_words: int) -> list[list[str]]:
    """The training text without <unk>, by its own lines or in lines of so many words."""
    text = (data_set("wikitext2") / "wikitext-2" / "wiki.train.tokens").read_text("utf-8")
    lines = [[word for word in line.split() if word != "<unk>"] for line in text.split("\n") if line.strip()]
    if not line_words:
        return lines
    words = [word for line in lines for word in line]
    return [words[at : at + line_words] for at in range(0, len(words), line_words)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--epochs", type=int, default=0, help="default: 1, with --quality 5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--line-words", type=int, default=0, help="0: the text's own lines")
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, where others use it too")
    parser.add_argument("--corpus-file", action="store_true", help="gensim reads the file itself")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", help="a file that gets a line of JSON for each figure")
    given = parser.parse_args()
    given.epochs = given.epochs or (5 if given.quality else 1)
    return given


if __name__ == "__main__":
    main()
