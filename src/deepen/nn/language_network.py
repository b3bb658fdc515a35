"""A network that reads ids, and the output layer that makes probabilities of what it gives, as one.

    s[w | text] = (W h + b)[w], W the vectors of the words themselves where the two are tied, and with n-gram features
    + sum over m = 1 .. M of the weight of the last m ids and w

An output layer that goes by the last ids itself, for such features or for the tail of a shortlist, finds them behind
the network's hidden states.

Sources: Press and Wolf 2017, and Inan et al. 2017, for the tie; nn/ngram_features.py for the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from deepen.core.errors import OptionError
from deepen.nn import output_layers
from deepen.nn.ngram_features import FeaturedNetwork, FeaturedOutput
from deepen.nn.output_layers import OutputOptions
from deepen.nn.output_shortlist import ShortlistSoftmax
from deepen.nn.shortlist_tail import PairedShortlist


def featured(network: nn.Module, num_words: int, order: int) -> nn.Module:
    """The network, where `order` is not 0 with the last ids beside its hidden states."""
    return FeaturedNetwork(network, num_words, order) if order else network


def with_output_layer(
    network: Any,
    width: int,
    counts: Sequence[int],
    options: OutputOptions,
    *,
    tied: bool | None = None,
    feature_order: int = 0,
    feature_table: int = 2**22,
    label_smoothing: float = 0.0,
    pairs: Mapping[str, Sequence[int]] | None = None,
) -> nn.Module:
    """The network with its output layer in it, as `output_layer`.

    width          of the network's hidden states
    counts         [V] how often each word occurs in training
    tied           whether the network's embedding is the output layer's weights; None: where both have the same width,
                   and the kind has a weight vector for each word
    feature_order  the longest context with weights of its own, 0 for none
    feature_table  how many such weights there are
    label_smoothing  share of the target spread over all words in training
    pairs          of kind shortlist: how often rare words follow words (nn/shortlist_tail.py)

    Features and label smoothing need all words' scores: with them the kind is full unless the options name another.

    Raises OptionError for a tie, features or smoothing that the kind cannot have.
    """
    needs_all = bool(feature_order or label_smoothing)
    kind = "full" if needs_all and options.kind is None else output_layers.chosen_kind(options, len(counts))
    if tied is None:
        tied = kind not in output_layers.UNTIED and network.embedding.embedding_dim == width
    weight = network.embedding.weight if tied else None
    if feature_order and kind != "full":
        raise OptionError(
            f"--ngram-features {feature_order}: adds to the scores of all words, so not with --output.kind {kind}; "
            "take full, or leave the features out."
        )
    whole = featured(network, len(counts), feature_order or (1 if pairs is not None else 0))
    if feature_order:
        layer: Any = FeaturedOutput(
            width, len(counts), feature_order, feature_table, weight, label_smoothing=label_smoothing
        )
    else:
        layer = output_layers.build(kind, width, counts, options, weight, label_smoothing=label_smoothing)
    if pairs is not None:
        assert isinstance(layer, ShortlistSoftmax), "pairs are of a shortlist"
        layer = PairedShortlist(layer, pairs)
    whole.add_module("output_layer", layer)
    return whole
