"""An engine in a process of its own."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.runtime.trial import tried
from tests.runtime.files import BIAS, WEIGHTS, graph

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_outputs_and_times_come_back() -> None:
    numbers = np.random.default_rng(1).normal(size=(5, 2))
    found = tried("onnxruntime", graph(), {"numbers": numbers}, threads=1)
    assert found is not None
    assert np.allclose(found.outputs, numbers.astype(np.float32) @ WEIGHTS + BIAS, atol=1e-6)
    assert set(found.milliseconds) == {"1", "32"} and min(found.milliseconds.values()) > 0


def test_one_that_fails_gives_nothing() -> None:
    def change(model) -> None:
        model.graph.node[1].op_type = "Nothing"

    assert tried("onnxruntime", graph(change=change), {"numbers": np.zeros((1, 2))}, threads=1) is None
    assert tried("onnxruntime", graph(), {"letters": np.zeros((1, 2))}, threads=1) is None  # a crash, to the caller
