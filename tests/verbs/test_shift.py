"""Shift through the verbs: `check --against` names what moved, `train --reweight` makes up for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepen.bundle.load import load_header, load_weights
from deepen.cli import main
from deepen.core import names
from deepen.core.errors import DataError, OptionError, RunError
from deepen.data.dataset import Dataset, content_key
from deepen.engine.events import Silent
from deepen.verbs.check import check
from deepen.verbs.evaluate import evaluate
from deepen.verbs.options import resolved, task_module
from deepen.verbs.prepared import prepare
from deepen.verbs.train import train

TASK = "tabular-classification"
QUICK = {"model": "softmax-regression", "steps": 150, "threads": 1, "target": "bought"}


def people(path: Path, count: int, seed: int, *, older: float = 0.0, share: float | None = None, labels=True) -> Path:
    """Who buys depends on age and city; `older` moves the ages, `share` fixes how many bought."""
    draw = np.random.default_rng(seed)
    age, city = draw.normal(40 + older, 9, 6 * count), draw.integers(0, 3, 6 * count)
    bought = (age - 40) / 9 + np.array([-1, 0, 1])[city] + draw.normal(0, 0.7, 6 * count) > 0
    if share is None:
        chosen = np.arange(count)
    else:
        yes, no = np.flatnonzero(bought), np.flatnonzero(~bought)
        chosen = draw.permutation(np.concatenate([yes[: round(share * count)], no[: count - round(share * count)]]))
    names = ["Oslo", "Lima", "Accra"]
    head = ["age", "city", *(["bought"] if labels else [])]
    rows = [[f"{age[i]:.2f}", names[city[i]], *(["yes" if bought[i] else "no"] if labels else [])] for i in chosen]
    path.write_text("\n".join(",".join(row) for row in [head, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on people of 40, and their file."""
    folder = tmp_path_factory.mktemp("shift")
    data = people(folder / "old.csv", 1_201, 0)
    return train(TASK, data, QUICK, out=folder / "run"), data


def kinds(found) -> list[str]:
    return [fault.kind for fault in found.faults if fault.kind.startswith("shift")]


def test_data_of_the_same_source_are_not_called_shifted(run, tmp_path: Path) -> None:
    made, _ = run
    new = people(tmp_path / "new.csv", 601, 1)
    found = check(TASK, new, {"target": "bought"}, against=made.folder)
    assert kinds(found) == ["shift-none"] and found.passed
    assert found.counts == {"new": 601, "reference": len(prepared_rows(made))}


def prepared_rows(made):
    return range(made.header["data"]["counts"]["train"])


def test_the_column_that_moved_is_named(run, tmp_path: Path) -> None:
    made, _ = run
    new = people(tmp_path / "new.csv", 601, 2, older=9)
    found = check(TASK, new, {"target": "bought"}, against=made.folder)
    assert kinds(found)[:2] == ["shift-covariate", "shift-column"] and found.passed
    (column,) = [fault for fault in found.faults if fault.kind == "shift-column"]
    assert column.sentence().startswith("'age': has shifted: median 39.6 there, 48.14 here")
    assert found.shift is not None and found.shift.told.auc > 0.65


def test_shares_are_counted_or_estimated_through_the_runs_answers(run, tmp_path: Path) -> None:
    made, _ = run
    labelled = people(tmp_path / "labelled.csv", 901, 3, share=0.8)
    plain = people(tmp_path / "plain.csv", 901, 3, share=0.8, labels=False)
    counted = check(TASK, labelled, {"target": "bought"}, against=made.folder).shift
    estimated = check(TASK, plain, {"target": "bought"}, against=made.folder).shift
    assert counted is not None and estimated is not None and counted.labels is not None and estimated.labels is not None
    assert (counted.how, estimated.how) == ("counted", "estimated")
    yes = counted.names.index("yes")
    assert counted.labels.new[yes] == pytest.approx(0.8, abs=0.01) and counted.labels.is_shift
    assert estimated.labels.new[estimated.names.index("yes")] == pytest.approx(0.8, abs=0.08)


def test_two_files_are_compared_without_a_run(tmp_path: Path) -> None:
    old, new = people(tmp_path / "old.csv", 401, 4), people(tmp_path / "new.csv", 397, 5, older=12)
    assert "shift-covariate" in kinds(check(TASK, new, {"target": "bought"}, against=old))


def test_the_command_line_says_it_and_gives_the_numbers(run, tmp_path: Path, capsys) -> None:
    made, _ = run
    new = people(tmp_path / "new.csv", 301, 6, older=20)
    words = ["check", TASK, str(new), "--target", "bought", "--against", str(made.folder)]
    assert main.main(words) == 0
    assert "the inputs have shifted" in capsys.readouterr().out
    assert main.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["shift"]["auc"] > 0.8 and said["shift"]["moved"][0]["name"] == "age"


def test_pictures_that_are_darker_are_told_by_name(tmp_path: Path) -> None:
    def pictures(seed: int, light: int) -> Dataset:
        draw = np.random.default_rng(seed)
        pixels = draw.integers(0, light, (151, 11, 13, 1), dtype=np.uint8)
        table = pa.table(
            {
                "image": pa.FixedShapeTensorArray.from_numpy_ndarray(pixels),
                "label": pa.array(["a", "b"] * 75 + ["a"]),
                "source": pa.array([f"{seed}, image {n}" for n in range(151)]),
                "key": pa.array([content_key(each.tobytes()) for each in pixels]),
            }
        )
        return Dataset("made", "made up", {"all": table})

    found = check("image-classification", pictures(1, 200), against=pictures(2, 240))
    assert {"shift-covariate", "shift-column"} <= set(kinds(found))
    assert any("'brightness'" in fault.sentence() for fault in found.faults)
    assert kinds(check("image-classification", pictures(1, 200), against=pictures(3, 200))) == ["shift-none"]


def test_a_run_of_another_task_is_refused(run, tmp_path: Path) -> None:
    made, data = run
    with pytest.raises(RunError, match="is a run of tabular-classification, but the data are to be compared for"):
        check("tabular-regression", data, {"target": "age"}, against=made.folder)


def test_weights_travel_with_the_rows_and_count_in_the_loss(tmp_path: Path) -> None:
    """The gradient of the weighted loss is that of the data with each row repeated as often as its weight says."""
    import torch

    from deepen.ops.losses import cross_entropy_sum, huber_sum, squared_error_sum
    from deepen.ops.mixing import mixed_cross_entropy_sum

    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(5, 3, generator=draw), torch.tensor([0, 2, 1, 1, 0])
    w = torch.tensor([1.0, 0.0, 3.0, 2.0, 1.0])
    again = torch.repeat_interleave(torch.arange(5), w.long())
    torch.testing.assert_close(
        cross_entropy_sum(logits, y, weights=w, label_smoothing=0.1),
        cross_entropy_sum(logits[again], y[again], label_smoothing=0.1),
    )
    share, z = torch.rand(5, generator=draw), torch.tensor([1, 1, 0, 2, 2])
    torch.testing.assert_close(
        mixed_cross_entropy_sum(logits, y, z, share, weights=w),
        mixed_cross_entropy_sum(logits[again], y[again], z[again], share[again]),
    )
    for loss in (squared_error_sum, huber_sum):
        a, b = logits[:, 0], logits[:, 1]
        torch.testing.assert_close(loss(a, b, weights=w), loss(a[again], b[again]))


def test_a_model_weighted_for_the_new_data_is_better_there(tmp_path: Path) -> None:
    """A line through a bent truth must choose where to be right; weighted, it is right where the new data are."""
    draw = np.random.default_rng(8)

    def bent(path: Path, low: float, high: float, count: int) -> Path:
        x = draw.uniform(low, high, count)
        y = x**2 + draw.normal(0, 0.05, count)
        path.write_text("x,y\n" + "".join(f"{a:.4f},{b:.4f}\n" for a, b in zip(x, y, strict=True)))
        return path

    old, new = bent(tmp_path / "old.csv", -1, 1, 1_201), bent(tmp_path / "new.csv", 0.3, 1, 601)
    options = {"model": "linear-regression", "steps": 400, "threads": 1, "target": "y", "optimizer.lr": 0.05}
    plain = train("tabular-regression", old, options, out=tmp_path / "plain")
    weighted = train("tabular-regression", old, {**options, "reweight": str(new)}, out=tmp_path / "weighted")
    errors = [evaluate(each.folder, new).metrics["rmse"] for each in (plain, weighted)]
    assert errors[1] is not None and errors[0] is not None and errors[1] < 0.6 * errors[0]
    assert weighted.header["options"]["reweight"] == str(new)


def test_weights_by_label_give_the_new_shares(run, tmp_path: Path) -> None:
    made, data = run
    new = people(tmp_path / "new.csv", 901, 9, share=0.85, labels=False)
    given = {**QUICK, "reweight": str(new), "reweight_by": "label", "reweight_run": str(made.folder)}
    prepared = prepare(TASK, data, resolved(TASK, given))
    train_data = prepared.encoded["train"]
    weight, label = train_data.tensors["weight"].numpy(), train_data.tensors["label"].numpy()
    yes = prepared.state["labels"].index("yes")
    assert weight.mean() == pytest.approx(1, abs=1e-4)
    assert weight[label == yes].sum() / weight.sum() == pytest.approx(0.85, abs=0.08)
    assert "weight" not in prepared.encoded["val"].tensors
    assert any(fault.kind == "reweighted" for fault in prepared.faults)


def test_weights_by_label_give_the_estimated_shares_where_the_run_learned_of_another_balance(run, tmp_path) -> None:
    """The run's people are half and half; of those to train on 30 % bought, and of the new ones 85 %."""
    made, _ = run
    data = people(tmp_path / "data.csv", 601, 11, share=0.3)
    new = people(tmp_path / "new.csv", 907, 9, share=0.85, labels=False)
    shares = check(TASK, new, {"target": "bought"}, against=made.folder).shift
    assert shares is not None and shares.labels is not None and shares.how == "estimated"
    given = {**QUICK, "reweight": str(new), "reweight_by": "label", "reweight_run": str(made.folder)}
    train_data = prepare(TASK, data, resolved(TASK, given)).encoded["train"]
    weight, label = train_data.tensors["weight"].numpy(), np.array(train_data.table.column("bought").to_pylist())
    assert 0.25 < (label == "yes").mean() < 0.35
    weighted = [weight[label == name].sum() / weight.sum() for name in shares.names]
    assert weighted == pytest.approx(shares.labels.new.tolist(), abs=1e-4)


def lettered(path: Path, labels: str) -> Path:
    """One row for each letter, which is its label."""
    path.write_text("x,y\n" + "".join(f"{row % 7},{letter}\n" for row, letter in enumerate(labels)))
    return path


def by_label(data: Path, new: Path):
    given = {"model": "softmax-regression", "target": "y", "reweight": str(new), "reweight_by": "label"}
    return prepare(TASK, data, resolved(TASK, given))


def test_classes_that_are_spelled_otherwise_are_refused_by_name(tmp_path: Path) -> None:
    old, new = lettered(tmp_path / "old.csv", "ab" * 53), lettered(tmp_path / "new.csv", "AAB" * 17)
    with pytest.raises(DataError, match=r"new\.csv: expected classes .*\('a', 'b'\), but finds only 'A', 'B'; spell"):
        by_label(old, new)


def test_a_new_class_that_training_lacks_is_warned_of_and_the_others_keep_their_proportion(tmp_path: Path) -> None:
    old, new = lettered(tmp_path / "old.csv", "aab" * 53), lettered(tmp_path / "new.csv", "abbbc" * 17)
    found = by_label(old, new)
    (said,) = [fault.sentence() for fault in found.faults if fault.kind == "reweight-lost"]
    assert said.endswith("new.csv: no training sample has these classes, so no weight makes up for them: 'c' (20.0%).")
    train_data = found.encoded["train"]
    weight, label = train_data.tensors["weight"].numpy(), np.array(train_data.table.column("y").to_pylist())
    assert weight[label == "b"].sum() / weight.sum() == pytest.approx(0.75, abs=1e-5)


def test_a_class_that_the_run_has_not_seen_is_warned_of_and_keeps_its_share(run, tmp_path: Path) -> None:
    made, _ = run
    data, new = people(tmp_path / "data.csv", 401, 12), people(tmp_path / "new.csv", 307, 13, labels=False)
    data.write_text(data.read_text() + "40.00,Oslo,maybe\n41.00,Lima,maybe\n" * 97)
    given = {**QUICK, "reweight": str(new), "reweight_by": "label", "reweight_run": str(made.folder)}
    found = prepare(TASK, data, resolved(TASK, given))
    (said,) = [fault.sentence() for fault in found.faults if fault.kind == "reweight-untold"]
    assert said.endswith("has held out no sample of these classes, which so keep their share: 'maybe'.")
    train_data = found.encoded["train"]
    weight, label = train_data.tensors["weight"].numpy(), np.array(train_data.table.column("bought").to_pylist())
    assert weight[label == "maybe"] == pytest.approx(1, abs=1e-4)


class Killed(BaseException):
    pass


class Stopped(Silent):
    """Ends the process at the third step, as a kill would."""

    def step(self, step, progress, seconds_left):
        if step == 3:
            raise Killed


def test_a_run_is_gone_on_with_by_the_same_weights_or_not_at_all(run, tmp_path: Path) -> None:
    """One label of the new data is turned over and back: with the other weights training is refused."""
    _, data = run
    new = people(tmp_path / "new.csv", 307, 14, share=0.75)
    given = {**QUICK, "steps": 5, "reweight": str(new), "reweight_by": "label"}
    with pytest.raises(Killed):
        train(TASK, data, given, out=tmp_path / "cut", events=Stopped())
    record = load_header(tmp_path / "cut")["extra"]["reweighted_to"]
    assert (record["path"], len(record["fingerprint"])) == (str(new), 64)
    before = new.read_text()
    new.write_text(before.replace("yes", "no", 1))
    with pytest.raises(RunError, match=r"--reweight \S+new\.csv: has changed since \S+cut was begun"):
        train(TASK, data, out=tmp_path / "cut", resume=True)
    new.write_text(before)
    whole = train(TASK, data, given, out=tmp_path / "whole")
    ours, theirs = (load_weights(each.folder) for each in (train(TASK, data, out=tmp_path / "cut", resume=True), whole))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_a_run_whose_classes_another_run_told_is_not_gone_on_with_through_a_third(run, tmp_path: Path) -> None:
    made, data = run
    new = people(tmp_path / "new.csv", 307, 15, share=0.75, labels=False)
    teller = tmp_path / "teller"
    shutil.copytree(made.folder, teller)
    given = {**QUICK, "steps": 5, "reweight": str(new), "reweight_by": "label", "reweight_run": str(teller)}
    with pytest.raises(Killed):
        train(TASK, data, given, out=tmp_path / "cut", events=Stopped())
    shutil.rmtree(teller)
    train(TASK, data, {**QUICK, "steps": 30}, out=teller)
    with pytest.raises(RunError, match=r"--reweight-run \S+teller: has changed since \S+cut was begun"):
        train(TASK, data, out=tmp_path / "cut", resume=True)


def test_what_cannot_be_weighted_is_refused(run, tmp_path: Path) -> None:
    _, data = run
    new = people(tmp_path / "new.csv", 101, 10, labels=False)
    with pytest.raises(OptionError, match="expected labels there, or --reweight-run"):
        prepare(TASK, data, resolved(TASK, {**QUICK, "reweight": str(new), "reweight_by": "label"}))
    with pytest.raises(OptionError, match="--reweight-run runs/x: expected --reweight DATA beside it"):
        resolved(TASK, {**QUICK, "reweight_run": "runs/x", "reweight_by": "label"})


def tiny(task: str, seed: int, *, keep: Callable[[dict], bool] | None = None, without: str = "") -> Dataset:
    """The tiny data of a task by a seed; of those that are not to be kept only every fifth row."""
    made = task_module(task).TINY.make(seed)
    (table,) = made.tables.values()
    cells = table.select([name for name in table.column_names if name != "image"]).to_pylist()
    rows = [row for row, each in enumerate(cells) if keep is None or keep(each) or row % 5 == 0]
    left = table.take(pa.array(rows))
    return made.with_tables({"all": left.drop_columns([without]) if without else left})


PLANTED: dict[str, tuple[Callable[[dict], bool], str]] = {  # what is kept, and what is named then
    "clustering": (lambda cells: cells["kind"] != "willow", "edge"),
    "image-classification": (lambda cells: cells["label"] == "cross", ""),
    "language-modeling": (lambda cells: "garden" in cells["text"], "share with the word garden"),
    "representation-learning": (lambda cells: cells["label"] == "right", ""),
    "tabular-classification": (lambda cells: cells["city"] == "Accra", "city"),
    "tabular-regression": (lambda cells: float(cells["rent"]) > 900, "rent"),
    "text-classification": (lambda cells: cells["label"] == "complaint", "the word cracked"),
    "text-pair-classification": (lambda cells: "no" in cells["text_b"].split(), "text_b: the word no"),
    "token-tagging": (lambda cells: "in" in cells["tokens"], "the word in"),
    "word-vectors": (lambda cells: "fruit" in cells["text"], "share with the word fruit0"),
}


@pytest.mark.parametrize("task", list(names.tasks()))
def test_in_every_task_a_planted_shift_is_found_and_no_other(task: str) -> None:
    for seed in (1, 2):
        assert kinds(check(task, tiny(task, seed), against=tiny(task, seed + 50))) == ["shift-none"]
    keep, named = PLANTED[task]
    found = check(task, tiny(task, 1, keep=keep), against=tiny(task, 2)).shift
    assert found is not None and found.is_shift and found.told.p < 0.05
    assert named in {each.name for each in found.moved} or not named
    assert (found.labels is not None and found.labels.is_shift) == (task not in WITHOUT_CLASSES)


WITHOUT_CLASSES = ("language-modeling", "representation-learning", "tabular-regression", "word-vectors")


@pytest.mark.parametrize(
    ("task", "name", "keep"),
    [
        ("text-classification", "complaint", lambda cells: cells["label"] == "complaint"),
        ("token-tagging", "town", lambda cells: "B-town" in cells["tags"]),
    ],
)
def test_of_texts_shares_are_estimated_through_the_runs_answers(task: str, name: str, keep, tmp_path: Path) -> None:
    made = train(task, "tiny", {"threads": 1}, out=tmp_path / "run")
    target = "label" if task == "text-classification" else "tags"
    counted = check(task, tiny(task, 7, keep=keep), against=made.folder).shift
    estimated = check(task, tiny(task, 7, keep=keep, without=target), against=made.folder).shift
    assert counted is not None and estimated is not None and counted.labels is not None and estimated.labels is not None
    assert (counted.how, estimated.how) == ("counted", "estimated") and estimated.labels.p < 0.05
    old, share = (side[counted.names.index(name)] for side in (counted.labels.old, counted.labels.new))
    assert share > 1.4 * old
    assert estimated.labels.new[estimated.names.index(name)] == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("token-tagging", "a sentence has many tags"),
        ("tabular-regression", "what is learned is a number"),
        ("representation-learning", "there is no column of classes"),
    ],
)
def test_without_one_class_a_sample_none_is_weighted_by_it(task: str, why: str) -> None:
    with pytest.raises(OptionError, match=f"--reweight-by label: {why}.*; use covariate"):
        prepare(task, "tiny", resolved(task, {"reweight": "tiny", "reweight_by": "label"}))


def test_texts_are_weighted_to_look_like_others(tmp_path: Path) -> None:
    place = tmp_path / "new.txt"
    lines = tiny("text-classification", 3).tables["all"].column("text").to_pylist()
    place.write_text("\n".join(line for line in lines if "broken" in line or "torn" in line or "bent" in line))
    found = prepare("text-classification", "tiny", resolved("text-classification", {"reweight": str(place)}))
    train_data = found.encoded["train"]
    weight, label = train_data.tensors["weight"].numpy(), np.array(train_data.table.column("label").to_pylist())
    assert weight[label == "complaint"].sum() / weight.sum() > 0.6


def test_groups_are_refused_and_the_column_of_a_grouped_run_is_not_compared(tmp_path: Path) -> None:
    """Patients of the new data have other names, which is no shift."""
    files = []
    for name, seed in (("old", 0), ("new", 1)):
        files.append(people(tmp_path / f"{name}.csv", 241, seed))
        head, *rows = files[-1].read_text().splitlines()
        body = [f"{row},{name}{number // 2 % 7}" for number, row in enumerate(rows)]
        files[-1].write_text("\n".join([f"{head},patient", *body]) + "\n")
    with pytest.raises(OptionError, match=r"--group patient: a comparison takes samples for independent"):
        check(TASK, files[1], {"target": "bought", "group": "patient"}, against=files[0])
    grouped = train(TASK, files[0], {**QUICK, "steps": 11, "group": "patient"}, out=tmp_path / "grouped").folder
    assert kinds(check(TASK, files[1], {"target": "bought"}, against=grouped)) == ["shift-none"]
    assert "shift-column" in kinds(check(TASK, files[1], {"target": "bought"}, against=files[0]))
