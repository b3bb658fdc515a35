import math

import pytest
import torch

from deepen.ops.losses import IGNORED
from deepen.ops.sampling import (
    drawn_words,
    importance_sum,
    noise_contrastive_sum,
    noise_log_probabilities,
    ranking_sum,
    sampled_softmax_sum,
)


def test_noise_by_hand():
    assert noise_log_probabilities([6, 0, 3], "unigram").exp().tolist() == pytest.approx([0.6, 0.1, 0.3])
    assert noise_log_probabilities([16, 1], "unigram", power=0.75).exp().tolist() == pytest.approx([8 / 9, 1 / 9])
    assert noise_log_probabilities([6, 0, 3], "uniform").exp().tolist() == pytest.approx([1 / 3] * 3)
    ranks = [math.log(2) / math.log(4), math.log(4 / 3) / math.log(4), math.log(3 / 2) / math.log(4)]
    assert noise_log_probabilities([6, 0, 3], "log-uniform").exp().tolist() == pytest.approx(ranks)


@pytest.mark.parametrize("kind", ["unigram", "log-uniform", "uniform"])
def test_noise_adds_up_to_one(kind):
    assert noise_log_probabilities(list(range(997)), kind).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_words_are_drawn_as_often_as_the_noise_says_and_never_far_from_it():
    counts = [500, 3, 0, 41, 7, 7, 100, 1, 1, 19]
    q = noise_log_probabilities(counts, "unigram").exp()
    u = torch.rand(20_011, 29, generator=torch.Generator().manual_seed(0))
    drawn = drawn_words(q.cumsum(0), u)
    found = torch.stack([(drawn == word).sum(1) for word in range(10)], 1).double()
    expected = 29 * q
    assert torch.allclose(found.mean(0), expected, atol=0.02)  # 5 deviations of the mean are below 0.018
    assert ((found - expected).abs() <= 2).all()  # draws from the whole would stray by 5 and more


def test_a_draw_at_the_edge_is_a_word():
    cumulative = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
    edges = torch.tensor([[0.0], [0.25], [1 - 2**-24]])
    assert drawn_words(cumulative, edges).tolist() == [[0], [1], [2]]


def scores(seed=0, rows=3, places=5, words=13):
    draw = torch.Generator().manual_seed(seed)
    every = torch.randn(rows, places, words, generator=draw, requires_grad=True)
    targets = torch.randint(0, words, (rows, places), generator=draw)
    targets[1, 2:] = IGNORED
    return every, targets, targets.clamp(min=0)


def test_with_every_word_drawn_once_the_sampled_losses_are_the_full_softmax():
    every, targets, known = scores()
    target_scores = every.gather(2, known[:, :, None]).squeeze(2)
    drawn = torch.arange(13).expand(3, -1)
    full = torch.nn.functional.cross_entropy(every.flatten(0, 1), targets.flatten(), reduction="sum")
    wanted = torch.autograd.grad(full, every, retain_graph=True)[0]
    for found in (
        sampled_softmax_sum(target_scores, every, targets, drawn),
        importance_sum(target_scores, every, targets),
    ):
        assert found.item() == pytest.approx(full.item(), rel=1e-6)
        assert torch.allclose(torch.autograd.grad(found, every, retain_graph=True)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("loss", ["sampled", "importance"])
def test_the_gradient_of_a_sampled_softmax_is_near_the_full_one_in_expectation(loss):
    """The mean gradient over 4001 draws of 11 of 31 words; both estimates are biased by the order of 1 / k."""
    draw = torch.Generator().manual_seed(1)
    every = torch.randn(1, 1, 31, generator=draw, dtype=torch.float64).requires_grad_()
    targets = torch.tensor([[4]])
    counts = torch.randint(1, 50, (31,), generator=draw).tolist()
    log_q = noise_log_probabilities(counts, "unigram")
    drawn = drawn_words(log_q.exp().cumsum(0), torch.rand(4001, 11, generator=draw))
    rows = every.expand(4001, 1, -1)
    corrected = (rows.squeeze(1).gather(1, drawn) - math.log(11) - log_q[drawn])[:, None]
    target_scores, many = rows[:, :, 4], targets.expand(4001, 1)
    if loss == "sampled":
        found = sampled_softmax_sum(target_scores, corrected, many, drawn)
    else:
        found = importance_sum(target_scores, corrected, many)
    gradient = torch.autograd.grad(found / 4001, every)[0].flatten()
    full = torch.softmax(every.detach().flatten(), 0) - torch.nn.functional.one_hot(torch.tensor(4), 31)
    assert (gradient - full).norm() < 0.06 * full.norm()
    without = torch.softmax(log_q, 0) - torch.nn.functional.one_hot(torch.tensor(4), 31)  # what ignores the scores
    assert (without - full).norm() > 0.15 * full.norm()


def test_the_mean_of_the_estimated_normalizer_is_the_normalizer():
    draw = torch.Generator().manual_seed(2)
    every = torch.randn(31, generator=draw, dtype=torch.float64)
    log_q = noise_log_probabilities(torch.randint(1, 50, (31,), generator=draw).tolist(), "unigram")
    drawn = drawn_words(log_q.exp().cumsum(0), torch.rand(20_011, 5, generator=draw))
    corrected = every[drawn] - math.log(5) - log_q[drawn]
    z = every[4].exp() + corrected.exp().masked_fill(drawn == 4, 0).sum(1)
    assert z.mean().item() == pytest.approx(every.exp().sum().item(), rel=0.01)


def test_telling_from_noise_recovers_a_distribution_and_its_normalizer():
    """Trained against noise it has never seen the like of, exp(score) is the probability itself: ln Z is 0."""
    true = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)
    log_q = noise_log_probabilities([1, 2, 3, 4, 5], "unigram")
    k = 7
    learned = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([learned], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12)
    words = torch.arange(5)

    def loss():
        optimizer.zero_grad()
        d = learned - math.log(k) - log_q
        nothing = d.new_zeros(1, 1, 0)
        found = sum(true[w] * noise_contrastive_sum(d[w].view(1, 1), nothing, words[w].view(1, 1)) for w in range(5))
        ignored = torch.full((1, 1), IGNORED)
        assert noise_contrastive_sum(d[:1].view(1, 1), d.view(1, 1, 5), ignored).item() == 0
        found = found + k * (log_q.exp() * torch.nn.functional.softplus(d)).sum()  # the mean over k draws of noise
        found.backward()
        return found

    optimizer.step(loss)
    assert torch.allclose(learned.detach().exp(), true, atol=1e-5)


def test_noise_contrast_by_hand():
    found = noise_contrastive_sum(torch.tensor([[2.0]]), torch.tensor([[[0.5, -1.0]]]), torch.tensor([[0]]))
    by_hand = -math.log(1 / (1 + math.exp(-2))) - math.log(1 - 1 / (1 + math.exp(-0.5)))
    assert found.item() == pytest.approx(by_hand - math.log(1 - 1 / (1 + math.exp(1))), rel=1e-6)


def test_ranking_by_hand():
    # margin 1: 1 - 2 + 1.5 = 0.5; 1 - 2 - 1 < 0; the third word is the target itself; the second position is ignored
    found = ranking_sum(
        torch.tensor([[2.0, 9.0]]),
        torch.tensor([[[1.5, -1.0, 2.0], [50.0, 50.0, 50.0]]]),
        torch.tensor([[6, IGNORED]]),
        torch.tensor([[3, 5, 6]]),
        margin=1.0,
    )
    assert found.item() == pytest.approx(0.5 / 3)
