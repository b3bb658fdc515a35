"""A language model as a graph: the network and its output layer called as they are elsewhere, place by place."""

from __future__ import annotations

import itertools

import pytest
import torch

from deepen.nn import onnx_operators
from deepen.nn.language_graph import LanguageGraph
from deepen.nn.next_token import output_layer_of, surprise
from deepen.nn.shortlist_tail import first_at_least
from tests.nn.language_networks import KINDS, WINDOW, V, ids, network

RECURRENT = ("lstm", "gru")
CASES = [("lstm", {"kind": kind}) for kind in KINDS]
CASES += [("gru", {"kind": "shortlist", "pairs": True}), ("neural-ngram", {"features": 2}), ("neural-ngram", {})]
CASES += [("transformer-decoder", {"features": 3}), ("transformer-decoder", {"kind": "shortlist", "pairs": True})]
# PyTorch traces recurrent operators of ONNX and cannot compute them: tests/export/test_language_graphs.py runs those.
BOTH_WAYS = [(*case, False) for case in CASES]
BOTH_WAYS += [(*case, True) for case in CASES if case[0] not in RECURRENT]


@torch.no_grad()
@pytest.mark.parametrize(("name", "layer", "for_onnx"), BOTH_WAYS)
def test_it_says_of_targets_what_evaluation_says(name: str, layer: dict, for_onnx: bool) -> None:
    model = network(name, **layer)
    graph = LanguageGraph(model)
    read, wanted = ids(5, 12), ids(5, 12, 1)
    ends = torch.full((5,), 12)
    own = -surprise(model, read, wanted, torch.zeros_like(ends), ends, context=6)
    with onnx_operators.onnx_operators(for_onnx):
        if graph.window is not None:
            assert torch.allclose(graph(read, wanted), own, atol=1e-5)
            return
        state = graph.examples()["state"][:1].expand(5, -1)
        parts = []
        for begin, end in itertools.pairwise((0, 1, 6, 12)):
            said = graph(read[:, begin:end], wanted[:, begin:end], state)
            parts.append(said[:, : end - begin])
            state = said[:, end - begin :]
        assert torch.allclose(torch.cat(parts, 1), own, atol=1e-5)


def test_the_state_before_a_text_is_described_in_runs() -> None:
    recurrent = LanguageGraph(network("lstm"))
    assert recurrent.description() == {"window": None, "begun": [[0.0, 2 * 2 * 7]], "words": V}
    assert recurrent.examples()["state"].shape == (2, 28) and recurrent.most() == {}
    featured = LanguageGraph(network("neural-ngram", features=3))
    assert featured.description()["begun"] == [[0.0, 4], [-1.0, 3]]
    windowed = LanguageGraph(network("transformer-decoder"))
    assert windowed.description() == {"window": WINDOW, "begun": [], "words": V}
    assert windowed.examples().keys() == windowed.free().keys() == {"ids", "targets"}
    assert windowed.most() == {"length": WINDOW} and windowed.examples()["ids"].shape[1] < WINDOW


def test_the_longest_path_is_that_of_the_tree() -> None:
    layer = output_layer_of(network("lstm", "huffman"))
    assert LanguageGraph(network("lstm", "huffman")).longest_path == max(layer.starts.diff().tolist()) > 5  # type: ignore[union-attr]


@pytest.mark.parametrize("m", [1, 2, 7, 64, 101])
def test_the_search_of_onnx_is_the_search(m: int) -> None:
    ordered = torch.randint(0, 3 * m, (m,), generator=torch.Generator().manual_seed(m)).sort()[0]
    wanted = torch.arange(-1, 3 * m + 2)
    assert torch.equal(first_at_least(ordered, wanted), torch.searchsorted(ordered, wanted))
