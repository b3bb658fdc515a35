"""A run's own data are found again as its training took them: without the samples left out, in the same parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepen.core.errors import RunError
from deepen.verbs.check import check
from deepen.verbs.compare import compare
from deepen.verbs.evaluate import evaluate, samples_for
from deepen.verbs.explain import explain
from deepen.verbs.learned_weights import common_validation
from deepen.verbs.loaded import loaded
from deepen.verbs.options import rebuilt
from deepen.verbs.own_data import own_data
from deepen.verbs.prepared import prepare
from deepen.verbs.train import train

TASK = "tabular-classification"
QUICK = {"model": "softmax-regression", "steps": 11, "threads": 1, "target": "y"}
EMPTY = tuple(range(3, 211, 19))


def table(path: Path, empty: tuple[int, ...] = EMPTY) -> Path:
    draw = np.random.default_rng(0)
    rows = [[f"{a:.4f}", f"{b:.4f}", "yes" if a + b > 0 else "no"] for a, b in draw.normal(0, 1, (211, 2))]
    for row in empty:
        rows[row][2] = ""
    path.write_text("\n".join(",".join(row) for row in [["a", "b", "y"], *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Two runs that left out samples without a target, and their file."""
    folder = tmp_path_factory.mktemp("own")
    data = table(folder / "bad.csv")
    made = [
        train(TASK, data, {**QUICK, "optimizer": {"learning_rate": rate}}, out=folder / name, skip_bad=True)
        for name, rate in (("one", 0.1), ("two", 0.01))
    ]
    return made[0].folder, made[1].folder, data


def sources(table) -> set[str]:
    return set(table.column("source").to_pylist())


@pytest.mark.parametrize("skip_bad", [True, False])
def test_figures_on_the_own_test_split_are_those_of_the_training(runs, skip_bad: bool) -> None:
    one, _, _ = runs
    said = loaded(one).header["metrics"]
    found = evaluate(one, skip_bad=skip_bad)
    assert found.split == said["of"] == "test"
    assert found.metrics == pytest.approx(said["test"], rel=1e-6)
    assert [fault.message for fault in found.faults if fault.kind == "left-out"] == [
        f"{len(EMPTY)} bad samples left out, as in the training (--skip-bad)."
    ]


def test_no_sample_that_the_run_was_trained_on_is_tested(runs) -> None:
    one, _, data = runs
    header = loaded(one).header
    trained = prepare(TASK, data, rebuilt(TASK, header["options"]), skip_bad=True).tables
    tested = samples_for([loaded(one)], None, {}).table
    assert sources(tested) == sources(trained["test"])
    assert not sources(tested) & (sources(trained["train"]) | sources(trained["val"]))
    again = own_data(loaded(one), data, mend=".")
    assert {name: sources(part) for name, part in again.tables.items()} == {
        name: sources(part) for name, part in trained.items()
    }
    assert sum(part.num_rows for part in again.tables.values()) == 211 - len(EMPTY)


def test_every_verb_that_goes_back_to_the_data_finds_them(runs, tmp_path: Path) -> None:
    one, two, data = runs
    assert compare([one, two]).runs[0].metrics in [evaluate(each).metrics for each in (one, two)]
    assert explain(one, out=tmp_path / "why", skip_bad=True).split == "test"
    validated = common_validation([loaded(one), loaded(two)], instead="the weights")
    assert validated.num_rows == loaded(one).header["data"]["counts"]["val"]
    found = check(TASK, data, {"target": "y"}, against=one)
    assert found.shift is not None and found.shift.counts[0] == loaded(one).header["data"]["counts"]["train"]


def test_a_file_that_has_changed_is_still_refused(tmp_path: Path) -> None:
    data = table(tmp_path / "bad.csv")
    run = train(TASK, data, QUICK, out=tmp_path / "run", skip_bad=True).folder
    table(data, EMPTY[:-1])
    with pytest.raises(RunError, match=r"bad\.csv: has changed since .*run was trained on it"):
        evaluate(run, skip_bad=True)


def test_without_skip_bad_nothing_is_left_out_in_silence(tmp_path: Path) -> None:
    data = table(tmp_path / "whole.csv", ())
    run = train(TASK, data, QUICK, out=tmp_path / "run").folder
    table(data)
    with pytest.raises(RunError, match=r"has changed"):
        evaluate(run, skip_bad=True)


def test_named_data_that_a_run_was_trained_on_are_said_to_be_so(runs, tmp_path: Path) -> None:
    """The file as it is holds the bad rows too; a copy is the same data, another table is not."""
    one, two, data = runs
    count = loaded(one).header["data"]["counts"]["train"]
    copy = tmp_path / "copy.csv"
    copy.write_bytes(data.read_bytes())
    for named in (data, copy):
        said = [fault.sentence() for fault in evaluate(one, named, skip_bad=True).faults if fault.kind == "trained-on"]
        assert said == [
            f"{one}: was trained on {count} of these 211 samples, so that its figures here say little about new data."
        ]
    (said,) = [each for each in compare([one, two], data, skip_bad=True).warnings if "was trained on" in each]
    assert said.startswith(f"{one}: was trained on {count} of these 211") and said.endswith(f"1 more like this: {two}")
    found = evaluate(one, table(tmp_path / "other.csv", EMPTY[:-1]), skip_bad=True)
    assert not [fault for fault in found.faults if fault.kind == "trained-on"]


def test_groups_are_kept_together_in_the_count_and_a_given_test_part_is_not_counted(tmp_path: Path) -> None:
    data = table(tmp_path / "whole.csv", ())
    lines = data.read_text().splitlines()
    data.write_text("\n".join([f"{lines[0]},patient", *(f"{line},p{row // 3}" for row, line in enumerate(lines[1:]))]))
    run = train(TASK, data, {**QUICK, "group": "patient"}, out=tmp_path / "run").folder
    count = loaded(run).header["data"]["counts"]["train"]
    (said,) = [fault for fault in evaluate(run, data).faults if fault.kind == "trained-on"]
    assert f"was trained on {count} of these 211 samples" in said.message
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, rows in (("train", lines[1:150]), ("test", lines[150:])):
        (parts / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    run = train(TASK, parts, QUICK, out=tmp_path / "given").folder
    assert not [fault for fault in evaluate(run, parts).faults if fault.kind == "trained-on"]
