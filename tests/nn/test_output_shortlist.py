import pytest
import torch

from deepen.nn.output_shortlist import ShortlistSoftmax

COUNTS = [2, 30, 6, 1, 20]  # by count: 1, 4, 2, 0, 3


def layer_of(shortlist, tied=None):
    torch.manual_seed(0)
    return ShortlistSoftmax(3, COUNTS, shortlist=shortlist, tied=tied)


def test_probabilities_by_hand():
    layer = layer_of(2)
    h = torch.randn(1, 3)
    short = torch.softmax(torch.cat([layer.short(h), layer.tail(h)], 1), 1)[0]
    wanted = [short[2] * 2 / 9, short[0], short[2] * 6 / 9, short[2] * 1 / 9, short[1]]
    assert layer.log_probabilities(h)[0].exp().tolist() == pytest.approx([p.item() for p in wanted], rel=1e-5)


def test_a_tail_that_is_given_replaces_the_counts():
    layer = layer_of(2)
    assert layer.tail_words.tolist() == [2, 0, 3]
    h = torch.randn(2, 3)
    tail = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    found = layer.log_probabilities(h, tail=tail)
    assert torch.allclose(found.exp().sum(1), torch.ones(2), atol=1e-6)
    assert (found[1, 3] - found[1, 2]).exp().item() == pytest.approx(8, rel=1e-4)
    targets = torch.tensor([0, 3])
    of_targets = torch.stack([tail[0, 1], tail[1, 2]])
    wanted = found[torch.arange(2), targets]
    assert torch.allclose(layer.target_log_probabilities(h, targets, tail=of_targets), wanted, atol=1e-6)
    loss = layer.loss_sum(h, targets, torch.arange(2), tail=of_targets)
    assert loss.item() == pytest.approx(-wanted.sum().item(), rel=1e-5)


def test_a_shortlist_that_holds_all_words_is_the_full_softmax():
    layer = layer_of(500)
    assert layer.tail is None and len(layer.tail_words) == 0
    h = torch.randn(2, 3)
    place_of = [3, 0, 2, 4, 1]
    assert torch.allclose(layer.log_probabilities(h), layer.short(h).log_softmax(1)[:, place_of], atol=1e-6)
    assert layer.loss_sum(h, torch.tensor([3, 1]), torch.arange(2)).item() > 0


def test_tied_words_have_the_rows_of_the_embedding():
    embedding = torch.nn.Embedding(5, 3)
    layer = layer_of(2, embedding.weight)
    h = torch.randn(1, 3)
    found = layer.log_probabilities(h)[0]
    assert (found[1] - found[4]).item() == pytest.approx(
        (h[0] @ (embedding.weight[1] - embedding.weight[4])).item(), rel=1e-4
    )
