"""Taggers and language models as programs: what they score and answer is what their networks do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from deepen.cli.main import main
from deepen.core.errors import OptionError
from deepen.core.faults import Fault
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate
from deepen.export import graph
from deepen.models import (
    convolutional_tagger,
    recurrent_language_model,
    transformer_language_model,
    transformer_tagger,
)
from deepen.parallel.ranks import Alone
from deepen.prepare.text import TextOptions
from deepen.runtime import onnx_file
from deepen.runtime.program import Program, load
from deepen.tasks import language_modeling, token_tagging

SENTENCES = 53


def made(
    folder: Path, module: Any, options: Any, network: Any, table: pa.Table
) -> tuple[Any, torch.nn.Module, Program]:
    """A task that learned from the table, its network at weights that make answers differ, and the program of both,
    read from the file run.onnx.
    """
    torch.manual_seed(3)
    task = module.Task(options, module.learn(options, table, Dataset("made", "", {"all": table}), []), network)
    model = task.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 2)
    exported = task.exported(model)
    traced = graph.traced(exported, place="run", for_onnx=True)
    content = graph.onnx_model(traced, exported, place="run")
    description = {
        "format_version": onnx_file.FORMAT_VERSION,
        "opset": graph.OPSET,
        "task": "made up",
        "model": options.model,
        "options": {},
        "schema": dataclasses.asdict(module.schema(options)),
        "reading": {},
        "preparation": dict(exported.preparation),
        "answer": dict(exported.answer),
        "sizes": traced.sizes,
        "run": {},
        "checked": {"engines": ["onnxruntime"]},
        "versions": {},
    }
    path = folder / "run.onnx"
    path.write_bytes(onnx_file.sealed(content, description))
    return task, model, load(path, engine="onnxruntime", threads=1)


def scored_alike(task: Any, model: torch.nn.Module, program: Program, table: pa.Table) -> dict[str, float]:
    """The program's figures, its intervals and notes, each found to be the network's."""
    said: list[Fault] = []
    own_said: list[Fault] = []
    found, count = program.scored(table, "test", said)
    encoded = task.encode(table, "test", own_said)
    own = evaluate(task, model, encoded, device=torch.device("cpu"), ranks=Alone())
    assert count == len(encoded) and sorted(said, key=str) == sorted(own_said, key=str)
    assert found.result() == pytest.approx(own.result(), rel=1e-5, abs=1e-6)
    assert found.intervals().keys() == own.intervals().keys()
    for name, interval in own.intervals().items():
        assert found.intervals()[name] == pytest.approx(interval, rel=1e-5, abs=1e-6)
    return found.result()


def answered_alike(task: Any, model: torch.nn.Module, program: Program, table: pa.Table) -> list[Any]:
    """The program's answers, each found to be the network's."""
    encoded = task.encode(table, "predict", [])
    sources = encoded.table.column("source").to_pylist()
    with torch.inference_mode():
        own = task.answer(model, task.batch(encoded, np.arange(len(encoded)), None), sources)
    found = list(program.answers(table, program.prepared(table, "predict", [])))
    assert len(found) == len(own)
    for a, b in zip(found, own, strict=True):
        assert type(a) is type(b)
        for name, value in dataclasses.asdict(b).items():
            _near(getattr(a, name) if not isinstance(value, (list, tuple)) else dataclasses.asdict(a)[name], value)
    return found


def _near(a: Any, b: Any) -> None:
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for name in b:
            _near(a[name], b[name])
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _near(x, y)
    else:
        assert a == (pytest.approx(b, rel=2e-3, abs=1e-5) if isinstance(b, float) else b)


def tagged(plain: bool) -> pa.Table:
    table = token_tagging.TINY.make(0).tables["all"].slice(0, SENTENCES)
    if plain:
        tags = [[f"N{len(token)}" for token in row] for row in table.column("tokens").to_pylist()]
        table = table.set_column(table.column_names.index("tags"), "tags", pa.array(tags))
    return table


TAGGERS = [
    ("textcnn-tagger", convolutional_tagger.Options(width=7, hidden=11, crf=True), False),
    pytest.param("textcnn-tagger", convolutional_tagger.Options(width=7, hidden=11), False, marks=pytest.mark.torture),
    pytest.param(
        "transformer-tagger",
        transformer_tagger.Options(width=24, heads=3, layers=1, crf=True),
        True,
        marks=pytest.mark.torture,
    ),
]


@pytest.mark.parametrize(("name", "network", "plain"), TAGGERS)
def test_a_tagger_scores_and_answers_as_its_network(
    name: str, network: Any, plain: bool, tmp_path: Path, capsys
) -> None:
    table = tagged(plain)
    options = token_tagging.Options(model=name, characters=5)
    task, model, program = made(tmp_path, token_tagging, options, network, table.slice(0, 29))
    other = table.slice(29)
    tags = other.column("tags").to_pylist()
    tags[3] = tags[3][:-1]  # a sentence that cannot be scored
    tags[7] = ["B-unseen", *tags[7][1:]] if not plain else ["never", *tags[7][1:]]
    damaged = other.set_column(other.column_names.index("tags"), "tags", pa.array(tags))
    figures = scored_alike(task, model, program, damaged)
    assert ("f1" in figures) is not plain and 0 < figures["accuracy"] < 1
    found = answered_alike(task, model, program, other)
    assert len({tag for each in found for tag in each.tags}) > 2
    lines = pa.table({"text": ["Ada met Boris North.", "", "in Port Park"], "source": ["a", "b", "c"]})
    assert answered_alike(task, model, program, lines)[0].tokens == ("Ada", "met", "Boris", "North", ".")
    (tmp_path / "lines.txt").write_text("Ada met Boris North.\nin Port Park\n")
    out = tmp_path / "answers.conll"
    assert main(["predict", str(program.path), str(tmp_path / "lines.txt"), "--out", str(out)]) == 0
    answers = program.predict(tmp_path / "lines.txt")
    assert out.read_text() == token_tagging.FORMATS[".conll"](answers) and out.read_text().count("\n\n") == 2
    assert main(["predict", str(program.path), str(tmp_path / "lines.txt"), "--out", "answers.bio"]) == 2
    assert "expected a name that ends in .csv, .jsonl, .parquet, .conll" in capsys.readouterr().err


LANGUAGE = [
    pytest.param("lstm", {"text": TextOptions(level="word")}, marks=pytest.mark.torture),
    ("transformer-decoder", {"text": TextOptions(level="character"), "context": 7}),
]


@pytest.mark.parametrize(("name", "more"), LANGUAGE)
def test_a_language_model_scores_and_answers_as_its_network(
    name: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(language_modeling, "STRETCH", 97)
    table = language_modeling.TINY.make(0).tables["all"]
    options = language_modeling.Options(model=name, width=11, sequence_length=13, **more)
    small = {
        "lstm": recurrent_language_model.Options(hidden_size=7),
        "transformer-decoder": transformer_language_model.Options(hidden_size=12, heads=3, layers=1),
    }
    task, model, program = made(tmp_path, language_modeling, options, small[name], table.slice(0, 101))
    figures = scored_alike(task, model, program, table.slice(101, 199))
    assert figures["perplexity"] > 2
    empty = pa.table({"text": ["\n"], "source": ["x.txt, line 1"]})
    assert answered_alike(task, model, program, empty)[0].tokens == int(task.words.has_ends)
    found = answered_alike(task, model, program, table.slice(300, 23))
    assert len({round(each.log10_probability, 3) for each in found}) > 10


@pytest.mark.parametrize("name", ["ngram", "class-ngram"])
def test_counts_are_no_graph(name: str) -> None:
    table = language_modeling.TINY.make(0).tables["all"].slice(0, 31)
    options = language_modeling.Options(model=name)
    state = language_modeling.learn(options, table, Dataset("made", "", {"all": table}), [])
    task = language_modeling.Task(options, state)
    with pytest.raises(OptionError, match=rf"--model {name}: counts n-grams .* --network\.arpa-out FILE"):
        task.exported(task.build())
