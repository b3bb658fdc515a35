"""The output layer that a network gets, and its tie."""

from __future__ import annotations

import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models import recurrent_language_model
from deepen.nn.language_network import featured, with_output_layer
from deepen.nn.ngram_features import FeaturedNetwork
from deepen.nn.output_adaptive import AdaptiveSoftmax
from deepen.nn.output_full import FullSoftmax
from deepen.nn.output_layers import KINDS, UNTIED, OutputOptions
from deepen.nn.output_sampled import SampledOutput
from deepen.nn.shapes import TextShape

V, D = 23, 11
COUNTS = list(range(1, V + 1))


def network(**options):
    return recurrent_language_model.build(
        "gru", TextShape(V), D, recurrent_language_model.Options(hidden_size=7, **options)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_tie_is_made_where_it_can_be(kind):
    options = OutputOptions(kind=kind, **({"shortlist": 13} if kind == "shortlist" else {}))
    found = with_output_layer(network(), D, COUNTS, options)
    vectors = found.embedding.weight
    is_tied = any(each is vectors for each in found.output_layer.parameters())
    assert is_tied == (kind not in UNTIED)
    loose = with_output_layer(network(embedding_size=5), D, COUNTS, options)
    assert all(each is not loose.embedding.weight for each in loose.output_layer.parameters())
    hidden, _ = found(torch.tensor([[3, 5, 2]]))
    assert float(found.output_layer.log_probabilities(hidden[0]).detach().exp().sum(1)[1]) == pytest.approx(1, abs=1e-5)


def test_many_words_get_an_adaptive_softmax_unless_a_kind_is_named():
    kinds = {}
    smooth = with_output_layer(
        network(), 2, [1] * 10_007, OutputOptions(), tied=False, label_smoothing=0.3
    ).output_layer
    assert isinstance(smooth, FullSoftmax) and smooth.label_smoothing == 0.3
    for words in (10_000, 10_007):
        small = recurrent_language_model.build(
            "rnn", TextShape(words), 2, recurrent_language_model.Options(hidden_size=2)
        )
        kinds[words] = type(with_output_layer(small, 2, [1] * words, OutputOptions()).output_layer)
        named = with_output_layer(small, 2, [1] * words, OutputOptions(kind="nce")).output_layer
        assert isinstance(named, SampledOutput)
    assert kinds == {10_000: FullSoftmax, 10_007: AdaptiveSoftmax}


def test_features_stand_beside_the_network_and_change_nothing_at_first():
    plain = network().eval()
    whole = with_output_layer(plain, D, COUNTS, OutputOptions(), feature_order=3, feature_table=1009)
    assert isinstance(whole, FeaturedNetwork) and whole.output_layer.full.linear.weight is plain.embedding.weight
    ids = torch.tensor([[3, 5, 2, 7]])
    hidden, _ = whole(ids)
    assert hidden.shape == (1, 4, D + 3)
    expected = torch.log_softmax(plain(ids)[0][0] @ plain.embedding.weight.T, 1)
    assert torch.allclose(whole.output_layer.log_probabilities(hidden[0]), expected, atol=1e-6)
    assert featured(plain, V, 0) is plain


def test_what_cannot_be_had_together():
    with pytest.raises(OptionError, match=r"--ngram-features 2: .* not with --output\.kind sampled"):
        with_output_layer(network(), D, COUNTS, OutputOptions(kind="sampled"), feature_order=2)
    with pytest.raises(OptionError, match="cannot be tied"):
        with_output_layer(network(), D, COUNTS, OutputOptions(kind="huffman"), tied=True)
    for kind in set(KINDS) - {"full"}:
        with pytest.raises(OptionError, match=rf"--label-smoothing 0\.3: .* --output\.kind {kind} does not compute"):
            with_output_layer(network(), D, COUNTS, OutputOptions(kind=kind), label_smoothing=0.3)
