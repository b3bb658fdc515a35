"""An exported file from Python: the package's own functions, in a process that has no torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image

import deepen
from deepen.core.errors import OptionError, RunError
from deepen.runtime.exported_run import ExportedRun
from tests.runtime.files import rows, written

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import sys
class Blocked:
    names = {"torch", "onnx", "onnxscript", "safetensors"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import json
import deepen
"""
ONE = {"engine": "onnxruntime", "threads": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("exported")
    pyarrow.csv.write_csv(rows().drop_columns(["source"]), folder / "rows.csv")
    return written(folder / "small.onnx"), folder / "rows.csv"


def without_torch(program: str, *words: object) -> str:
    command = [sys.executable, "-c", BLOCKED + program, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_packages_functions_answer_without_torch(files: tuple[Path, Path]) -> None:
    program = """
path, data = sys.argv[1:]
given = {"engine": "onnxruntime", "threads": 1}
run = deepen.load(path, **given)
answers = [deepen.predict(path, [data], **given), run.predict(data)]
answers.append(deepen.predict([path], data, target="kind", **given))
figures = [deepen.evaluate(path, data, **given), run.evaluate(data)]
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "safetensors")]
print(json.dumps([[[a.label for a in each] for each in answers], [each.metrics for each in figures], run.task]))
"""
    answers, figures, task = json.loads(without_torch(program, *files))
    own = deepen.load(files[0], **ONE)
    assert isinstance(own, ExportedRun) and task == own.task == "tabular-classification"
    assert answers == [[each.label for each in own.predict(files[1])]] * 3 and len(answers[0]) == 23
    assert figures == [own.evaluate(files[1]).metrics] * 2


def test_what_the_file_says_of_its_run(tmp_path: Path) -> None:
    run = {"name": "small", "weights_sha256": "0" * 64, "metrics": {"accuracy": 0.75}}
    own = deepen.load(written(tmp_path / "small.onnx", run=run, options={"epochs": 3}), **ONE)
    assert (own.model, own.options, own.metrics) == ("linear", {"epochs": 3}, {"accuracy": 0.75})
    assert repr(own) == f"ExportedRun({str(tmp_path / 'small.onnx')!r}, engine='onnxruntime')"


def test_mistakes_have_their_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    path, data = files
    for runs, more in (([path, "runs/other"], {}), (["runs/other", path], {}), (path, {"weights": [1.0]})):
        with pytest.raises(RunError, match="is an exported file, which answers alone"):
            deepen.predict(runs, data, **more)
    with pytest.raises(RunError, match="holds no data of its own; name the data"):
        deepen.evaluate(path)
    with pytest.raises(OptionError, match="threads"):
        deepen.predict(path, data, threads=0)
    with pytest.raises(OptionError, match="engine"):
        deepen.load(path, engine="tensorrt")
    with pytest.raises(OptionError, match="epochs: load takes engine and threads"):
        deepen.load(path, epochs=3)
    with pytest.raises(OptionError, match=r"engine: load takes .*, of an \.onnx file, but runs/x is none"):
        deepen.load("runs/x", engine="onnxruntime")
    with pytest.raises(OptionError, match="no such option"):
        deepen.predict(path, data, epochs=3)
    with pytest.raises(RunError, match="no such file"):
        deepen.load(tmp_path / "none.onnx")
    (tmp_path / "run.pt2").write_bytes(b"PK")
    with pytest.raises(RunError, match="can run code"):
        deepen.load(tmp_path / "run.pt2")


def test_bad_rows_are_left_out_where_that_is_asked_for(files: tuple[Path, Path], tmp_path: Path) -> None:
    table = rows().drop_columns(["source"])
    cells = table.column("first").to_pylist()
    bad = table.set_column(0, "first", pyarrow.array([*cells[:5], "five", *cells[6:]]))
    pyarrow.csv.write_csv(bad, tmp_path / "bad.csv")
    assert len(deepen.predict(files[0], tmp_path / "bad.csv", skip_bad=True, **ONE)) == 22
    assert deepen.evaluate(files[0], tmp_path / "bad.csv", skip_bad=True, **ONE).count == 22


def pixels(folder: Path) -> Path:
    """A file of the same two classes that takes pictures of 1x2 grey pixels."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["outputs"]),
    ]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, 2, 1])]
    outputs = [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", 2])]
    held = [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]
    made = helper.make_graph(nodes, "pixels", inputs, outputs, held)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    checker.check_model(model)
    image = {"size": [1, 2], "channels": 1, "background": [0], "resize": "stretch"}
    (folder / "up").mkdir()
    (folder / "down").mkdir()
    Image.fromarray(np.array([[0, 9]], np.uint8)).save(folder / "up" / "a.png")
    Image.fromarray(np.array([[9, 0]], np.uint8)).save(folder / "down" / "b.png")
    return written(
        folder / "pixels.onnx",
        model.SerializeToString(),
        task="image-classification",
        schema={"readers": ["image_folder"], "inputs": ["image"], "target": "label"},
        reading={},
        preparation={"kind": "image", "image": image, "max_pixels": 1000},
        answer={"kind": "classes", "labels": ["down", "up"], "target": "label", "given": False, "top": 2},
    )


def test_the_documented_packages_are_all_that_is_needed(files: tuple[Path, Path], tmp_path: Path) -> None:
    """What tables and pictures import of others, all figures among it, belongs to the packages that docs/export.md says
    to install beside deepen itself, or to what those need."""
    text = (ROOT / "docs" / "export.md").read_text("utf-8")
    (line,) = re.findall(r"^    pip install (numpy .*)$", text, re.MULTILINE)
    wanted, waiting = set(), [_plain(word) for word in line.split()]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            needs = [each for each in metadata.requires(name) or [] if "extra ==" not in each]
            waiting += [_plain(each) for each in needs if _is_there(_plain(each))]
    program = """
Blocked.names |= {"simplejpeg", "tokenizers", "jieba", "openpyxl", "numba", "rich", "jinja2"}  # none is needed here
from deepen.cli.main import main
path, data, pictures, folder, out = sys.argv[1:]
one = ["--engine", "onnxruntime", "--threads", "1"]
for verb in ("predict", "evaluate"):
    for words in ([path, data], [pictures, folder]):
        assert main([verb, *words, *one]) == 0
assert main(["predict", path, data, "--out", out + "/answers.parquet", *one]) == 0
print(json.dumps(sorted({name.split(".")[0] for name, each in sys.modules.items() if getattr(each, "__file__", None)})))
"""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = pixels(folder)
    said = without_torch(program, *files, pictures, folder, tmp_path)
    imported = json.loads(said.splitlines()[-1])
    owners = metadata.packages_distributions()
    found = {_plain(owner) for name in imported for owner in owners.get(name, [])} - {"deepen", "setuptools"}
    assert {"numpy", "pyarrow", "onnxruntime", "pillow"} <= found
    assert not found - wanted, found - wanted


def _plain(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;(]", requirement)[0].lower().replace("_", "-")


def _is_there(name: str) -> bool:
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return False
