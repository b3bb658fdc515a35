"""Output layers for large vocabularies: from hidden states to probabilities of words, and the loss that learns them.

    full        softmax over all words                                        nn/output_full.py
    adaptive    softmax over frequent words and clusters of rare ones         nn/output_adaptive.py
    class       a class of words, then a word of the class                    nn/output_hierarchical.py
    huffman     along a binary tree                                           nn/output_hierarchical.py
    sampled     softmax over the target and drawn words                       nn/output_sampled.py
    importance  the mean over words by importance sampling                    nn/output_sampled.py
    nce         the target told from noise                                    nn/output_sampled.py
    ranking     the target above drawn words by a margin                      nn/output_ranking.py
    shortlist   softmax over the most frequent words, the rest by counts      nn/output_shortlist.py

Each is an nn.Module for hidden states [n, D] with

    num_words                                              V
    loss_sum(hidden, targets, rows_of, num_rows=None)      the summed loss of training, a scalar
    log_probabilities(hidden)                              [n, V], exact: exp of each row adds up to 1
    target_log_probabilities(hidden, targets)              [n], exact; [n, V] is never held in whole

    targets   [n] int64; those that are IGNORED (-100) count for nothing and have log probability 0
    rows_of   [n] int64: the place in the batch of the row that each position is from; words are drawn by row, so that
              they do not depend on a row's neighbours
    num_rows  rows of the batch, needed where its last rows may have no position

All are normalized exactly when they are evaluated, whatever they learned from. Source of the survey: Goodfellow, Bengio
and Courville 2016, Deep Learning, section 12.4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from torch import nn

from deepen.core.errors import OptionError, ShapeError
from deepen.nn.output_adaptive import AdaptiveSoftmax
from deepen.nn.output_full import FullSoftmax
from deepen.nn.output_hierarchical import ClassSoftmax, HuffmanSoftmax
from deepen.nn.output_ranking import RankingOutput
from deepen.nn.output_sampled import SampledOutput
from deepen.nn.output_shortlist import ShortlistSoftmax
from deepen.ops.sampling import Noise

Kind = Literal["full", "adaptive", "class", "huffman", "sampled", "importance", "nce", "ranking", "shortlist"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DRAWING = ("sampled", "importance", "nce", "ranking")  # kinds that draw words in training
UNTIED = ("class", "huffman")  # kinds that have no weight vector for each word in the words' own order

MANY_WORDS = 10_000  # above which a softmax over all costs more than the network before it


@dataclass(frozen=True)
class OutputOptions:
    """How hidden states become probabilities of words."""

    kind: Kind | None = field(
        default=None,
        metadata={
            "help": "softmax over all words, or one of the cheaper ways to learn a large vocabulary; default: full, "
            "over more than 10,000 words adaptive"
        },
    )
    samples: int = field(
        default=500,
        metadata={"help": "words drawn for each row in training (sampled, importance, nce, ranking)", "least": 1},
    )
    noise: Noise | None = field(
        default=None,
        metadata={"help": "what they are drawn from; default: unigram, for ranking uniform"},
    )
    noise_power: float = field(
        default=1.0,
        metadata={"help": "power to which unigram counts are raised, such as 0.75", "least": 0.0, "most": 1.0},
    )
    log_partition: float = field(default=0.0, metadata={"help": "nce: the fixed logarithm of the normalizer"})
    margin: float = field(default=1.0, metadata={"help": "ranking: how far above other words", "above": 0.0})
    classes: int = field(
        default=0, metadata={"help": "class: number of classes; 0: square root of the vocabulary", "least": 0}
    )
    cutoffs: tuple[int, ...] = field(
        default=(),
        metadata={"help": "adaptive: how many words are more frequent than each cluster's; default: the cheapest"},
    )
    shortlist: int = field(
        default=2000, metadata={"help": "shortlist: words in it at most; the rest is left to counts", "least": 1}
    )


READ_BY: dict[str, tuple[str, ...]] = {
    "samples": DRAWING,
    "noise": DRAWING,
    "noise_power": DRAWING,
    "log_partition": ("nce",),
    "margin": ("ranking",),
    "classes": ("class",),
    "cutoffs": ("adaptive",),
    "shortlist": ("shortlist",),
}


OutputLayer = (
    FullSoftmax | AdaptiveSoftmax | ClassSoftmax | HuffmanSoftmax | SampledOutput | RankingOutput | ShortlistSoftmax
)


def chosen_kind(options: OutputOptions, num_words: int) -> Kind:
    """The kind that the options name, else the full softmax, of many words the adaptive one."""
    return options.kind or ("full" if num_words <= MANY_WORDS else "adaptive")


def build(
    kind: str,
    width: int,
    counts: Sequence[int],
    options: OutputOptions = OutputOptions(),
    tied: nn.Parameter | None = None,
    *,
    label_smoothing: float = 0.0,
) -> OutputLayer:
    """The output layer of a kind.

    width   D of the hidden states
    counts  [V] how often each word occurs in training, in the order of the words' numbers
    tied    the embedding's weight [V, D], to be the words' weight vectors too; not for class and huffman
    label_smoothing  share of the target spread over all words in training, for kind full alone: it takes the
            probability of every word, and not to compute those is what the other kinds are for

    Raises OptionError for an option that this kind does not read, and for a tie or smoothing that it cannot keep;
    ShapeError where the tied weight is of another shape, or there are fewer than 2 words.
    """
    _require_read(kind, options)
    if len(counts) < 2:
        raise ShapeError(
            f"an output layer needs at least 2 words, but the vocabulary has {len(counts)}; give more text."
        )
    if tied is not None and kind in UNTIED:
        raise OptionError(
            f"output kind {kind!r} has vectors of classes or tree nodes, which cannot be tied to the embedding's of "
            "words; leave the tie out, or choose full, adaptive, sampled, importance, nce, ranking or shortlist."
        )
    if label_smoothing and kind != "full":
        raise OptionError(
            f"--label-smoothing {label_smoothing:g}: spreads the target over all words, whose probabilities "
            f"--output.kind {kind} does not compute in training; take full, or state 0."
        )
    if kind == "full":
        return FullSoftmax(width, len(counts), tied, label_smoothing=label_smoothing)
    if kind == "adaptive":
        return AdaptiveSoftmax(width, counts, cutoffs=options.cutoffs, tied=tied)
    if kind == "class":
        return ClassSoftmax(width, counts, options.classes)
    if kind == "huffman":
        return HuffmanSoftmax(width, counts)
    if kind == "shortlist":
        return ShortlistSoftmax(width, counts, shortlist=options.shortlist, tied=tied)
    power, samples = options.noise_power, options.samples
    if kind == "ranking":
        noise = options.noise or "uniform"
        return RankingOutput(width, counts, samples=samples, noise=noise, power=power, margin=options.margin, tied=tied)
    assert kind in ("sampled", "importance", "nce"), f"no output layer is called {kind!r}"
    return SampledOutput(
        kind,
        width,
        counts,
        samples=samples,
        noise=options.noise or "unigram",
        power=power,
        log_partition=options.log_partition,
        tied=tied,
    )


def _require_read(kind: str, options: OutputOptions) -> None:
    """Raises OptionError for an option that was changed and that this kind never reads."""
    for each in fields(OutputOptions):
        value = getattr(options, each.name)
        if value != each.default and kind not in READ_BY.get(each.name, KINDS):
            raise OptionError(
                f"output.{each.name} {value!r}: only read by output kind {', '.join(READ_BY[each.name])}, but the kind "
                f"is {kind!r}; leave it out."
            )
