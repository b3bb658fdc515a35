"""Recurrent layers written as operators of ONNX against the layers themselves, at other sizes than the traced ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepen.engine.task import Exported
from deepen.export.graph import onnx_model, traced
from deepen.nn import onnx_operators
from deepen.nn.recurrent import Recurrent
from deepen.runtime import engines

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


class Layers(nn.Module):
    """All kinds at once, so that one trace does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Recurrent(kind, 5, 7, bidirectional=kind == "lstm")  # type: ignore[arg-type]
            for kind in ("rnn", "gru", "lstm")
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        found = []
        for layer in self.layers:
            out, state = layer(x, mask.sum(1))
            found += [out.sum(1), *(each.flatten(1) for each in state)]
        return torch.cat(found, 1)


def test_every_kind_at_every_size() -> None:
    torch.manual_seed(0)
    network = Layers().eval()
    x, mask = torch.randn(2, 4, 5), torch.arange(4) < torch.tensor([[4], [2]])
    free = {name: {0: "batch", 1: "length"} for name in ("x", "mask")}
    exported = Exported(network, {"x": x, "mask": mask}, free, {}, {}, lambda model, batch: x)
    found = traced(exported, place="layers", for_onnx=True)
    assert found.sizes == {"batch": (1, None), "length": (1, None)}
    engine = engines.opened(onnx_model(found, exported, place="layers"), place="layers", engine="onnxruntime")
    assert not onnx_operators.are_wanted()
    for batch, length in ((1, 1), (3, 11), (5, 2)):
        x = torch.randn(batch, length, 5)
        mask = torch.arange(length) < torch.randint(0, length + 1, (batch, 1))
        with torch.inference_mode():
            own = network(x, mask).numpy()
        assert np.abs(engine.run([x.numpy(), mask.numpy()]) - own).max() < 1e-5
