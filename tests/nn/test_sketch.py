"""A network without memory has the names and shapes of the one with it, and costs no draw."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepen.core import names
from deepen.models import lenet, recurrent_classifier, textcnn, transformer_classifier
from deepen.nn.shapes import ImageShape, TextShape
from deepen.nn.sketch import sketched

BUILDS = {
    "lenet": lambda: lenet.build("lenet", ImageShape(1, 29, 31), 7),
    "textcnn": lambda: textcnn.build("textcnn", TextShape(113, 23), 7),
    "text-rnn": lambda: recurrent_classifier.build("text-rnn", TextShape(113, 23), 7),
    "transformer-encoder": lambda: transformer_classifier.build("transformer-encoder", TextShape(113, 23), 7),
}


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name", BUILDS)
def test_the_same_names_and_shapes_and_no_draw(name: str) -> None:
    assert name in names.models()
    state = torch.get_rng_state()
    with sketched():
        sketch = BUILDS[name]()
    assert torch.equal(torch.get_rng_state(), state)
    assert {tensor.device.type for tensor in sketch.parameters()} == {"meta"}
    assert shapes(sketch) == shapes(BUILDS[name]())


def test_what_has_memory_is_filled_all_the_same() -> None:
    with sketched():
        found = torch.zeros(1009, device="cpu")
        assert nn.init.normal_(found) is found and nn.init.uniform_(found[:3], 5.0, 6.0).min() >= 5
    assert 0.9 < float(found[3:].std()) < 1.1
    assert nn.init.normal_(torch.zeros(101)).any()
