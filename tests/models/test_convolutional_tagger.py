import pytest
import torch

from deepen.core.errors import OptionError
from deepen.models.convolutional_tagger import PAPER, Options, build
from deepen.nn.shapes import TextShape

NAME = "textcnn-tagger"
SHAPE = TextShape(37, characters=23)
SMALL = Options(width=11, hidden=13, filters=3)


def inputs(lengths=(23, 3, 0), longest=23):
    draw = torch.Generator().manual_seed(0)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    ids = torch.randint(2, 37, mask.shape, generator=draw).masked_fill(~mask, 0)
    return ids, mask, torch.randint(1, 23, (*mask.shape, 5), generator=draw).masked_fill(~mask[..., None], 0)


def test_parameters_are_the_derivation():
    net = build(NAME, TextShape(*PAPER[NAME].inputs), PAPER[NAME].outputs)
    assert sum(p.numel() for p in net.parameters()) == PAPER[NAME].parameters


def test_it_is_the_formula_place_by_place():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, SMALL).eval()
    ids, mask, characters = inputs()
    with torch.no_grad():
        found = net(ids, mask, characters)
        for row, length in ((0, 23), (1, 3)):
            x = torch.cat([net.embedding(ids[row]), net.characters(characters[row][None])[0]], 1)[:length]
            h = torch.relu(x @ net.hidden.weight.T + net.hidden.bias)
            for layer, distance in zip(net.convolutions, (1, 2, 4, 1), strict=True):
                new = []
                for t in range(length):
                    total = layer.bias.clone()
                    for j in range(3):
                        if 0 <= (place := t + (j - 1) * distance) < length:
                            total += layer.weight[:, :, j] @ h[place]
                    new.append(h[t] + torch.relu(total))
                h = torch.stack(new)
            assert torch.allclose(found[row, :length], h @ net.linear.weight.T + net.linear.bias, atol=1e-4)


def test_a_tag_sees_eight_words_to_each_side():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, SMALL).eval()
    ids, mask, characters = inputs()
    changed = ids.clone()
    changed[0, 11] = 2 + (ids[0, 11] - 1) % 35
    with torch.no_grad():
        differs = (net(ids, mask, characters) != net(changed, mask, characters)).any(2)[0]
    assert torch.equal(torch.nonzero(differs).flatten(), torch.arange(3, 20))


def test_what_stands_behind_the_end_changes_nothing():
    torch.manual_seed(0)
    net = build(NAME, SHAPE, 5, SMALL).eval()
    ids, mask, characters = inputs()
    junk = [torch.where(mask.view(*mask.shape, *[1] * (part.dim() - 2)), part, 7) for part in (ids, characters)]
    with torch.no_grad():
        found, again = net(ids, mask, characters), net(junk[0], mask, junk[1])
    assert torch.equal(found[mask], again[mask])


def test_a_chain_is_an_option():
    assert build(NAME, SHAPE, 5, SMALL).crf is None
    assert build(NAME, SHAPE, 5, Options(crf=True)).crf.num_tags == 5


def test_an_even_window_is_refused():
    with pytest.raises(OptionError, match="is 4; take 5"):
        build(NAME, SHAPE, 5, Options(window=4))
