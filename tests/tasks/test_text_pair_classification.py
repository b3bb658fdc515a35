"""Text pairs: classes and scores from the same columns, and both sides' ids."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.core.errors import DataError, OptionError
from deepen.core.figures import Matrix
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.data.target import mark_target
from deepen.models import decomposable_attention
from deepen.prepare.encoded import Draws
from deepen.tasks.text_pair_classification import SIDES, TINY, Options, Task, learn
from deepen.verbs.evaluate import evaluate
from deepen.verbs.predict import predict
from deepen.verbs.train import train

MODEL = "decomposable-attention"
SMALL = decomposable_attention.Options(width=5, hidden=7, dropout=0.0)
FIRST = ["a man sleeps", "a dog", "the man", "dog dog dog a"]
SECOND = ["a man", "a man sleeps", "", "the dog"]


def table(label=("yes", "no", "yes", "no"), score=(1.0, 2.0, 4.0, 5.0)):
    made = with_origin(pa.table({"text_a": FIRST, "text_b": SECOND}), [f"p.tsv, line {row + 2}" for row in range(4)])
    if label is not None:
        made = made.append_column("label", pa.array(label, pa.string()))
    return made if score is None else made.append_column("score", pa.array(score, pa.float64()))


PLAIN = Options(model=MODEL)


def learned(made, options=PLAIN):
    return Task(options, learn(options, made, Dataset("t", "", {"all": made}), []), SMALL)


def test_both_sides_share_one_vocabulary():
    task = learned(table())
    assert task.tokenizer.vocabulary == ["<pad>", "<unk>", "a", "dog", "man", "sleeps", "the"]
    encoded = task.encode(table(), "train", [])
    batch = task.batch(encoded, np.array([0, 2]), Draws(0, 0))
    assert batch["text_a"].tolist() == [[2, 4, 5], [6, 4, 0]] and batch["text_b"].tolist() == [[2, 4], [0, 0]]
    assert batch["text_a_mask"].sum(1).tolist() == [3, 2] and batch["text_b_mask"].sum(1).tolist() == [2, 0]
    assert batch["truth"].tolist() == [1, 1] and task.state["longest"] == 4


def test_the_label_is_learned_unless_the_score_is_asked_for_or_alone():
    assert learned(table()).terms.target == "label"
    assert learned(mark_target(table(), "score")).terms.target == "score"
    assert learned(table(label=None)).terms.target == "score"
    assert learned(table(label=(None,) * 4)).terms.target == "score"
    with pytest.raises(OptionError, match="--target scores: expected label or score; did you mean score"):
        learned(mark_target(table(), "scores"))
    with pytest.raises(DataError, match="label or score"):
        learned(table(label=None, score=None))


def test_smoothing_of_a_score_is_refused():
    with pytest.raises(OptionError, match=r"--label-smoothing 0\.1"):
        learned(table(label=None), Options(model=MODEL, label_smoothing=0.1))


def test_scores_are_learned_in_deviations_and_answered_in_their_unit():
    task = learned(table(label=None))
    encoded = task.encode(table(label=None), "val", [])
    assert encoded.tensors["truth"].tolist() == [1, 2, 4, 5]
    assert torch.allclose(encoded.tensors["learned"], torch.tensor([-2.0, -1, 1, 2]) / 2.5**0.5)
    model = task.build().eval()
    batch = task.batch(encoded, np.arange(4), None)
    raw = model(*(batch[name] for name in ("text_a", "text_a_mask", "text_b", "text_b_mask")))[:, 0]
    assert torch.allclose(task.outputs(model, batch), raw.double() * 2.5**0.5 + 3, atol=1e-6)
    assert task.loss(model, batch).sum.item() == pytest.approx(
        (raw - encoded.tensors["learned"]).square().sum().item(), rel=1e-5
    )


def test_the_two_sides_lose_different_words():
    made = table()
    same = made.set_column(made.column_names.index("text_b"), "text_b", made.column("text_a"))
    task = learned(same, Options(model=MODEL, word_dropout=0.5))
    batch = task.batch(task.encode(same, "train", []), np.arange(4), Draws(0, 1))
    assert not torch.equal(batch["text_a"], batch["text_b"])


def test_weights_reach_the_loss_of_classes_and_of_scores():
    for made in (table(), table(label=None)):
        task = learned(made)
        encoded = task.encode(made, "train", [])
        weights = torch.tensor([0.0, 3.0, 0.0, 0.0])
        weighted = dataclasses.replace(encoded, tensors={**encoded.tensors, "weight": weights})
        model = task.build().eval()
        alone = task.loss(model, task.batch(encoded, np.array([1]), None)).sum
        whole = task.loss(model, task.batch(weighted, np.arange(4), None)).sum
        assert whole.item() == pytest.approx(3 * alone.item(), rel=1e-4)


def test_a_score_is_learned_scored_and_answered(tmp_path):
    data = TINY.make(0)
    scored = data.with_tables({"all": data.tables["all"].drop_columns(["label"])})
    run = train("text-pair-classification", scored, dict(TINY.options), out=tmp_path / "run")
    assert run.metrics["pearson"] > 0.9 and run.metrics["rmse"] < 0.7
    assert {"spearman", "mae", "r2"} <= set(run.metrics)
    again = evaluate(run.folder, Dataset("again", "", {"test": scored.tables["all"]}))
    assert again.metrics["pearson"] > 0.9
    (tmp_path / "new.tsv").write_text(
        "text_a\ttext_b\nThe lamp is in the hall\tThere is a lamp in the hall\n"
        "The lamp is in the hall\tThere is a chair in the attic\n",
        "utf-8",
    )
    near, far = predict(run.folder, tmp_path / "new.tsv")
    assert near.value > 4 > 2.5 > far.value


@pytest.mark.parametrize("target", ["label", "score"])
def test_the_report_shows_where_attention_looks_in_the_worst_pair(target):
    made = mark_target(table().take([0, 1, 3]), target)
    task = learned(made)
    encoded, metrics = task.encode(made, "test", []), task.metrics()
    torch.manual_seed(0)
    task.score(task.build().eval(), task.batch(encoded, np.arange(len(encoded)), None), metrics)
    row = metrics.worst(1)[0].row
    shown = task.figures(metrics, encoded)[-1]
    sides = [made.column(side)[row].as_py().split() for side in SIDES]
    assert isinstance(shown, Matrix) and [shown.row_names, shown.column_names] == sides
    assert shown.note == f"the worst mistake, {encoded.source(row)}"
