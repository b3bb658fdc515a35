"""Several runs as one: the mean by hand, one run twice, labels in another order, and what cannot answer together."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen import evaluate, predict, train
from deepen.core.errors import DataError, OptionError, RunError
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate as score
from deepen.engine.task import Terms
from deepen.parallel.ranks import Alone
from deepen.verbs.ensemble import EnsembleTask, Together, as_one, encoded_alike, load_members, together
from deepen.verbs.evaluate import samples_for
from deepen.verbs.folds import cross_validate
from deepen.verbs.loaded import Loaded, loaded
from deepen.verbs.options import task_module
from deepen.verbs.predict import answers

SMALL = {"epochs": 1, "threads": 1}
TASKS = ("image-classification", "tabular-classification", "tabular-regression")
MODELS = {
    "image-classification": ("lenet", "mlp"),
    "tabular-classification": ("mlp", "tabular-resnet"),
    "tabular-regression": ("mlp", "tabular-resnet"),
}


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory):
    """Two runs of a task on its tiny data, of different networks, trained once."""
    made = {}

    def pair(task: str) -> list[str]:
        if task not in made:
            folder = tmp_path_factory.mktemp("runs")
            made[task] = [
                str(train(task, "tiny", model=model, out=folder / model, **SMALL).folder) for model in MODELS[task]
            ]
        return made[task]

    return pair


def said(runs: list[str] | str, **keywords) -> list[dict]:
    return [dataclasses.asdict(answer) for answer in predict(runs, "tiny", **keywords)]


def probabilities(answer: dict) -> dict[str, float]:
    return {each["label"]: each["probability"] for each in answer["top"]}


@pytest.mark.parametrize("task", TASKS)
def test_one_run_twice_is_the_run_itself(task, pair_of):
    run, _ = pair_of(task)
    alone, twice = said(run), said([run, run])
    assert len(alone) > 200
    for one, two in zip(alone, twice, strict=True):
        assert one.keys() == two.keys() and one["source"] == two["source"]
        if "value" in one:
            assert two["value"] == pytest.approx(one["value"], rel=1e-12)
        else:
            assert probabilities(two) == pytest.approx(probabilities(one), abs=1e-6)
    once, both = evaluate(run), evaluate([run, run])
    assert both.metrics == pytest.approx(once.metrics, rel=1e-5, abs=1e-6)
    assert both.count == once.count


@pytest.mark.parametrize("task", TASKS)
def test_two_runs_answer_by_their_mean(task, pair_of):
    pair = pair_of(task)
    first, second = said(pair[0]), said(pair[1])
    for weights, share in (((), 0.5), ((3.0, 1.0), 0.75)):
        for one, two, both in zip(first, second, said(pair, weights=weights), strict=True):
            assert one["source"] == two["source"] == both["source"]
            if "value" in one:
                assert both["value"] == pytest.approx(share * one["value"] + (1 - share) * two["value"], rel=1e-12)
            else:
                own, its = probabilities(one), probabilities(two)
                expected = {label: share * own[label] + (1 - share) * its[label] for label in own}
                assert probabilities(both) == pytest.approx(expected, abs=1e-6)
                assert both["label"] == max(expected, key=lambda label: expected[label])


@pytest.mark.parametrize("task", TASKS)
def test_scoring_is_that_of_the_mean_outputs(task, pair_of):
    """The figures of an ensemble are those of the answers that it gives."""
    pair = pair_of(task)
    members = [loaded(folder) for folder in pair]
    samples = samples_for(members, None, {})
    found = evaluate(pair)
    both = together(members, [0.5, 0.5])
    encoded = both.task.encode(samples.table, samples.split, [])
    outputs = []
    for member, part in zip(members, encoded.parts, strict=True):
        batch = member.task.batch(part, np.arange(len(part)), None)
        with torch.inference_mode():
            outputs.append(member.task.outputs(member.model, batch).double())
    batch = members[0].task.batch(encoded.parts[0], np.arange(len(encoded)), None)
    if task == "tabular-regression":
        rmse = (torch.stack(outputs).mean(0) - batch["truth"]).square().mean().sqrt().item()
        assert found.metrics["rmse"] == pytest.approx(rmse, rel=1e-9)
    else:
        mean = torch.stack([each.softmax(1) for each in outputs]).mean(0)
        right = (mean.argmax(1) == batch["label"]).double().mean().item()
        entropy = -mean.gather(1, batch["label"][:, None]).log().mean().item()
        assert found.metrics["accuracy"] == pytest.approx(right)
        assert found.metrics["cross_entropy"] == pytest.approx(entropy, rel=1e-6)
    assert found.count == len(encoded) == len(batch.rows)


class Permuted(nn.Module):
    """A network whose outputs stand in another order."""

    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.network, self.order = network, order

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*inputs)[:, self.order]


def with_labels(run: Loaded, change) -> Loaded:
    """The run as it would be with its labels in another order, or with other labels."""
    module = task_module(run.header["task"])
    state = json.loads((run.folder / "prepare.json").read_text())
    labels = change(list(state["labels"]))
    task = module.Task(run.options.task, {**state, "labels": labels}, run.options.network)
    order = [state["labels"].index(name) if name in state["labels"] else 0 for name in labels]
    return dataclasses.replace(run, task=task, model=Permuted(run.model, order))


@pytest.mark.parametrize("task", TASKS[:2])
def test_labels_in_another_order_are_matched_by_name(task, pair_of):
    one, two = (loaded(folder) for folder in pair_of(task))
    turned = with_labels(two, lambda labels: labels[1:] + labels[:1])
    assert turned.task.terms != one.task.terms
    straight, crossed = (together([one, other], [0.5, 0.5]) for other in (two, turned))
    assert list(answers(straight, ["tiny"], {})) == list(answers(crossed, ["tiny"], {}))
    samples = samples_for([one], None, {})
    for first, second in (([one, two], [one, turned]), ([two, one], [turned, one])):
        figures = []
        for members in (first, second):
            both = together(members, [0.5, 0.5])
            encoded = both.task.encode(samples.table, samples.split, [])
            figures.append(score(both.task, both.model, encoded, device=both.device, ranks=Alone()).result())
        names = [name for name in figures[0] if name not in ("roc_auc", "average_precision")]  # of the second class
        assert {name: figures[0][name] for name in names} == pytest.approx({name: figures[1][name] for name in names})


def test_other_labels_targets_and_tasks_are_refused(pair_of):
    image, table, number = (loaded(pair_of(task)[0]) for task in TASKS)
    with pytest.raises(RunError, match="has 'maybe' too"):
        together([table, with_labels(table, lambda labels: [*labels, "maybe"])], [0.5, 0.5])
    with pytest.raises(RunError, match="lacks 'cross'"):
        together([image, with_labels(image, lambda labels: [name for name in labels if name != "cross"])], [0.5, 0.5])
    with pytest.raises(RunError, match="a run of image-classification, but is one of tabular-classification"):
        together([image, table], [0.5, 0.5])
    elsewhere = task_module("tabular-regression").Task(number.options.task, {**number.task.state, "target": "price"})
    with pytest.raises(RunError, match="answers 'rent', but this run answers 'price'"):
        together([number, dataclasses.replace(number, task=elsewhere)], [0.5, 0.5])


def test_runs_on_another_basis_are_refused_by_its_name(pair_of):
    run = loaded(pair_of("tabular-regression")[0])

    def based(fingerprint: str) -> Loaded:
        terms = Terms("text", (fingerprint,), basis="tokenizer")
        kind = type("Based", (type(run.task),), {"terms": terms})
        return dataclasses.replace(run, task=kind(run.options.task, run.task.state))

    together([based("c0de"), based("c0de")], [0.5, 0.5])
    with pytest.raises(RunError, match=r"but its tokenizer differs \(fingerprint f00d, not c0de\).*one tokenizer\.$"):
        together([based("c0de"), based("f00d")], [0.5, 0.5])


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ((0.5, 0.3, 0.2), "expected one weight for each of the 2 runs"),
        ((1.0, 0.0), "expected positive numbers, but has 0.0"),
        ((1.0, float("nan")), "expected positive numbers, but has nan"),
    ],
)
def test_weights_that_do_not_fit(pair_of, weights, sentence):
    with pytest.raises(OptionError, match=sentence):
        predict(pair_of(TASKS[2]), "tiny", weights=weights)
    with pytest.raises(OptionError, match="none is named"):
        load_members([])


def test_a_sample_that_one_run_cannot_use_is_left_out_of_all(pair_of):
    """A label that one run does not know leaves its rows out of that run's table, so the others' rows must move up."""
    run = loaded(pair_of("image-classification")[0])
    fewer = with_labels(run, lambda labels: [name for name in labels if name != "down"])
    table = samples_for([run], None, {}).table
    expected = [row for row, label in enumerate(table.column("label").to_pylist()) if label != "down"]
    assert 0 < len(expected) < table.num_rows
    faults = []
    parts = encoded_alike([run.task, fewer.task], table, "test", faults)
    for part in parts:
        assert part.table.column("source").to_pylist() == [table.column("source")[row].as_py() for row in expected]
    whole = run.task.encode(table, "test", [])
    assert torch.equal(parts[0].tensors["pixels"], whole.tensors["pixels"][expected])
    assert torch.equal(parts[1].tensors["pixels"], whole.tensors["pixels"][expected])
    assert len(faults) == table.num_rows - len(expected)


def test_a_bad_row_is_said_once_and_refused_or_left_out(pair_of, tmp_path):
    pair = pair_of("tabular-regression")
    file = tmp_path / "new.csv"
    file.write_text("area,year,district\n50,1980,north\nlarge,1990,west\n70,2000,west\n")
    with pytest.raises(DataError, match="large"):
        list(predict(pair, file))
    found = predict(pair, file, skip_bad=True)
    assert [answer.source for answer in found] == ["new.csv, line 2", "new.csv, line 4"] or len(found) == 2
    assert [answer.value for answer in found] == pytest.approx(
        [
            sum(each.value for each in answered) / 2
            for answered in zip(*(predict(run, file, skip_bad=True) for run in pair), strict=True)
        ]
    )


def test_moving_and_cutting_keep_the_parts_together(pair_of):
    both = as_one(*load_members(pair_of("tabular-classification")))
    table = next(iter(task_module("tabular-classification").TINY.make(0).tables.values()))
    encoded = both.task.encode(table, "test", [])
    assert isinstance(encoded, Together) and isinstance(both.task, EnsembleTask)
    assert encoded.num_bytes() == sum(part.num_bytes() for part in encoded.parts)
    moved = encoded.to(torch.device("cpu"))
    batch = both.task.batch(moved, np.array([2, 11]), None)
    assert {name.partition(".")[0] for name in batch.tensors} == {"0", "1"}
    assert both.task.loss(both.model, batch).sum.item() == pytest.approx(
        sum(
            each.task.loss(each.model, each.task.batch(part, np.array([2, 11]), None)).sum.item() / 2
            for each, part in zip(map(loaded, pair_of("tabular-classification")), encoded.parts, strict=True)
        )
    )
    assert [
        figure.title
        for figure in both.task.figures(
            score(both.task, both.model, encoded, device=both.device, ranks=Alone()), encoded
        )
    ]


def test_runs_that_test_other_samples_are_not_scored_on_their_own(pair_of, tmp_path):
    """Another seed cuts another test split, which the other run has learned from."""
    first = pair_of("tabular-classification")[0]
    rows = task_module("tabular-classification").TINY.make(5).tables["all"]
    file = tmp_path / "stays.csv"
    columns = [name for name in rows.column_names if name not in ("source", "key")]
    lines = [
        ",".join("" if cell is None else cell for cell in row.values()) for row in rows.select(columns).to_pylist()
    ]
    file.write_text("\n".join([",".join(columns), *lines]) + "\n")
    runs = [
        str(
            train(
                "tabular-classification",
                file,
                target="stays",
                model="mlp",
                seed=seed,
                out=tmp_path / f"{name}",
                **SMALL,
            ).folder
        )
        for name, seed in (("a", 1), ("b", 2), ("c", 1))
    ]
    with pytest.raises(RunError, match=r"b: tests other samples of its data than .*a "):
        evaluate(runs[:2])
    assert evaluate([runs[0], runs[2]]).count == evaluate(runs[0]).count
    with pytest.raises(RunError, match="was trained on other data than"):
        evaluate([runs[0], first])
    assert evaluate(runs[:2], file).count == rows.num_rows  # data that were named are taken as they are


def test_folds_answer_as_one(tmp_path):
    result = cross_validate(
        "tabular-classification", "tiny", {"model": "mlp", **SMALL}, folds=3, out=tmp_path / "folds"
    )
    runs = [str(result.folder / f"fold-{number}") for number in (1, 2, 3)]
    assert said(str(result.folder)) == said(runs)
    own = [said(run) for run in runs]
    mean = np.mean([[probabilities(answer)["yes"] for answer in answered] for answered in own], axis=0)
    assert [probabilities(answer)["yes"] for answer in said(str(result.folder))] == pytest.approx(
        mean.tolist(), abs=1e-6
    )
    with pytest.raises(RunError, match="each fold is tested on samples that the others have learned"):
        evaluate(result.folder)
    (result.folder / "folds.json").write_text(json.dumps({"folds": {"1": {"run": "../away", "metrics": {}}}}))
    with pytest.raises(RunError, match=r"expected names of run folders beside it, but has \['../away'\]"):
        predict(result.folder, "tiny")
    (result.folder / "folds.json").write_text("[]")
    with pytest.raises(RunError, match="expected folds with a run and its metrics"):
        predict(result.folder, "tiny")


def test_doubled_samples_are_told_apart():
    """Rows of one source and one content are matched by which of their like they are."""

    class Leaves:
        def __init__(self, kept):
            self.kept = kept

        def encode(self, table, split, faults):
            from deepen.prepare.encoded import Encoded

            return Encoded({"row": torch.tensor(self.kept)}, table.take(pa.array(self.kept)))

    table = pa.table({"source": ["a", "a", "b", "c"], "key": ["k", "k", "k", "l"]})
    parts = encoded_alike([Leaves([0, 1, 2]), Leaves([0, 1, 3])], table, "test", [])
    assert [part.tensors["row"].tolist() for part in parts] == [[0, 1], [0, 1]]


def test_data_in_memory(pair_of):
    dataset: Dataset = task_module("tabular-regression").TINY.make(0)
    assert evaluate(pair_of("tabular-regression"), dataset).count == 400
