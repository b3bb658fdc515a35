"""Tracing and writing: what is refused, what is left out of a file, and the other formats."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.task import Exported
from deepen.export import graph
from deepen.nn.position import within
from deepen.runtime.onnx_file import refuse_harm

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def exported(network: nn.Module, length: bool = False, **more: Any) -> Exported:
    x = torch.arange(14.0).reshape(2, 7)
    return Exported(
        network.eval(),
        {"x": x},
        {"x": {0: "batch", **({1: "length"} if length else {})}},
        {},
        {},
        lambda model, batch: x,
        **more,
    )


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) - x.mean(1, keepdim=True)


def test_a_file_names_no_place_of_this_machine() -> None:
    import onnx

    wanted = exported(Mean())
    found = graph.traced(wanted, place="run", for_onnx=True)
    content = graph.onnx_model(found, wanted, place="run")
    refuse_harm("x.onnx", content)
    assert b"/work" not in content and b".py" not in content and b"site-packages" not in content
    model = onnx.load_from_string(content)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", graph.OPSET)]
    shape = [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 7] and model.graph.output[0].name == "outputs"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


class ByLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.shape[1] > 2:
            x = x[:, ::2]
        return x.sum(1)


class ByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class ByBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.arange(len(x))[:, None]


@pytest.mark.parametrize(
    ("network", "length", "words"),
    [
        (ByLength(), True, "runs/x: this network cannot be exported: what is computed changes with the size of length"),
        (ByBatch(), False, "changes with the size of batch"),
        (ByValue(), False, "runs/x: this network cannot be exported"),
    ],
)
def test_networks_whose_file_would_lie_are_refused(network: nn.Module, length: bool, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        graph.traced(exported(network, length=length), place="runs/x")
    assert words in str(caught.value) and "\n" not in str(caught.value)


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(11, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = within(x, 11)
        return (x + self.places.weight[: x.shape[1], 0]).sum(1)


def test_the_sizes_that_a_trace_holds_for_are_known() -> None:
    wanted = exported(Cut(), length=True, most={"length": 11})
    assert graph.traced(wanted, place="x").sizes == {"batch": (1, None), "length": (1, 11)}
    with pytest.raises(OptionError, match="changes with the size of length"):
        graph.traced(exported(Cut(), length=True), place="x")


def test_a_program_in_memory_runs_at_other_sizes() -> None:
    wanted = exported(Mean())
    engine = graph.InMemory(graph.traced(wanted, place="x").program, wanted)
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    with torch.inference_mode():
        own = wanted.network(torch.from_numpy(x)).numpy()
    assert np.allclose(engine.run([x]), own, atol=1e-6) and engine.name == "torch.export"


def test_pt2_holds_the_description(tmp_path) -> None:
    content = graph.pt2_bytes(graph.traced(exported(Mean()), place="x").program, {"task": "none"})
    (tmp_path / "x.pt2").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.pt2") as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(graph.EXTRA)]
        assert json.loads(archive.read(name)) == {"task": "none"}


def test_a_missing_compiler_and_a_missing_exporter_have_their_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = exported(Mean())
    found = graph.traced(wanted, place="runs/x")
    monkeypatch.setattr(graph.shutil, "which", lambda name: None)
    with pytest.raises(OptionError, match="needs a C\\+\\+ compiler and there is no g\\+\\+ or clang\\+\\+"):
        graph.compiled_bytes(found.program, {}, place="runs/x")
    monkeypatch.setattr(graph, "_is_there", lambda name: name != "onnxscript")
    with pytest.raises(OptionError, match=r"runs/x: onnxscript needed to write ONNX.*deepen\[export\]"):
        graph.onnx_model(found, wanted, place="runs/x")


@pytest.mark.torture
def test_compiled_ahead_of_time(tmp_path) -> None:
    if graph.shutil.which("g++") is None:
        # AOTInductor compiles C++ while exporting, and nothing else here needs a compiler
        pytest.skip("needs a C++ compiler")
    content = graph.compiled_bytes(graph.traced(exported(Mean()), place="x").program, {"task": "none"}, place="x")
    (tmp_path / "x.pt2").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.pt2") as archive:
        assert any(name.endswith(".so") for name in archive.namelist())
