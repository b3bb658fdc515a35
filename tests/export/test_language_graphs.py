"""Language models as ONNX: every kind of network and output layer, read call by call, against the run's own reading."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from deepen.engine.task import Exported
from deepen.export import graph
from deepen.nn.language_graph import LanguageGraph
from deepen.nn.next_token import surprise
from deepen.runtime import prepare_stream
from deepen.runtime.engines import OnnxRuntime
from deepen.runtime.onnx_file import refuse_harm
from deepen.runtime.prepare_stream import Calls
from tests.nn.language_networks import WINDOW, V, ids, network

QUICK = [
    ("gru", {"kind": "shortlist", "pairs": True}),
    ("transformer-decoder", {"features": 3}),
]
LONG = [
    ("lstm", {"kind": kind}) for kind in ("full", "class", "adaptive", "huffman", "sampled", "ranking", "shortlist")
]
LONG += [("neural-ngram", {}), ("neural-ngram", {"features": 2}), ("transformer-decoder", {}), ("rnn", {"kind": "nce"})]
CONTEXT = 6


@pytest.mark.parametrize(
    ("name", "layer"), [*QUICK, *(pytest.param(*each, marks=pytest.mark.torture) for each in LONG)]
)
def test_a_text_read_in_calls_is_the_text(name: str, layer: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_stream, "MOST_POSITIONS", 35)  # calls of seven places
    model = network(name, **layer)
    made = LanguageGraph(model).eval()
    given = Exported(made, made.examples(), made.free(), {}, {}, lambda model, batch: torch.zeros(0), made.most())
    traced = graph.traced(given, place="run", for_onnx=True)
    assert traced.sizes["length"] == (1, WINDOW if made.window is not None else None)
    content = graph.onnx_model(traced, given, place="run")
    refuse_harm("run.onnx", content)
    engine = OnnxRuntime(content, "run.onnx", 1)
    arrays = {
        "ids": ids(5, 31).numpy(),
        "targets": ids(5, 31, 1).numpy(),
        "first": np.array([3, 0, 0, 7, 30]),
        "length": np.array([31, 30, 1, 31, 31]),
    }
    calls = Calls({**made.description(), "context": CONTEXT})
    found = calls.outputs(lambda inputs: engine.run([inputs[each] for each in engine.inputs]), arrays)
    tensors = (torch.from_numpy(arrays[each]) for each in ("ids", "targets", "first", "length"))
    with torch.no_grad():
        own = -surprise(model, *tensors, context=CONTEXT).numpy()
    np.testing.assert_allclose(found, own, atol=2e-5)
    assert np.exp(own[~np.isnan(own)]).std() > 0.5 / V  # answers that differ
