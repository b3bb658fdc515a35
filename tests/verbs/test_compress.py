"""`compress` as its user meets it: a new run that every verb takes, figures that hold, and nothing half."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import torch

from deepen import compare, evaluate, predict, train
from deepen.bundle import header
from deepen.compress.quantized_layers import Whole
from deepen.core.errors import OptionError, RunError
from deepen.nn.exits import WithExits
from deepen.verbs.compress import compress
from deepen.verbs.export import export
from deepen.verbs.loaded import loaded
from tests.torture.forks import Fork

SMALL = {"epochs": 2, "threads": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of pictures and one of numbers, trained once."""
    folder = tmp_path_factory.mktemp("runs")
    train("image-classification", "tiny", model="lenet", out=folder / "pictures", **SMALL)
    train("image-classification", "tiny", model="mlp", out=folder / "pictures-mlp", **SMALL)
    train("tabular-regression", "tiny", model="mlp", out=folder / "numbers", **SMALL)
    return folder


def figures(run) -> dict:
    return evaluate(run).metrics


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("pictures", {"method": ("int8",)}),
        ("pictures", {"method": ("channels", "low-rank", "int8-weights"), "epochs": 1}),
        ("pictures", {"method": ("prune",), "epochs": 1, "sparsity": 0.6}),
        ("pictures", {"method": ("fixed-point",), "bits": 6, "aware": True, "epochs": 1}),
        ("pictures-mlp", {"method": ("early-exit", "int8"), "epochs": 1}),
        ("numbers", {"method": ("channels", "int8"), "epochs": 0}),
        ("numbers", {"method": ("distil",), "student": "mlp", "epochs": 1, "unlabelled": "munge"}),
    ],
    ids=lambda value: "-".join(value["method"]) if isinstance(value, dict) else value,
)
def test_the_new_run_is_taken_by_every_verb(runs, tmp_path, run, options):
    result = compress(runs / run, options, out=tmp_path / "new", layers=True)
    last = result.stages[-1]
    assert figures(result.folder) == pytest.approx(last.metrics, rel=1e-4, abs=1e-6)
    assert figures(runs / run) == pytest.approx(result.stages[0].metrics, rel=1e-4, abs=1e-6)
    assert len(predict(str(result.folder), "tiny")) == len(predict(str(runs / run), "tiny"))
    assert compare([str(runs / run), str(result.folder)]) is not None
    assert last.cost["size"] == (result.folder / "weights.safetensors").stat().st_size
    assert sum(layer.parameters for layer in result.layers) == last.cost["parameters"]
    page = (result.folder / "report.html").read_text("utf-8")
    assert "What compressing did" in page and ".deepen-" not in page
    assert not [each for each in os.listdir(tmp_path) if each.startswith(".deepen-")]


def test_sizes_are_what_they_should_be(runs, tmp_path):
    before, after = compress(runs / "pictures", {"method": "int8-weights"}, out=tmp_path / "a").stages
    assert after.cost["size"] < 0.3 * before.cost["size"] and after.cost["parameters"] == before.cost["parameters"]
    assert after.cost["multiply_adds"] == before.cost["multiply_adds"]
    before, after = compress(runs / "pictures", {"method": "prune", "epochs": 0}, out=tmp_path / "b").stages
    assert after.cost["zeros"] == pytest.approx(0.8, abs=1e-3)
    network = loaded(tmp_path / "a").model
    assert any(isinstance(module, Whole) for module in network.modules())


def test_a_pruned_run_can_be_compressed_again(runs, tmp_path):
    compress(runs / "pictures", {"method": "channels", "epochs": 0}, out=tmp_path / "a")
    result = compress(tmp_path / "a", {"method": "int8"}, out=tmp_path / "b")
    steps = [each["step"] for each in header.read_header(tmp_path / "b")["extra"]["changes"]]
    assert steps == ["resize", "quantize"] and figures(result.folder) == pytest.approx(
        result.stages[-1].metrics, rel=1e-4
    )
    with pytest.raises(OptionError, match="whole numbers already"):
        compress(tmp_path / "b", {"method": "prune"}, out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_mean_of_a_run_and_itself_is_the_run(runs, tmp_path):
    result = compress(runs / "numbers", {"method": "average"}, out=tmp_path / "a", others=[runs / "numbers"])
    assert result.stages[1].metrics == pytest.approx(result.stages[0].metrics, rel=1e-5)


def test_pruning_channels_is_the_same_each_time(runs, tmp_path):
    for name in ("a", "b"):
        compress(runs / "pictures", {"method": "channels", "epochs": 1}, out=tmp_path / name)
    first, second = (loaded(tmp_path / name).model.state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_search_keeps_to_the_wish(runs, tmp_path):
    size = (runs / "pictures" / "weights.safetensors").stat().st_size // 2
    given = {"budget": f"size<{size}", "epochs": 0, "method": ("channels", "int8-weights")}
    result = compress(runs / "pictures", given, out=tmp_path / "a")
    (taken,) = [each for each in result.tried if each["taken"]]
    assert len(result.tried) == 8 and taken["size"] <= size
    fit = [each for each in result.tried if each["size"] <= size]
    assert taken["cross_entropy"] == min(each["cross_entropy"] for each in fit)
    assert "Latency against quality" in (tmp_path / "a" / "report.html").read_text("utf-8")
    with pytest.raises(OptionError, match="none of 2 networks keeps to it; the nearest has size"):
        compress(runs / "pictures", {"budget": "size<1", "method": "int8-weights"}, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_exits_keep_the_wish_on_validation_and_answer_as_stated(runs, tmp_path):
    result = compress(
        runs / "pictures-mlp", {"method": "early-exit", "epochs": 2, "exit_accuracy": "-9%"}, out=tmp_path / "a"
    )
    assert "on validation the exits (after stage 1 above" in " ".join(result.notes)
    (change,) = header.read_header(tmp_path / "a")["extra"]["changes"]
    model = loaded(tmp_path / "a").model
    assert isinstance(model, WithExits) and list(model.thresholds) == change["thresholds"] and model.places == (0,)
    assert result.stages[1].cost["parameters"] > result.stages[0].cost["parameters"]
    for words, options in (
        ("several classes, by a logit for each; tabular-regression", {"method": "early-exit"}),
        (
            "--exits 2: this network has 2 stages, so an exit can stand after 1 to 1",
            {"method": "early-exit", "exits": 2},
        ),
        ("has no stages after which it could answer", {"method": "early-exit"}),
        ("only whole numbers can follow early-exit, not prune", {"method": ("early-exit", "prune")}),
        (
            "--exit-accuracy and --exit-cost are two wishes",
            {"method": "early-exit", "exit_accuracy": "9%", "exit_cost": 1},
        ),
        ("this network has early exits already", {"method": "prune"}),
    ):
        of = {"several": "numbers", "has no ": "pictures", "this ne": "a"}.get(words[:7], "pictures-mlp")
        with pytest.raises(OptionError, match=words):
            compress((tmp_path if of == "a" else runs) / of, {"epochs": 0, **options}, out=tmp_path / "none")
    with pytest.raises(OptionError, match="answers early where it is sure, which a graph cannot"):
        export(tmp_path / "a", out=tmp_path / "a.onnx")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "distil"}, "name it with --student MODEL"),
        ({"method": "average"}, "name them with --with"),
        ({"method": "int8", "sparsity": 0.5}, "sparsity: only prune read it"),
        ({"budget": "speed<3"}, "no figure 'speed'"),
        ({"method": "distil", "student": "lenet", "student_options": "width"}, "expected NAME=VALUE"),
        ({"method": "prune", "sparsity": 1.5}, "1.5"),
    ],
)
def test_what_cannot_be_done_is_said(runs, tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        compress(runs / "pictures", options, out=tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_changes_that_fit_no_network_are_refused(runs, tmp_path):
    compress(runs / "numbers", {"method": "channels", "epochs": 0}, out=tmp_path / "a")
    known = header.read_header(tmp_path / "a")
    for bad in ({"step": "none"}, {"step": "resize", "shapes": {"x": [1]}, "groups": {}}, {"step": "low-rank"}):
        header.write_header(tmp_path / "a", {**known, "extra": {**known["extra"], "changes": [bad]}})
        with pytest.raises(RunError, match="cannot be built"):
            loaded(tmp_path / "a")
    header.write_header(tmp_path / "a", {**known, "extra": {**known["extra"], "changes": "all"}})
    with pytest.raises(RunError, match="changes are a list, not str"):
        loaded(tmp_path / "a")


def test_what_is_killed_leaves_nothing_half(runs, tmp_path):
    """K33: kill -9 at several moments; the folder is whole or not there, and what is left is swept by the next one."""
    command = ["compress", str(runs / "pictures"), "--method", "int8-weights"]
    waits = (None, 0.02)
    for number, wait in enumerate(waits):
        out = tmp_path / f"new{number}"
        process = Fork([*command, "--out", str(out)])
        if wait is not None:
            while process.poll() is None and not any(each.startswith(".deepen-") for each in os.listdir(tmp_path)):
                time.sleep(0.005)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists() or loaded(out).header["status"] == "done"
    compress(runs / "pictures", {"method": "int8-weights"}, out=tmp_path / "last")
    assert sorted(each for each in os.listdir(tmp_path) if each.startswith(".deepen-")) == []
    assert (tmp_path / "new0").exists()


def test_the_command_line_prints_the_same(runs, tmp_path):
    process = Fork(["compress", str(runs / "numbers"), "--method", "int8", "--json", "--out", str(tmp_path / "a")])
    said = json.loads(process.communicate()[0])
    assert [stage["name"] for stage in said["stages"]] == ["before", "int8"] and said["folder"] == str(tmp_path / "a")
