from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from deepen.prepare import outcomes


def table(**columns):
    count = len(next(iter(columns.values())))
    return pa.table({**columns, "source": [f"a.csv, row {row + 2}" for row in range(count)]})


def numbers():
    rows = table(score=[1.0, 2.0, 3.0, None, 6.0])
    return outcomes.outcome_of(outcomes.learn_number(rows.filter(rows["score"].is_valid()), "score", []), top=5), rows


def test_a_number_is_learned_in_deviations_and_answered_in_its_unit():
    outcome, rows = numbers()
    faults = []
    tensors, kept = outcome.encode(rows, "val", faults)
    assert kept.tolist() == [0, 1, 2, 4] and [fault.row for fault in faults] == [3]
    assert tensors["learned"].mean().abs() < 1e-6 and tensors["learned"].var(correction=0) == pytest.approx(1)
    assert torch.allclose(outcome.outputs(tensors["learned"][:, None]), tensors["truth"], atol=1e-6)
    assert [answer.value for answer in outcome.answers(tensors["truth"], list("abcd"))] == [1.0, 2.0, 3.0, 6.0]
    raw = tensors["learned"][:, None] + torch.tensor([[1.0], [0.0], [2.0], [0.0]])
    assert outcome.loss_sum(raw, tensors).item() == pytest.approx(5)


def test_the_loss_of_label_sets_is_the_mean_over_labels_by_hand():
    state = outcomes.learn_label_set(table(labels=[["a"], ["b"], []]), "labels", (), [])
    outcome = outcomes.outcome_of(state, top=5)
    tensors, _ = outcome.encode(table(labels=[["a"], []]), "train", [])
    raw = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    p = torch.sigmoid(raw)
    losses = [-(p[0, 0].log() + (1 - p[0, 1]).log()) / 2, -((1 - p[1, 0]).log() + (1 - p[1, 1]).log()) / 2]
    assert outcome.loss_sum(raw, tensors).item() == pytest.approx(float(sum(losses)), rel=1e-6)
    weighted = {**tensors, "weight": torch.tensor([0.0, 3.0])}
    assert outcome.loss_sum(raw, weighted).item() == pytest.approx(3 * float(losses[1]), rel=1e-6)
    smooth = outcome.loss_sum(raw, tensors, label_smoothing=1.0).item()  # every target is 1 / 2
    assert smooth == pytest.approx(-float((p.log() + (1 - p).log()).sum()) / 4, rel=1e-6)


def test_an_ensemble_of_label_sets_has_the_mean_of_the_probabilities():
    state = outcomes.learn_label_set(table(labels=[["a"], ["b"]]), "labels", (), [])
    outcome = outcomes.outcome_of(state, top=5)
    logits = [torch.randn(7, 2), torch.randn(7, 2)]
    mean = 0.25 * torch.sigmoid(logits[0].double()) + 0.75 * torch.sigmoid(logits[1].double())
    assert torch.allclose(torch.sigmoid(outcome.combine(logits, [0.25, 0.75])), mean)
    assert torch.equal(outcome.combine(logits[:1], [1.0]), logits[0])


def test_weights_count_samples_of_classes():
    state = outcomes.learn_class(table(label=["x", "y", "x"]), "label", (), [])
    outcome = outcomes.outcome_of(state, top=5)
    tensors, _ = outcome.encode(table(label=["x", "y"]), "train", [])
    raw = torch.randn(2, 2)
    alone = outcome.loss_sum(raw[1:], {"truth": tensors["truth"][1:]})
    weighted = outcome.loss_sum(raw, {**tensors, "weight": torch.tensor([0.0, 2.0])})
    assert weighted.item() == pytest.approx(2 * alone.item())


def test_thresholds_are_chosen_for_the_largest_f1():
    state = outcomes.learn_label_set(table(labels=[["a"], ["b"]]), "labels", (), [])
    outcome = outcomes.outcome_of(state, top=5)
    metrics = outcome.metrics()
    truth = torch.tensor([[1.0, 1], [1, 0], [0, 0]])
    outcome.score(torch.tensor([[-1.0, 3], [-2, 2], [-3, 1]]), {"truth": truth}, np.arange(3), metrics)
    before = metrics.result()["macro_f1"]
    outcome.decide(metrics)
    assert before < metrics.result()["macro_f1"] == 1.0
    low, high = torch.logit(torch.tensor(state["thresholds"]))
    assert -3 < low < -2 and 2 < high < 3
    assert [answer.labels for answer in outcome.answers(torch.tensor([[-2.1, 2.9]]), ["x"])] == [("a", "b")]
    stated = outcomes.learn_label_set(table(labels=[["a"], ["b"]]), "labels", (), [], threshold=0.3)
    assert stated["thresholds"] == [0.3, 0.3]


@pytest.mark.parametrize("kind", ["class", "label set", "number"])
def test_every_kind_scores_answers_and_draws(kind):
    learners = {
        "class": lambda: outcomes.learn_class(table(label=["x", "y"]), "label", (), []),
        "label set": lambda: outcomes.learn_label_set(table(labels=[["x"], ["y"]]), "labels", (), []),
        "number": lambda: outcomes.learn_number(table(score=[1.0, 4.0]), "score", []),
    }
    columns = {"label": ["x", "y"] * 3, "labels": [["x"], []] * 3, "score": [1.0, 2.0, 4.0] * 2}
    state = learners[kind]()
    assert state["kind"] == kind
    outcome = outcomes.outcome_of(state, top=5)
    tensors, rows = outcome.encode(table(**columns), "val", [])
    outputs = outcome.outputs(torch.randn(6, outcome.num_outputs, generator=torch.Generator().manual_seed(0)))
    metrics = outcome.metrics()
    outcome.score(outputs, tensors, np.arange(6), metrics)
    assert outcome.objective[0] in metrics.result()
    assert len(outcome.answers(outputs, list("abcdef"))) == 6 == len(rows)
    assert outcome.figures(metrics, lambda row: pytest.fail("no sample") if row > 5 else _sample(row))


def _sample(row):
    from deepen.core.figures import Sample

    return Sample([f"row {row}"])
