"""The runtime never imports torch: by its imports, all the way down, and by a process that has none."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pytest

from deepen.runtime import onnx_file
from tests.runtime.files import rows, written

pytest.importorskip("onnxruntime")
SOURCE = Path(__file__).resolve().parents[2] / "src"
HEAVY = {"torch", "onnx", "onnxscript", "safetensors"}
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
from deepen.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def at_import(path: Path) -> set[str]:
    """What a file imports as it is imported: not what functions import, nor what only type checkers do."""
    found: set[str] = set()

    def look(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
                found.add(str(node.module))
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                look(node.orelse)
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                for part in ("body", "orelse", "finalbody"):
                    look(getattr(node, part, []))
                for handler in getattr(node, "handlers", []):
                    look(handler.body)

    look(ast.parse(path.read_text("utf-8")).body)
    return found


def file_of(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()), None)


def reached(starts: list[Path]) -> tuple[dict[Path, Path | None], dict[str, Path]]:
    """Every file of ours that these import, and the first to import each package of others."""
    ours: dict[Path, Path | None] = dict.fromkeys(starts)
    others: dict[str, Path] = {}
    waiting = [*starts]
    while waiting:
        path = waiting.pop()
        for name in at_import(path):
            others.setdefault(name.split(".")[0], path)
            file = file_of(name) if name.startswith("deepen") else None
            if file is not None and file not in ours:
                ours[file] = path
                waiting.append(file)
    return ours, others


def test_nothing_that_the_runtime_imports_imports_torch() -> None:
    ours, others = reached(sorted((SOURCE / "deepen" / "runtime").glob("*.py")))
    assert len(ours) > 30
    assert not {name: str(others[name]) for name in HEAVY if name in others}


def test_readers_import_no_torch_either() -> None:
    _, others = reached(sorted((SOURCE / "deepen" / "data").rglob("*.py")))
    assert not {name: str(others[name]) for name in HEAVY if name in others}


def test_a_planted_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("if True:\n    from torch import nn\ndef f():\n    import onnx\n")
    assert at_import(tmp_path / "planted.py") == {"torch", "torch.nn"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runtime")
    pyarrow.csv.write_csv(rows().drop_columns(["source"]), folder / "rows.csv")
    return str(written(folder / "small.onnx")), str(folder / "rows.csv")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED.format(heavy=sorted(HEAVY)), *words]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_predict_and_evaluate_in_a_process_without_torch(files: tuple[str, str]) -> None:
    path, data = files
    done = run("predict", path, data, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)["answers"]
    assert len(answers) == 23 and answers[0]["source"] == "rows.csv, row 2"
    done = run("evaluate", path, data, "--json", "--engine", "onnxruntime", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 23


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("evaluate", "{path}"), "holds no data of its own; name the data to evaluate on."),
        (("predict", "{path}", "tiny"), "is made up by a task"),
        (("predict", "{path}", "{data}", "--with", "other"), "answers alone; --with and --then take runs"),
        (("predict", "{path}x.onnx", "{data}"), "no such file; did you mean"),
        (("predict", "{path}", "{data}", "--engine", "tensorrt"), "onnxruntime, openvino"),
        (("train", "tabular-classification", "{data}"), "this needs PyTorch, which is not installed here: pip install"),
        (("show", "{path}", "--outputs", "3"), "--outputs: for models and runs; show the run that"),
        (("show", "{path}x.onnx"), "neither a model nor a run folder"),
    ],
)
def test_each_mistake_has_its_sentence(files: tuple[str, str], words: tuple[str, ...], sentence: str) -> None:
    path, data = files
    done = run(*(word.format(path=path, data=data) for word in words))
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr


def test_a_file_says_what_it_holds(files: tuple[str, str]) -> None:
    path, _ = files
    done = run("show", path, "--json")
    assert done.returncode == 0, done.stderr
    found, known = json.loads(done.stdout), onnx_file.read(Path(path)).description
    assert {name: found[name] for name in ("task", "model", "opset")} == {
        name: known[name] for name in ("task", "model", "opset")
    }
    assert found["bytes"] > 100 and found["preparation"] == known["preparation"]["kind"]
    said = run("show", path).stdout
    assert f"model: {known['model']}" in said and f"task: {known['task']}" in said


def test_compiled_programs_are_never_loaded(files: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "run.pt2").write_bytes(b"PK")
    done = run("predict", str(tmp_path / "run.pt2"), files[1])
    assert done.returncode == 2 and "can run code, so deepen writes and never loads them" in done.stderr
