"""What all output layers promise, and how each refuses what it cannot do."""

import numpy as np
import pytest
import torch

from deepen.core.errors import OptionError, ShapeError
from deepen.nn.dropout import drawing_for
from deepen.nn.output_layers import DRAWING, KINDS, UNTIED, OutputOptions, build
from deepen.ops.losses import IGNORED

WORDS, WIDTH, PLACES, ROWS = 53, 11, 7, 5
COUNTS = [int(1000 / (1 + (word * 17) % WORDS)) for word in range(WORDS)]
TIED = [kind for kind in KINDS if kind not in UNTIED]


def options_of(kind, **more):
    small = {"samples": 13} if kind in DRAWING else {"shortlist": 19} if kind == "shortlist" else {}
    return OutputOptions(kind=kind, **{**small, **more})


def built(kind, tied=None, seed=0, **more):
    torch.manual_seed(seed)
    layer = build(kind, WIDTH, COUNTS, options_of(kind, **more), tied)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "bias" in name:
                parameter.normal_()
    return layer


def data(seed=0):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(ROWS * PLACES, WIDTH, generator=draw)
    targets = torch.randint(0, WORDS, (ROWS * PLACES,), generator=draw)
    return hidden, targets, torch.arange(ROWS).repeat_interleave(PLACES)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_add_up_to_one_and_are_those_of_the_targets(kind):
    layer = built(kind)
    hidden, targets, _ = data()
    targets[3] = IGNORED
    with torch.no_grad():
        logs = layer.log_probabilities(hidden)
        found = layer.target_log_probabilities(hidden, targets)
    assert logs.shape == (ROWS * PLACES, WORDS) and layer.num_words == WORDS
    assert torch.allclose(logs.double().exp().sum(1), torch.ones(ROWS * PLACES, dtype=torch.float64), atol=1e-5)
    wanted = logs.gather(1, targets.clamp(min=0)[:, None]).squeeze(1).masked_fill(targets == IGNORED, 0)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert found[3] == 0


@pytest.mark.parametrize("kind", ["full", "class", "huffman", "shortlist"])
def test_the_loss_of_exact_kinds_is_what_evaluation_says(kind):
    layer = built(kind)
    hidden, targets, rows_of = data()
    loss = layer.loss_sum(hidden, targets, rows_of)
    assert loss.item() == pytest.approx(-layer.target_log_probabilities(hidden, targets).sum().item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["sampled", "importance"])
def test_with_all_words_drawn_the_loss_and_its_gradients_are_the_full_ones(kind):
    layer, full = built(kind, samples=WORDS), built("full")
    layer.full.load_state_dict(full.state_dict())
    hidden, targets, rows_of = data()
    targets[[2, 9]] = IGNORED
    losses = [each.loss_sum(hidden, targets, rows_of) for each in (layer, full)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    ours = torch.autograd.grad(losses[0], layer.parameters())
    for a, b in zip(ours, torch.autograd.grad(losses[1], full.parameters()), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_ignored_targets_count_for_nothing(kind):
    layer = built(kind)
    hidden, targets, rows_of = data()
    targets[PLACES - 2 : PLACES] = IGNORED
    padded = hidden.clone().requires_grad_()
    with drawing_for(0, 0, np.arange(ROWS), hidden.device):
        with_padding = layer.loss_sum(padded, targets, rows_of)
    kept = targets != IGNORED
    with drawing_for(0, 0, np.arange(ROWS), hidden.device):
        without = layer.loss_sum(hidden[kept], targets[kept], rows_of[kept])
    assert with_padding.item() == pytest.approx(without.item(), rel=1e-6)
    with_padding.backward()
    assert not padded.grad[~kept].any() and padded.grad[kept].any()
    assert layer.loss_sum(hidden, torch.full_like(targets, IGNORED), rows_of).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_rows_add_up_whatever_batch_they_stand_in(kind):
    """Each row draws for itself: five at once are two and then three, in another order of positions too."""
    layer = built(kind)
    hidden, targets, rows_of = data()

    def summed(rows, shuffle=False):
        where = torch.cat([torch.nonzero(rows_of == row).squeeze(1) for row in rows])
        order = torch.randperm(len(where)) if shuffle else slice(None)
        local = torch.arange(len(rows)).repeat_interleave(PLACES)[order]
        with drawing_for(3, 2, np.array(rows) + 100, hidden.device):
            return layer.loss_sum(hidden[where[order]], targets[where[order]], local).item()

    whole = summed(range(ROWS))
    assert summed([0, 1]) + summed([2, 3, 4]) == pytest.approx(whole, rel=1e-5)
    assert summed([4, 0, 2, 3, 1], shuffle=True) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("kind", DRAWING)
def test_a_last_row_without_positions_is_no_obstacle_where_the_rows_are_counted(kind):
    layer = built(kind)
    hidden, targets, rows_of = data()
    kept = rows_of < ROWS - 1
    with drawing_for(0, 0, np.arange(ROWS), hidden.device):
        found = layer.loss_sum(hidden[kept], targets[kept], rows_of[kept], ROWS)
    with drawing_for(0, 0, np.arange(ROWS - 1), hidden.device):
        wanted = layer.loss_sum(hidden[kept], targets[kept], rows_of[kept])
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    layer = built(kind)
    hidden, targets, rows_of = data()
    layer.loss_sum(hidden, targets, rows_of).backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_positions_has_no_loss(kind):
    layer = built(kind)
    none = torch.zeros(0, dtype=torch.int64)
    loss = layer.loss_sum(torch.zeros(0, WIDTH), none, none)
    assert loss.item() == 0
    loss.backward()
    assert layer.target_log_probabilities(torch.zeros(0, WIDTH), none).shape == (0,)


@pytest.mark.parametrize("kind", TIED)
def test_tied_weights_are_the_embedding_itself(kind):
    embedding = torch.nn.Embedding(WORDS, WIDTH)
    layer = built(kind, embedding.weight)
    hidden, targets, rows_of = data()
    before = layer.log_probabilities(hidden)
    layer.loss_sum(hidden, targets, rows_of).backward()
    assert embedding.weight.grad is not None and embedding.weight.grad.any()
    with torch.no_grad():
        embedding.weight.mul_(2)
    assert not torch.allclose(layer.log_probabilities(hidden), before)
    assert all(p is embedding.weight or p.numel() < WORDS * WIDTH for p in layer.parameters())
    with pytest.raises(ShapeError, match=r"\[53, 11\].*\[53, 5\]"):
        build(kind, WIDTH, COUNTS, options_of(kind), torch.nn.Embedding(WORDS, 5).weight)


@pytest.mark.parametrize("kind", UNTIED)
def test_a_tie_that_cannot_be_is_refused(kind):
    with pytest.raises(OptionError, match=f"'{kind}'.*tied"):
        build(kind, WIDTH, COUNTS, OutputOptions(kind=kind), torch.nn.Embedding(WORDS, WIDTH).weight)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("full", {"samples": 7}), ("nce", {"margin": 2.0}), ("class", {"shortlist": 5}), ("ranking", {"classes": 3})],
)
def test_an_option_that_the_kind_never_reads_is_refused(kind, more):
    with pytest.raises(OptionError, match=f"output.{next(iter(more))} {next(iter(more.values()))}.*'{kind}'"):
        build(kind, WIDTH, COUNTS, OutputOptions(kind=kind, **more))


@pytest.mark.parametrize("kind", KINDS)
def test_one_word_is_no_vocabulary(kind):
    with pytest.raises(ShapeError, match="has 1"):
        build(kind, WIDTH, [9], OutputOptions(kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_in_slices_is_evaluation_at_once(kind, monkeypatch):
    layer = built(kind)
    hidden, targets, _ = data()
    at_once = layer.target_log_probabilities(hidden, targets)
    monkeypatch.setattr("deepen.nn.output_full.MOST_SCORES", 3 * WORDS)
    assert torch.allclose(layer.target_log_probabilities(hidden, targets), at_once, atol=1e-6)
