import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.transformer_tagger import PAPER, Options, build
from deepen.nn.shapes import TextShape

NAME = "transformer-tagger"
SHAPE = TextShape(37, characters=23)
SMALL = Options(width=12, heads=3, feed_forward=17, filters=5)


def inputs(longest=7):
    draw = torch.Generator().manual_seed(0)
    mask = torch.arange(longest) < torch.tensor([[7], [3], [0]])
    ids = torch.randint(2, 37, mask.shape, generator=draw).masked_fill(~mask, 0)
    return ids, mask, torch.randint(1, 23, (*mask.shape, 5), generator=draw).masked_fill(~mask[..., None], 0)


def test_parameters_are_the_derivation():
    net = build(NAME, TextShape(*PAPER[NAME].inputs), PAPER[NAME].outputs)
    assert sum(p.numel() for p in net.parameters()) == PAPER[NAME].parameters


def test_rows_are_answered_as_if_they_stood_alone():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, SMALL).eval()
    ids, mask, characters = inputs()
    with torch.no_grad():
        found = net(ids, mask, characters)
        for row, length in ((0, 7), (1, 3)):
            alone = net(ids[row : row + 1, :length], mask[row : row + 1, :length], characters[row : row + 1, :length])
            assert torch.allclose(found[row, :length], alone[0], atol=1e-5)
    assert torch.isfinite(found).all()


def test_the_order_of_words_counts():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, SMALL).eval()
    ids, mask, characters = inputs()
    order = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    with torch.no_grad():
        found = net(ids[:1], mask[:1], characters[:1])
        turned = net(ids[:1, order], mask[:1], characters[:1, order])
    assert not torch.allclose(found[:, order], turned, atol=1e-4)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, Options(width=12, heads=3, dropout=0.0, crf=True))
    ids, mask, characters = inputs()
    net.crf.loss(net(ids, mask, characters), torch.ones_like(ids), mask).sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    # a bias of all keys shifts all scores of a query alike, so its gradient is 0 but for rounding
    assert all(name.endswith("attention.key.bias") for name in without)


@pytest.mark.parametrize(("width", "heads", "take"), [(10, 3, 12), (100, 8, 112)])
def test_heads_that_leave_no_pairs_are_refused(width, heads, take):
    with pytest.raises(OptionError, match=f"is {width}; take {take}"):
        build(NAME, SHAPE, 5, Options(width=width, heads=heads))
