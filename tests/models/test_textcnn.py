from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from deepen.core.errors import OptionError
from deepen.models.textcnn import Options, build
from deepen.nn.shapes import TextShape
from tests.models.text_networks import VOCABULARY, farthest_from_alone, ids_and_mask, shaken

SHAPE = TextShape(VOCABULARY)
SMALL = {"width": 5, "filters": 7, "windows": (2, 3, 11)}


def built(**options):
    torch.manual_seed(0)
    return build("textcnn", SHAPE, 3, Options(**(SMALL | options)))


def test_it_is_a_loop_over_windows_and_filters():
    network = shaken(built())
    ids, mask = ids_and_mask()
    for row, logits in enumerate(network(ids, mask)):
        words = network.embedding(ids[row][mask[row]])  # [n, D]
        largest = []
        for convolution in network.convolutions:
            window = convolution.kernel_size[0]
            padded = F.pad(words, (0, 0, window - 1, window - 1))
            answers = [
                (convolution.weight * padded[start : start + window].T).sum((1, 2)) + convolution.bias
                for start in range(len(words) + window - 1 if len(words) else 0)
            ]
            largest.append(torch.stack(answers).relu().amax(0) if answers else torch.zeros(7))
        assert torch.allclose(logits, network.linear(torch.cat(largest)), atol=1e-5)


def test_a_text_is_answered_for_itself_however_wide_the_windows():
    assert farthest_from_alone(shaken(built())) < 1e-5
    assert farthest_from_alone(shaken(built(multichannel=True))) < 1e-5


def test_two_channels_add_up_what_each_filter_answers_on_both():
    network = shaken(built(multichannel=True))
    assert not network.fixed_embedding.weight.requires_grad
    ids, mask = ids_and_mask((5, 5))
    x, y = (table(ids).mT for table in (network.embedding, network.fixed_embedding))
    largest = [
        (F.conv1d(x, c.weight, padding=c.padding) + F.conv1d(y, c.weight, c.bias, padding=c.padding)).relu().amax(2)
        for c in network.convolutions
    ]
    assert torch.allclose(network(ids, mask), network.linear(torch.cat(largest, 1)), atol=1e-5)


def test_both_channels_start_alike():
    network = built(multichannel=True)
    assert torch.equal(network.embedding.weight, network.fixed_embedding.weight)


def test_no_window_at_all_is_refused():
    with pytest.raises(OptionError, match=r"windows .* is \(\)"):
        built(windows=())
