"""Text classifiers in whole numbers as files: every engine answers as PyTorch does."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from deepen.compress import quantize
from deepen.engine.task import Exported
from deepen.export import graph
from deepen.nn.shapes import TextShape
from deepen.prepare import text_graph
from deepen.runtime import engines

WORDS, CLASSES = 101, 3


@pytest.mark.parametrize(
    ("module", "model", "sizes"),
    [
        ("textcnn", "textcnn", {}),
        ("dpcnn", "dpcnn", {"width": 23, "maps": 29, "blocks": 4}),
        ("recurrent_classifier", "bilstm-attention", {}),
        ("transformer_classifier", "transformer-encoder", {}),
    ],
)
def test_whole_numbers_answer_alike_in_every_engine(module: str, model: str, sizes: dict[str, int]) -> None:
    """Probabilities of texts of 1 to 37 words, on weights that make answers differ."""
    torch.manual_seed(3)
    built: Any = importlib.import_module(f"deepen.models.{module}")
    network = built.build(model, TextShape(WORDS), CLASSES, built.Options(**sizes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) / 7)
    texts = {longest: made_up(longest) for longest in (13, 1, 2, 3, 19, 37)}
    given = [torch.from_numpy(each) for each in texts[13]]

    def call(each: torch.nn.Module) -> object:
        return each(*given)

    kinds = quantize.layers_of(network, call)
    seen = quantize.calibrated(network, kinds, [call], (call, call))
    quantize.quantize(network, quantize.specs(kinds, seen, "int8"), seen)
    exported = Exported(
        network=text_graph.TextGraph(network, lambda outputs: outputs).eval(),
        inputs=text_graph.examples([("ids", "mask")], WORDS, 13),
        free=text_graph.free([("ids", "mask")]),
        most=text_graph.most([("ids", "mask")], network),
        preparation={},
        answer={},
        outputs=lambda model, batch: torch.zeros(0),
    )
    program = graph.traced(exported, place="run", for_onnx=True)
    content = graph.onnx_model(program, exported, place="run")
    for name in (each for each in engines.NAMES if importlib.util.find_spec(each)):
        file = engines.opened(content, place="run", engine=name, threads=1)
        apart = []
        for ids, mask in texts.values():
            with torch.inference_mode():
                expected = network(torch.from_numpy(ids), torch.from_numpy(mask)).softmax(1).numpy()
            arrays = {"ids": ids, "mask": mask}
            found = torch.from_numpy(file.run([arrays[each] for each in file.inputs])).softmax(1).numpy()
            apart.append(np.abs(found - expected))
        # a number at a half may be rounded either way, which moves a few texts; sums that are cut move all of them
        assert np.concatenate(apart).mean() < 1e-3, (name, apart)
        assert np.concatenate(apart).max() < 2e-2, (name, apart)


def made_up(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask of five texts."""
    draw = np.random.default_rng(longest)
    ids, lengths = draw.integers(2, WORDS, (5, longest)), draw.integers(1, longest + 1, 5)
    lengths[3] = longest
    mask = np.arange(longest) < lengths[:, None]
    ids[~mask] = 0
    return ids, mask
