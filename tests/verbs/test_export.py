"""`export`: nothing is written unless it answers as the run does, and nothing is overwritten unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deepen.cli.main import main
from deepen.core.errors import OptionError, RunError
from deepen.engine.events import Silent
from deepen.export import check
from deepen.runtime import engines
from deepen.runtime.trial import Trial
from deepen.verbs import export as verb
from deepen.verbs.evaluate import evaluate
from deepen.verbs.export import export
from deepen.verbs.train import train
from tests.runtime.files import BIAS, WEIGHTS, graph

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "rows"
    train("tabular-classification", "tiny", {"model": "mlp", "epochs": 1}, out=folder)
    return folder


def test_beyond_the_tolerance_nothing_is_left(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = check._apart
    for wrong in (0.2, float("nan")):
        monkeypatch.setattr(check, "_apart", lambda *given, wrong=wrong: real(*given) + wrong)
        with pytest.raises(RunError, match=r"x.pt2: not written: over 40 samples .* differ .* by up to (0\.2|nan)"):
            export(run, {"format": "pt2"}, out=tmp_path / "x.pt2")
    assert not list(tmp_path.iterdir())


def test_a_run_in_whole_numbers_may_be_rounded_the_other_way(run: Path, tmp_path: Path, monkeypatch) -> None:
    from deepen.verbs.compress import compress

    whole = compress(run, {"method": ("int8",)}, out=tmp_path / "whole").folder
    real = check._apart
    for wrong, out in ((0.03, "a.onnx"), (0.3, "b.onnx")):
        monkeypatch.setattr(check, "_apart", lambda *given, wrong=wrong: real(*given) + wrong)
        if wrong > 0.1:
            with pytest.raises(RunError, match=r"--tolerance allows 0\.1"):
                export(whole, out=tmp_path / out)
        else:
            assert export(whole, out=tmp_path / out).tolerance == 0.1
    with pytest.raises(RunError, match=r"--tolerance allows 0\.01"):
        export(whole, {"tolerance": 0.01}, out=tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()
    monkeypatch.setattr(check, "_apart", real)
    weights = compress(run, {"method": ("int8-weights",)}, out=tmp_path / "weights").folder
    assert export(weights, out=tmp_path / "c.onnx").tolerance == 1e-4  # nothing that a layer reads is rounded


def test_evaluating_and_exporting_tell_how_far_they_are(run: Path, tmp_path: Path) -> None:
    class Seen(Silent):
        def __init__(self) -> None:
            self.parts: list[float] = []
            self.ended = 0

        def step(self, step: int, progress: float, seconds_left: float | None) -> None:
            assert step == len(self.parts) + 1
            self.parts.append(progress)

        def done(self) -> None:
            self.ended += 1

    first, second = Seen(), Seen()
    evaluate(run, events=first)
    export(run, out=tmp_path / "x.onnx", events=second)
    assert len(first.parts) >= 1 and len(second.parts) >= 3
    for each in (first, second):
        assert each.parts == sorted(each.parts) and each.parts[0] > 0 and each.parts[-1] == 1.0 and each.ended == 1


def test_a_file_is_replaced_only_where_that_is_asked_for(run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "x.pt2"
    out.write_bytes(b"precious")
    with pytest.raises(OptionError, match="exists; name another file"):
        export(run, {"format": "pt2"}, out=out)
    assert out.read_bytes() == b"precious"
    assert main(["export", str(run), "--format", "pt2", "--out", str(out), "--overwrite", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(out) and said["count"] == 40 and said["apart"] <= 1e-4 and out.read_bytes()[:2] == b"PK"
    assert set(said["latency"]) == {"eager", "torch.export"} and said["before"].keys() == said["after"].keys()


@pytest.mark.parametrize(
    ("given", "out", "words"),
    [
        ({}, "x.pt2", "expected a name that ends in .onnx, as --format is onnx"),
        ({"format": "aoti"}, "x.pt2", "ends in .aoti.pt2"),
        ({"format": "onx"}, "x.onnx", "onnx, pt2, aoti"),
        ({"tolerance": 0.0}, "x.onnx", "tolerance"),
    ],
)
def test_wrong_options_have_their_sentence(run: Path, tmp_path: Path, given: dict, out: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        export(run, given, out=tmp_path / out)
    assert words in str(caught.value)


def test_a_task_that_cannot_is_named_with_those_that_can(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        folder, header, task, model = run, {"task": "clustering"}, object(), None

    monkeypatch.setattr(verb, "loaded", lambda *_, **__: Other)
    with pytest.raises(
        OptionError, match=r"runs of clustering cannot be exported; those of .*tabular-regression.* can"
    ):
        export(run)


def test_other_engines_are_named_only_where_they_answer_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"numbers": np.random.default_rng(0).normal(size=(3, 2))}
    right = numbers["numbers"].astype(np.float32) @ WEIGHTS + BIAS

    class Small:
        engine = engines.opened(graph(), place="small", engine="onnxruntime", threads=1)

        class answering:
            apart = staticmethod(lambda a, b, arrays: float(np.abs(a - b).max()))

        def outputs(self, arrays):
            return self.engine.run([arrays["numbers"]])

        call = outputs

    for trial, named in ((Trial(right, {"1": 2.0}), ["openvino"]), (Trial(right + 1, {"1": 2.0}), []), (None, [])):
        times: dict = {}
        monkeypatch.setattr(verb, "tried", lambda *_, trial=trial, **__: trial)
        assert verb._others(b"", Small(), numbers, 1e-4, times) == named  # type: ignore[arg-type]
        assert times == ({"openvino": {"1": 2.0}} if named else {})
