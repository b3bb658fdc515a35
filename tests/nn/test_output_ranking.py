import pytest
import torch

from deepen.nn.output_ranking import RankingOutput


def layer_of(samples=500, margin=1.0):
    torch.manual_seed(0)
    return RankingOutput(3, [5, 4, 3, 2, 1], samples=samples, noise="uniform", power=1.0, margin=margin)


def test_with_all_words_it_is_the_mean_hinge_over_the_dictionary():
    layer = layer_of(margin=0.7)
    hidden, targets = torch.randn(2, 3), torch.tensor([4, 1])
    s = layer.full.linear(hidden)
    wanted = sum(
        max(0.0, 0.7 - s[n, y].item() + s[n, w].item()) / 5 for n, y in enumerate((4, 1)) for w in range(5) if w != y
    )
    assert layer.loss_sum(hidden, targets, torch.arange(2)).item() == pytest.approx(wanted, rel=1e-5)


def test_it_learns_to_put_the_target_first():
    layer = layer_of(samples=3)
    hidden, targets = torch.eye(3).repeat(5, 1), torch.tensor([4, 0, 2]).repeat(5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        layer.loss_sum(hidden, targets, torch.arange(5).repeat_interleave(3)).backward()
        optimizer.step()
    assert torch.equal(layer.log_probabilities(hidden[:3]).argmax(1), targets[:3])
