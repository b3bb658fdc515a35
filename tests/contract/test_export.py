"""Promises of every task whose runs can be exported, found by looking, without naming any."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from deepen.core import names
from deepen.engine.task import Exports
from deepen.runtime import load
from deepen.verbs.export import export
from deepen.verbs.loaded import loaded
from deepen.verbs.options import task_module
from deepen.verbs.train import train

TASKS = sorted(name for name in names.tasks() if hasattr(task_module(name).Task, "exported"))
TOLERANCE = 1e-4
pytestmark = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One tiny run per task and its .onnx file, made once."""
    held = {}

    def of(task: str):
        if task not in held:
            run = train(task, "tiny", {"epochs": 2}, out=tmp_path_factory.mktemp("runs") / task)
            held[task] = run, export(run.folder)
        return held[task]

    return of


def test_the_file_scores_as_the_run_does(task, made):
    run, result = made(task)
    assert isinstance(loaded(run.folder).task, Exports)
    assert result.apart <= TOLERANCE and result.count > 0
    assert result.before.keys() == result.after.keys() == run.metrics.keys()
    for name, value in run.metrics.items():
        assert result.before[name] == pytest.approx(value, rel=1e-6), name
        assert result.after[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_answers_from_the_file_alone_are_the_runs(task, made):
    """Batches of one, of some, and of all rows: neither their number nor the length of a row is fixed in the file."""
    run, result = made(task)
    program, model = load(result.path, engine="onnxruntime", threads=1), loaded(run.folder, device="cpu")
    table = next(iter(task_module(task).TINY.make(0).tables.values())).slice(0, 61)
    for start, count in ((0, 1), (1, 3), (4, 57)):
        part = table.slice(start, count)
        encoded = model.task.encode(part, "predict", [])
        with torch.inference_mode():
            batch = model.task.batch(encoded, np.arange(len(encoded)), None)
            own = model.task.answer(model.model, batch, encoded.table.column("source").to_pylist())
        found = list(program.answers(part, program.prepared(part, "predict", [])))
        assert len(found) == len(own) == count
        for a, b in zip(found, own, strict=True):
            assert type(a) is type(b)
            _near(dataclasses.asdict(a), dataclasses.asdict(b))


def test_the_runtime_scores_without_torch(task, made, tmp_path):
    """The metrics, computed by a process in which torch cannot be imported."""
    import pyarrow.feather as feather

    run, result = made(task)
    table = next(iter(task_module(task).TINY.make(0).tables.values()))
    feather.write_feather(table, str(tmp_path / "rows.feather"))
    program = "\n".join(
        [
            "import json, sys",
            "class Blocked:",
            "    def find_spec(self, name, path=None, target=None):",
            "        if name.partition('.')[0] in ('torch', 'onnx'): raise ImportError(name + ' is blocked')",
            "sys.meta_path.insert(0, Blocked())",
            "import pyarrow.ipc",
            "from deepen.data.dataset import Dataset",
            "from deepen.runtime import load",
            "table = pyarrow.ipc.open_file(sys.argv[2]).read_all()",
            "found = load(sys.argv[1], engine='onnxruntime', threads=1).evaluate(Dataset('rows', '', {'all': table}))",
            "assert 'torch' not in sys.modules",
            "print(json.dumps(found.metrics))",
        ]
    )
    command = [sys.executable, "-c", program, str(result.path), str(tmp_path / "rows.feather")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    import json

    from deepen.verbs.evaluate import evaluate

    found = json.loads(done.stdout)
    own = evaluate(run.folder, task_module(task).TINY.make(0)).metrics
    assert found.keys() == own.keys()
    for name, value in own.items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def _near(a, b):
    """Equal up to the tolerance that the file states; classes of equal probability may change places."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            _near(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _near(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-4, abs=TOLERANCE)
    else:
        assert a == b
