import numpy as np
import pytest
import torch

from deepen.nn.dropout import drawing_for
from deepen.nn.output_sampled import NoiseWords, SampledOutput
from deepen.ops.losses import IGNORED

COUNTS = [400, 300, 150, 100, 30, 15, 4, 1]


def layer_of(kind, samples=5, **more):
    torch.manual_seed(0)
    return SampledOutput(kind, 3, COUNTS, samples=samples, noise="unigram", power=1.0, **more)


@pytest.mark.parametrize("kind", ["sampled", "importance", "nce"])
def test_the_loss_is_the_formula_position_by_position(kind):
    layer = layer_of(kind, log_partition=1.5 if kind == "nce" else 0.0)
    torch.manual_seed(1)
    hidden, targets = torch.randn(6, 3), torch.tensor([0, 1, 7, 2, IGNORED, 0])
    rows_of = torch.tensor([0, 0, 0, 1, 1, 1])
    with drawing_for(5, 2, np.array([11, 4]), hidden.device):
        drawn = layer.noise(2)
    with drawing_for(5, 2, np.array([11, 4]), hidden.device):
        found = layer.loss_sum(hidden, targets, rows_of)
    scores, log_q = layer.full.linear(hidden), torch.tensor(COUNTS).log() - torch.tensor(1000.0).log()
    total = torch.zeros(())
    for n, y in enumerate(targets.tolist()):
        if y == IGNORED:
            continue
        words = drawn[rows_of[n]]
        corrected = scores[n, words] - torch.log(5 * log_q[words].exp())
        if kind == "sampled":
            z = scores[n, y].exp() + corrected[words != y].exp().sum()
            total = total - (scores[n, y].exp() / z).log()
        elif kind == "importance":
            total = total - scores[n, y] + corrected.exp().sum().log()
        else:
            own = scores[n, y] - 1.5 - torch.log(5 * log_q[y].exp())
            total = total - torch.sigmoid(own).log() - (1 - torch.sigmoid(corrected - 1.5)).log().sum()
    assert found.item() == pytest.approx(total.item(), rel=1e-4)


def test_words_are_drawn_by_row_and_epoch_alone():
    noise = NoiseWords(list(range(1, 998)), 31, "unigram", 1.0)

    def draws(epoch, rows):
        with drawing_for(0, epoch, np.array(rows), torch.device("cpu")):
            return noise(len(rows))

    first = draws(0, [7, 3, 5])
    assert torch.equal(first[1], draws(0, [3])[0])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first, draws(1, [7, 3, 5]))


def test_more_draws_than_words_take_every_word_once():
    noise = NoiseWords([5, 1, 3], 500, "unigram", 1.0)
    assert noise(2).tolist() == [[0, 1, 2]] * 2 and not noise.log_expected.any()


@pytest.mark.parametrize(("kind", "within"), [("sampled", 0.01), ("importance", 0.01), ("nce", 0.03)])
def test_learning_from_draws_finds_the_distribution_of_the_words(kind, within):
    """With one hidden state there is nothing to learn but how often each word occurs; by total variation."""
    layer = layer_of(kind)
    true = torch.tensor(COUNTS) / 1000
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    hidden = torch.ones(64 * 8, 3)
    rows_of = torch.arange(64).repeat_interleave(8)
    draw = torch.Generator().manual_seed(0)
    mean = torch.zeros(8)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 400)
        targets = torch.multinomial(true, 64 * 8, replacement=True, generator=draw)
        optimizer.zero_grad()
        with drawing_for(0, step, np.arange(64), hidden.device):
            (layer.loss_sum(hidden, targets, rows_of) / len(targets)).backward()
        optimizer.step()
        if step >= 300:
            mean += layer.log_probabilities(hidden[:1])[0].detach().exp() / 100
    assert (mean - true).abs().sum() / 2 < within
    if kind == "nce":  # its scores are nearly normalized without being made so
        assert layer.full.linear(hidden[:1]).exp().sum().item() == pytest.approx(1, abs=0.1)
