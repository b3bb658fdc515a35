"""N-gram models: the next word by how often it followed the last N - 1 words (Kneser-Ney, add-k, classes of words).

    ngram          modified Kneser-Ney of order 5 by default; `--network.smoothing` names the others
    class-ngram    p(w | h) = p(c(w) | c(h)) p(w | c(w)), classes of Brown et al. 1992, mixed with the words' own

They are counted, not trained: one pass over the training text, and where a number is to be chosen (k, the share of both
models in a mixture), it is the one under which the validation text is the most likely. Contexts begin anew behind
each <eos>, as in KenLM and SRILM, and go on over line breaks that are tokens as they stand, as in texts by characters;
`--network.across-lines` sets either.

Nothing here is learned by gradients: `fit_counts` takes the place of the loop. What is counted then answers as every
language model does (nn/ngram_tables.py): hidden states are the last ids, the output layer looks them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from torch import tensor

from deepen.core.errors import DataError, OptionError
from deepen.nn.ngram_tables import NO_END, CountedOutput, NGramNetwork
from deepen.nn.shapes import Paper, TextShape
from deepen.ops.brown_clusters import brown_clusters, log_within
from deepen.ops.mixture import mixture_weights
from deepen.ops.ngram_counts import NGramCounts, count_ngrams, marked
from deepen.ops.ngram_scoring import LN10
from deepen.ops.ngram_smoothing import additive, best_k, kneser_ney
from deepen.ops.ngram_trie import BackoffModel
from deepen.prepare.arpa import backoff_model, require_arpa_names, write_arpa
from deepen.prepare.arpa_file import UNKNOWN, read_arpa

CONTRACTS = ("language model",)
COUNTED = True  # fit_counts takes the place of the loop; what it holds depends on what it has read

Smoothing = Literal["modified-kneser-ney", "kneser-ney", "add-k", "laplace"]
KNESER_NEY = ("modified-kneser-ney", "kneser-ney")
ORDERS = {"modified-kneser-ney": 5, "kneser-ney": 5, "add-k": 2, "laplace": 2}
LINE_BREAKS = ("\n", "<0x0A>")  # ends of lines that are written as they stand
LEAST_SHARE = 1e-6  # a mixture keeps both parts, so that no word has the probability 0


@dataclass(frozen=True)
class Size:
    """How many classes there are where the options name no number; 0: none."""

    classes: int


SIZES = {"ngram": Size(classes=0), "class-ngram": Size(classes=100)}

# nothing is learned by gradients: an n-gram takes 4 bytes for its last word and 4 for its probability, and 8 more where
# longer ones may begin with it
PAPER = {name: Paper(inputs=(23,), outputs=32, parameters=0) for name in SIZES}

RECIPE = {"epochs": 1}


@dataclass(frozen=True)
class Options:
    """Options of n-gram models."""

    order: int | None = field(
        default=None,
        metadata={
            "help": "N: a word is predicted from the N - 1 before it; default: 5, with add-k and laplace 2",
            "least": 1,
            "most": 12,
        },
    )
    smoothing: Smoothing = field(
        default="modified-kneser-ney",
        metadata={"help": "how words that were not seen in a context get their share"},
    )
    k: float | None = field(
        default=None,
        metadata={"help": "what add-k adds to each count; default: the best on validation", "above": 0.0},
    )
    prune: tuple[int, ...] = field(
        default=(),
        metadata={
            "help": "n-grams of the orders 2, 3, ... that occur at most so often are left out; the last is for all "
            "further",
            "least": 0,
        },
    )
    across_lines: bool | None = field(
        default=None,
        metadata={
            "help": "contexts go on over the ends of lines; default: they begin anew, but go on over line breaks"
        },
    )
    arpa: str = field(default="", metadata={"help": "take the n-grams of this ARPA file (.gz too) instead of counting"})
    arpa_out: str = field(default="", metadata={"help": "write the n-grams to this ARPA file (.gz packs it) as well"})
    classes: int | None = field(
        default=None, metadata={"help": "classes of words (class-ngram); default: 100", "least": 2}
    )
    class_window: int = field(
        default=2000,
        metadata={
            "help": "so many of the most frequent words may merge classes; each later one only joins one (class-ngram)",
            "least": 2,
        },
    )
    with_words: bool = field(
        default=True, metadata={"help": "mix the classes' model with that of the words themselves (class-ngram)"}
    )


def build(name: str, inputs: TextShape, outputs: int, options: Options | None = None) -> NGramNetwork:
    """A model that has read nothing: every word has 1 / V. `outputs` is not read: its width is N - 1.

    Raises OptionError for options that contradict one another.
    """
    options = options or Options()
    _require_read(name, options)
    output = CountedOutput(inputs.vocabulary, _num_classes(name, inputs.vocabulary, options))
    return NGramNetwork(output, _order(options) - 1)


def fit_counts(
    model: NGramNetwork,
    train: np.ndarray,
    val: np.ndarray | None,
    options: Options | None = None,
    *,
    end: int | None,
    vocabulary: Sequence[str],
    unknown: str = UNKNOWN[0],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Counts a training text into a model of `build`, and returns what is worth saying about it, in sentences.

    train, val  [n] ids of the texts, of what is predicted alone; without `val` k is 1 and a mixture has equal parts
    end         the id that ends a line, None if none does
    vocabulary  [V] the tokens, for ARPA files
    progress    is told words done and words in all while classes are made

    Raises DataError for a text without words, and for an ARPA file that is none or that cannot hold these tokens.
    """
    options = options or Options()
    if len(train) == 0:
        raise DataError("expected a training text, but it has no words; give more text.")
    output = model.output_layer
    anew = None if _goes_on(options, end, vocabulary) else end
    output.end = tensor(NO_END if anew is None else anew)
    spoken_end = "" if anew is None else vocabulary[anew]
    if options.arpa_out:  # what cannot be written is said before anything is counted
        require_arpa_names(options.arpa_out, vocabulary, end=spoken_end, unknown=unknown)
    texts = [marked([] if part is None else [part], output.num_words, end=anew) for part in (train, val)]
    if options.arpa:
        words, notes = backoff_model(read_arpa(options.arpa), vocabulary, end=spoken_end, unknown=unknown)
    else:
        words, notes = _smoothed(count_ngrams(texts[0], output.num_words, _order(options)), texts[1], options)
    if output.classes is not None:
        notes += _fit_classes(model, texts, options, progress, anew)
    if output.classes is None or options.with_words:
        output.tables.set(words)
        notes.append(_size_of(words))
    if output.classes is not None and options.with_words:
        notes.append(_mix(output, texts[1]))
    model.set_context(max(words.order, _order(options)) - 1)
    if options.arpa_out:
        save_arpa(model, options.arpa_out, vocabulary, unknown=unknown)
        notes.append(f"{options.arpa_out}: written.")
    return notes


def save_arpa(model: NGramNetwork, path: Path | str, vocabulary: Sequence[str], *, unknown: str = UNKNOWN[0]) -> None:
    """Writes the n-grams of words of a model as an ARPA file, gzipped where the name ends with .gz.

    vocabulary  [V] the tokens

    Raises DataError for tokens that such a file cannot hold, and OptionError for a model with classes.
    """
    output = model.output_layer
    if output.classes is not None:
        raise OptionError(f"{path}: an ARPA file holds one model of words, and this one has classes; train ngram.")
    end = int(output.end)
    spoken_end = "" if end == NO_END else vocabulary[end]
    write_arpa(path, output.tables.scorer().model, vocabulary, end=spoken_end, unknown=unknown)


def score_ids(model: NGramNetwork, ids: np.ndarray) -> np.ndarray:
    """ln p of each id of a text in the context of all before it, [n] float64, in one go.

    The text begins a context, and so does what stands behind each end, where the model was counted so.
    """
    output = model.output_layer
    end = int(output.end)
    text = marked([np.asarray(ids)], output.num_words, end=None if end == NO_END else end)
    return output.log_probabilities_of(text)[text != output.num_words]


def next_log_probabilities(model: NGramNetwork, context: Sequence[int]) -> np.ndarray:
    """[V] float64: ln p of every id after a context; an empty one is the beginning of a text."""
    beginning = model.output_layer.num_words
    return model.output_layer.next_log_probabilities([beginning, *context])


def _smoothed(counts: NGramCounts, val: np.ndarray, options: Options) -> tuple[BackoffModel, list[str]]:
    if options.smoothing in KNESER_NEY:
        modified = options.smoothing == "modified-kneser-ney"
        model, discounts = kneser_ney(counts, modified=modified, prune=options.prune)
        short = [str(order) for order, each in enumerate(discounts, start=1) if not each.is_own]
        if not short:
            return model, []
        return model, [
            f"too few n-grams of order {', '.join(short)} occur once, twice and three times to give discounts; "
            f"{'0.5, 1 and 1.5 are' if modified else '0.5 is'} taken there."
        ]
    if options.smoothing == "laplace":
        return additive(counts, 1.0), []
    if options.k is not None:
        return additive(counts, options.k), []
    k = best_k(counts, val)
    return additive(counts, k), [f"k {k:.3g} is the best on validation." if len(val) else "k 1, without validation."]


def _fit_classes(
    model: NGramNetwork,
    texts: Sequence[np.ndarray],
    options: Options,
    progress: Callable[[int, int], None] | None,
    end: int | None,
) -> list[str]:
    """Classes of the words of the training text, and the n-grams of the classes."""
    output = model.output_layer
    assert output.classes is not None
    vocabulary = output.num_words
    train = texts[0]
    words = train[train != vocabulary]
    counts = np.bincount(words, minlength=vocabulary)
    found = brown_clusters(
        np.stack([words[:-1], words[1:]], axis=1),
        counts,
        options.classes or output.classes.tables.num_words,
        most_words=options.class_window,
        alone=() if end is None or counts[end] == 0 else (end,),
        progress=progress,
    )
    numbers = np.append(found.of, found.number)
    smoothed, _ = _smoothed(count_ngrams(numbers[train], found.number, _order(options)), numbers[texts[1]], options)
    output.classes.set(found.of, log_within(counts, found.of), smoothed)
    return [f"{found.number:,} classes of words; their neighbours share {found.information:.3f} nats."]


def _mix(output: CountedOutput, val: np.ndarray) -> str:
    """Sets the share of the words' own model in the mixture."""
    if len(val) == 0:
        output.share = tensor(0.5, dtype=output.share.dtype)
        return "words and classes count half each, without validation."
    assert output.classes is not None
    is_word = val != output.num_words
    logs = np.stack([output.tables.scorer().log10(val)[is_word], output.classes.log10(val)[is_word]]) * LN10
    share = float(np.clip(mixture_weights(logs)[0], LEAST_SHARE, 1 - LEAST_SHARE))
    output.share = tensor(share, dtype=output.share.dtype)
    return f"words count {share:.3f} and classes {1 - share:.3f}, the best on validation."


def _size_of(model: BackoffModel) -> str:
    sizes = model.trie.sizes
    held = ", ".join(f"{size:,}" for size in sizes)
    return f"{held} n-grams of the orders 1 to {len(sizes)}, {model.num_bytes() / sum(sizes):.1f} bytes each."


def _goes_on(options: Options, end: int | None, vocabulary: Sequence[str]) -> bool:
    if options.across_lines is None:
        return end is not None and vocabulary[end] in LINE_BREAKS
    return options.across_lines


def _order(options: Options) -> int:
    return options.order if options.order is not None else ORDERS[options.smoothing]


def _num_classes(name: str, vocabulary: int, options: Options) -> int:
    asked = options.classes or SIZES[name].classes
    return min(asked, vocabulary) if SIZES[name].classes else 0


def _require_read(name: str, options: Options) -> None:
    """Raises OptionError for an option that is stated and that this model does not read."""
    plain = Options()
    unread = {
        "k": options.smoothing != "add-k" and f"smoothing {options.smoothing}",
        "prune": options.smoothing not in KNESER_NEY and f"smoothing {options.smoothing}",
        "classes": name != "class-ngram" and name,
        "class_window": name != "class-ngram" and name,
        "with_words": name != "class-ngram" and name,
        "arpa": name == "class-ngram" and not options.with_words and "classes alone",
        "arpa_out": name == "class-ngram" and "class-ngram: such a file holds one model of words",
    }
    for option, why in unread.items():
        if why and getattr(options, option) != getattr(plain, option):
            raise OptionError(f"{option} {getattr(options, option)!r}: is not read by {why}; leave it out.")
    if options.arpa:
        for option in ("order", "smoothing", "prune"):
            if name == "ngram" and getattr(options, option) != getattr(plain, option):
                raise OptionError(f"{option} {getattr(options, option)!r}: the ARPA file says it; leave it out.")
    if any(each < 0 for each in options.prune):
        raise OptionError(f"prune {options.prune!r}: expected counts of at least 0; leave out what shall be kept.")
    if list(options.prune) != sorted(options.prune) or len(options.prune) > max(_order(options) - 1, 0):
        raise OptionError(
            f"prune {options.prune!r}: expected at most {_order(options) - 1} counts, for the orders 2, 3, ..., none "
            "below the one before, since an n-gram needs its first words."
        )
