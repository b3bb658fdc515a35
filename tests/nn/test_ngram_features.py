import itertools
import math
from collections import defaultdict

import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.nn.ngram_features import FeaturedNetwork, FeaturedOutput, NGramFeatures

WORDS, ORDER = 7, 3


def test_with_a_table_without_collisions_the_weights_are_those_of_a_dictionary():
    features = NGramFeatures(WORDS, ORDER, size=1_000_003)
    draw = torch.Generator().manual_seed(0)
    contexts = torch.randint(0, WORDS, (211, ORDER), generator=draw)
    contexts[::5, 0] = -1
    contexts[::10, :2] = -1
    slots = features.slots(contexts)
    held: dict[tuple, int] = {}
    for context, row in zip(contexts.tolist(), slots.tolist(), strict=True):
        for length in range(1, ORDER + 1):
            gram = tuple(context[-length:])
            if -1 in gram:
                assert row[length - 1] == -1
            else:
                assert held.setdefault(gram, row[length - 1]) == row[length - 1]
    begins = sorted(held.values())
    assert all(b - a >= WORDS for a, b in itertools.pairwise(begins))  # no stretch meets another
    with torch.no_grad():
        features.weight.copy_(torch.randn(len(features.weight), generator=draw))
    weights = defaultdict(dict)
    for gram, slot in held.items():
        for word in range(WORDS):
            weights[gram][word] = float(features.weight.detach()[(slot + word) % len(features.weight)])
    found = features(contexts)
    for context, row in zip(contexts.tolist(), found.tolist(), strict=True):
        grams = [tuple(context[-length:]) for length in range(1, ORDER + 1)]
        expected = [sum(weights[g][w] for g in grams if -1 not in g) for w in range(WORDS)]
        assert row == pytest.approx(expected, abs=1e-5)


def test_only_the_weights_of_features_that_are_there_get_a_gradient():
    features = NGramFeatures(WORDS, 2, size=10_007)
    contexts = torch.tensor([[-1, 3], [5, 3]])
    features(contexts)[:, 4].sum().backward()
    slots = features.slots(contexts)
    expected = {int(slots[0, 0]) + 4: 2.0, int(slots[1, 1]) + 4: 1.0}
    assert slots[0, 1] == -1 and slots[0, 0] == slots[1, 0]
    rows = features.weight.grad.nonzero()[:, 0].tolist()
    assert {row: float(features.weight.grad[row]) for row in rows} == expected


def test_a_table_smaller_than_the_vocabulary_is_refused():
    with pytest.raises(OptionError, match="vocabulary of 7, but they are 3 and 5"):
        NGramFeatures(WORDS, 3, size=5)


class Small(nn.Module):
    """A network with a state, as language models have it."""

    window = None

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 5)
        self.cell = nn.GRU(5, 5, batch_first=True)

    def forward(self, ids, state):
        out, after = self.cell(self.embedding(ids), None if state is None else state[0].transpose(0, 1))
        return out, (after.transpose(0, 1),)

    def initial_state(self, batch_size, device):
        return (torch.zeros(batch_size, 1, 5, device=device),)


def test_the_last_ids_travel_behind_the_hidden_states():
    network = FeaturedNetwork(Small(), WORDS, ORDER)
    ids = torch.randint(0, WORDS, (2, 13), generator=torch.Generator().manual_seed(1))
    whole, _ = network(ids, None)
    assert whole.shape == (2, 13, 5 + ORDER)
    assert whole[1, 4, 5:].tolist() == ids[1, 2:5].tolist()
    assert whole[0, 0, 5:].tolist() == [-1, -1, ids[0, 0]]
    state = network.initial_state(2, ids.device)
    first, state = network(ids[:, :4], state)
    second, _ = network(ids[:, 4:], state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)


def test_what_only_n_grams_tell_is_learned_by_the_features():
    """The network sees nothing but zeros; the next word follows from the last two."""
    draw = torch.Generator().manual_seed(0)
    ids = [0, 1]
    for _ in range(400):
        ids.append((2 * ids[-1] + 3 * ids[-2] + 1) % WORDS if torch.rand((), generator=draw) < 0.9 else 2)
    text = torch.tensor(ids)
    contexts = text.unfold(0, 2, 1)[:-1]
    hidden = torch.cat([torch.zeros(len(contexts), 5), contexts.float()], 1)
    targets = text[2:]
    output = FeaturedOutput(5, WORDS, 2, size=4096)
    parameters = list(output.parameters())
    for _ in range(200):
        loss = output.loss_sum(hidden, targets, torch.arange(len(targets)))
        gradients = torch.autograd.grad(loss / len(targets), parameters)
        with torch.no_grad():
            for each, gradient in zip(parameters, gradients, strict=True):
                each -= 5 * gradient
    with torch.no_grad():
        nats = -output.target_log_probabilities(hidden, targets).mean()
        logs = output.log_probabilities(hidden)
    assert float(nats) < 0.6 < 0.4 * math.log(WORDS)
    assert torch.allclose(logs.exp().sum(1), torch.ones(len(logs)), atol=1e-5)
    assert torch.allclose(logs.gather(1, targets[:, None])[:, 0].mean(), -nats, atol=1e-5)


def test_ids_survive_a_network_in_bfloat16():
    class Small(torch.nn.Module):
        def forward(self, ids, state):
            return torch.zeros(*ids.shape, 2, dtype=torch.bfloat16), ()

        def initial_state(self, batch_size, device):
            return ()

    ids = torch.tensor([[33_277, 20_001, 257]])
    hidden, _ = FeaturedNetwork(Small(), 40_000, 1)(ids)
    assert hidden[0, :, 2].tolist() == [33_277, 20_001, 257]
