from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from deepen.models.fasttext import MULTIPLIER, Options, bucket_of, build, ngram_buckets, num_buckets
from deepen.nn.shapes import TextShape
from tests.models.text_networks import VOCABULARY, farthest_from_alone, ids_and_mask, shaken

SHAPE = TextShape(VOCABULARY)


def built(**options):
    torch.manual_seed(0)
    return build("fasttext", SHAPE, 3, Options(width=5, buckets=31, **options))


def signed(number):
    """A whole number as 64 bits hold it."""
    return (number + 2**63) % 2**64 - 2**63


def test_buckets_of_ngrams_are_those_of_a_loop_over_whole_numbers():
    ids, mask = ids_and_mask()
    numbers, inside = ngram_buckets(ids, mask, 3, 31)
    for row in range(len(ids)):
        words = ids[row][mask[row]].tolist()
        expected = []
        for size in (2, 3):
            for start in range(len(words) - size + 1):
                key = words[start]
                for word in words[start + 1 : start + size]:
                    key = signed(key * MULTIPLIER + word)
                expected.append(int(bucket_of(torch.tensor(key), 31)))
        assert numbers[row][inside[row]].tolist() == expected


def test_it_is_the_mean_of_words_and_ngrams_and_a_linear_layer():
    network = shaken(built(ngrams=2))
    ids, mask = ids_and_mask()
    for row, logits in enumerate(network(ids, mask)):
        words = ids[row][mask[row]]
        vectors = [network.embedding.weight[word] for word in words]
        keys = [int(a) * MULTIPLIER + int(b) for a, b in pairwise(words)]
        vectors += [network.ngrams.weight[bucket_of(torch.tensor(key), 31)] for key in keys]
        mean = torch.stack(vectors).mean(0) if vectors else torch.zeros(5)
        assert torch.allclose(logits, network.linear(mean), atol=1e-6)


def test_order_counts_only_with_ngrams():
    ids, mask = torch.tensor([[3, 7, 11, 13]]), torch.ones(1, 4, dtype=torch.bool)
    turned = ids.flip(1)
    for ngrams, is_same in ((1, True), (2, False)):
        network = shaken(built(ngrams=ngrams))
        assert torch.allclose(network(ids, mask), network(turned, mask), atol=1e-6) is is_same


def test_a_text_is_answered_for_itself():
    for ngrams in (1, 2, 5):
        assert farthest_from_alone(shaken(built(ngrams=ngrams))) < 1e-6


def test_near_ids_are_spread_evenly_over_the_buckets():
    a, b = torch.meshgrid(torch.arange(2, 102), torch.arange(2, 102), indexing="ij")
    counts = np.bincount(bucket_of(a.flatten() * MULTIPLIER + b.flatten(), 1000).numpy(), minlength=1000)
    assert 8 <= counts.var() <= 12.5  # 10,000 in 1,000: a Poisson distribution of mean and variance 10


def test_buckets_grow_with_the_vocabulary_within_limits():
    assert num_buckets(TextShape(10), Options()) == 4096
    assert num_buckets(TextShape(1000), Options()) == 4096
    assert num_buckets(TextShape(10_000), Options()) == 65_536
    assert num_buckets(TextShape(10**6), Options()) == 262_144
    assert num_buckets(TextShape(1000), Options(buckets=7)) == 7
