"""Words from characters against the loop over windows, and under padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.nn.character_cnn import CharacterCNN, Highway
from deepen.nn.dropout import drawing_for

B, T, C, E, FILTERS = 2, 3, 7, 5, 11


def words(seed=0):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 13, (B, T, C), generator=draw)
    lengths = torch.tensor([[7, 1, 0], [2, 5, 0]])
    return ids.masked_fill(torch.arange(C) >= lengths[..., None], 0), lengths


@pytest.mark.parametrize("widths", [(3,), (1, 2, 4)])
def test_it_is_the_loop_over_windows(widths):
    torch.manual_seed(1)
    net, (ids, lengths) = CharacterCNN(13, E, FILTERS, widths), words()
    out = net(ids)
    assert out.shape == (B, T, FILTERS * len(widths))
    for b in range(B):
        for t in range(T):
            word = net.embedding(ids[b, t, : lengths[b, t]])
            found = []
            for layer, width in zip(net.convolutions, widths, strict=True):
                left, right = torch.zeros((width - 1) // 2, E), torch.zeros(width // 2, E)
                wide = torch.cat([left, word, right])
                windows = [wide[i : i + width] for i in range(len(word))]
                answers = [torch.tanh((layer.weight * w.T).sum((1, 2)) + layer.bias) for w in windows]
                found.append(torch.stack(answers).amax(0) if answers else torch.zeros(FILTERS))
            assert torch.allclose(out[b, t], torch.cat(found), atol=1e-6)


def test_neither_more_characters_nor_more_words_change_answers_and_gradients():
    torch.manual_seed(2)
    net, (ids, _) = CharacterCNN(13, E, FILTERS, (2, 3), highway=2), words()
    found = []
    for padded in (ids, torch.nn.functional.pad(ids, (0, 5, 0, 2))):
        net.zero_grad()
        out = net(padded)
        assert not out[:, T:].any() and not out[:, 2].any()
        out.pow(2).sum().backward()
        found.append([out[:, :T].detach(), *(p.grad.clone() for p in net.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert not net.embedding.weight.grad[0].any()


def test_what_a_word_suffers_depends_on_neither_neighbours_nor_padding():
    torch.manual_seed(3)
    net, (ids, _) = CharacterCNN(13, E, FILTERS, dropout=0.5).train(), words()

    def run(rows, padded):
        with drawing_for(1, 2, np.array(rows), torch.device("cpu")):
            return net(padded)

    whole = run([8, 3], ids)
    part = run([3], torch.nn.functional.pad(ids[1:, :2, :5], (0, 9)))
    assert torch.allclose(part, whole[1:, :2], atol=1e-6) and not torch.allclose(whole, net.eval()(ids))


def test_a_highway_begins_near_its_input():
    torch.manual_seed(4)
    layer, x = Highway(E), torch.randn(B, E)
    gate = torch.sigmoid(x @ layer.gate.weight.T - 2)
    expected = gate * torch.relu(x @ layer.transform.weight.T) + (1 - gate) * x
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert layer.gate(torch.zeros(1, E))[0].tolist() == [-2.0] * E  # 12 % of the way
