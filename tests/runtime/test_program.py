"""A program made by hand: its answers by hand, its figures by the run's own metrics, its engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from deepen.core.errors import DataError, OptionError, RunError
from deepen.data.dataset import Dataset
from deepen.runtime import engines, load
from tests.runtime.files import BIAS, WEIGHTS, graph, rows, written

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "small.onnx")


def expected(table: pa.Table) -> np.ndarray:
    numbers = np.array([[float(cell) for cell in table.column(name).to_pylist()] for name in ("first", "second")]).T
    logits = numbers.astype(np.float32) @ WEIGHTS + BIAS
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def test_answers_by_hand(path: Path) -> None:
    program, table = load(path, engine="onnxruntime", threads=1), rows()
    found = list(program.answers(table, program.prepared(table, "predict", [])))
    probabilities = expected(table)
    assert [each.label for each in found] == [("down", "up")[k] for k in probabilities.argmax(1)]
    assert np.allclose([each.probability for each in found], probabilities.max(1), atol=1e-6)
    assert found[4].source == "rows.csv, row 6"


def test_figures_are_those_of_the_same_probabilities(path: Path) -> None:
    table = rows()
    found = load(path, engine="onnxruntime").evaluate(Dataset("rows", "rows", {"all": table}))
    probabilities = expected(table)
    truth = np.array([("down", "up").index(each) for each in table.column("kind").to_pylist()])
    assert found.metrics["accuracy"] == pytest.approx((probabilities.argmax(1) == truth).mean())
    assert found.metrics["cross_entropy"] == pytest.approx(-np.log(probabilities[range(23), truth]).mean(), rel=1e-5)
    assert found.count == 23 and found.split == "all"


def test_predict_reads_files_and_leaves_out_bad_rows(path: Path, tmp_path: Path) -> None:
    table = rows().drop_columns(["source"])
    cells = table.column("first").to_pylist()
    cells[7] = "seven"
    bad = table.set_column(0, "first", pa.array(cells))
    pyarrow.csv.write_csv(bad, tmp_path / "bad.csv")
    program = load(path, engine="onnxruntime")
    with pytest.raises(DataError, match="seven"):
        program.predict(tmp_path / "bad.csv")
    faults: list = []
    found = list(program.predict([tmp_path / "bad.csv"], skip_bad=True, faults=faults))
    assert len(found) == 22 and [fault.row for fault in faults] == [7]
    with pytest.raises(OptionError, match="none is named"):
        program.predict([])


@pytest.mark.parametrize("kind", ["preparation", "answer"])
def test_a_kind_of_the_future_has_its_sentence(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "small.onnx", **{kind: {"kind": "smell"}})
    with pytest.raises(RunError, match="wants 'smell', which this deepen does not know"):
        load(file, engine="onnxruntime")


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": {"kind": "classes"}},
        {"schema": {"readers": ["../../x"], "inputs": [], "target": ""}},
        {"schema": {"surprise": 1, "readers": [], "inputs": []}},
    ],
)
def test_a_description_that_does_not_fit_has_its_sentence(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(RunError, match="describes itself in another way"):
        load(written(tmp_path / "small.onnx", **changes), engine="onnxruntime")


def test_both_engines_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    content = graph()
    first, second = (engines.opened(content, place="x", engine=name, threads=1) for name in engines.NAMES)  # type: ignore[arg-type]
    numbers = np.random.default_rng(0).normal(size=(7, 2))
    assert np.allclose(first.run([numbers]), second.run([numbers]), atol=1e-5)
    assert first.inputs == {"numbers": (np.float64, (None, 2))}


def test_an_engine_that_is_not_proven_is_refused_by_name(path: Path) -> None:
    with pytest.raises(OptionError, match="openvino did not answer as the run does when this file was written"):
        load(path, engine="openvino")


def test_an_engine_that_is_not_proven_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    content = graph()
    monkeypatch.setattr(engines, "OpenVINO", lambda *_: pytest.fail("was opened"))
    assert engines.opened(content, place="x", proven=("onnxruntime",)).name == "onnxruntime"


def test_of_two_engines_the_faster_is_taken_unless_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        name, shift = "openvino", 0.0

        def __init__(self, content: bytes, place: str, threads: int | None) -> None:
            self.inputs = engines.OnnxRuntime(content, place, threads).inputs

        def run(self, arrays):
            return arrays[0].astype(np.float32) @ WEIGHTS + BIAS + self.shift

    monkeypatch.setattr(engines, "OpenVINO", Other)
    monkeypatch.setattr(engines, "_is_there", lambda name: True)
    for fast, shift, chosen in ((True, 0.0, "openvino"), (False, 0.0, "onnxruntime"), (True, 1.0, "onnxruntime")):
        Other.shift = shift
        times = {"openvino": 1.0 if fast else 3.0, "onnxruntime": 2.0}
        monkeypatch.setattr(engines, "measured", lambda engine, arrays, times=times: times[engine.name])
        assert engines.opened(graph(), place="x").name == chosen


def test_a_missing_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_is_there", lambda name: False)
    with pytest.raises(OptionError, match="pip install 'deepen\\[runtime\\]'"):
        engines.opened(graph(), place="small.onnx")
    with pytest.raises(OptionError, match="onnxruntime is needed"):
        engines.opened(graph(), place="small.onnx", engine="onnxruntime")


def test_a_graph_that_no_engine_reads_has_its_sentence() -> None:
    def change(model) -> None:
        model.graph.node[1].op_type = "Nothing"

    with pytest.raises(RunError, match=r"small.onnx: onnxruntime cannot run its graph \("):
        engines.opened(graph(change=change), place="small.onnx", engine="onnxruntime")


def test_threads_are_those_that_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert engines.threads_here() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert engines.threads_here() >= 1
