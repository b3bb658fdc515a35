"""Weights of samples in every task: a sample that weighs three is learned from like three of it, or none may weigh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepen.cli import main
from deepen.core import names
from deepen.core.errors import OptionError
from deepen.engine.options import WEIGHTING
from deepen.verbs.options import resolved, task_module, unread_of
from deepen.verbs.prepared import base_options, prepare

TASKS = list(names.tasks())
WITHOUT = ("language-modeling", "word-vectors")


def made(task: str, **given):
    return prepare(task, "tiny", resolved(task, given, base=base_options(task, "tiny")))


@pytest.mark.parametrize("task", [task for task in TASKS if task not in WITHOUT])
def test_a_weighted_loss_is_that_of_samples_repeated(task: str) -> None:
    """The loss and its gradients, over 13 samples of which the second does not count and the third counts thrice."""
    found = made(task)
    torch.manual_seed(0)
    model = found.task.build().eval()
    rows, times = np.arange(13), np.array([1, 0, 3, 2, 1, 1, 0, 1, 4, 1, 1, 2, 1])
    train = found.encoded["train"]
    weight = torch.zeros(len(train)).index_copy_(0, torch.from_numpy(rows), torch.from_numpy(times).float())
    weighted = replace(train, tensors={**train.tensors, "weight": weight})

    def gradients(encoded, taken) -> list[torch.Tensor]:
        model.zero_grad()
        loss = found.task.loss(model, found.task.batch(encoded, taken, None)).sum
        loss.backward()
        return [loss.detach(), *(each.grad for each in model.parameters() if each.grad is not None)]

    expected = gradients(train, np.repeat(rows, times))
    expected = [each.clone() for each in expected]
    own = gradients(weighted, rows)
    assert expected[0] > 0 and len(own) == len(expected) > 1
    for a, b in zip(own, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-7)


@pytest.mark.parametrize("task", TASKS)
def test_a_training_reads_weights_or_refuses_them(task: str) -> None:
    """Weights for the same data are near 1 and say so; where none are read, the option is refused."""
    if task in WITHOUT:
        assert set(WEIGHTING) <= set(unread_of(task, task_module(task).Options()))
        with pytest.raises(OptionError, match=r"reweight: training \S+ does not read it; leave it out"):
            made(task, reweight="tiny")
        return
    found = made(task, reweight="tiny")
    weight = found.encoded["train"].tensors["weight"]
    assert float(weight.mean()) == pytest.approx(1, abs=0.02) and float(weight.max()) < 5
    assert any(fault.kind == "reweighted" for fault in found.faults)


def test_a_model_that_counts_refuses_them_too(capsys) -> None:
    words = ["train", "language-modeling", "tiny", "--model", "ngram", "--reweight", "tiny"]
    assert main.main(words) == 2
    assert "--reweight: training ngram does not read it; leave it out." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "given", "read"),
    [
        ("representation-learning", {"model": "principal-components", "code_size": 3}, lambda model: model.mean),
        (
            "clustering",
            {"model": "k-means", "clusters": 2, "network.start": "lloyd"},
            lambda model: model.clusters.centres,
        ),
    ],
)
def test_what_is_solved_in_closed_form_is_solved_with_weights(task: str, given: dict, read) -> None:
    """Half of the samples weigh nothing: the same as where they never were."""
    found = made(task, **given)
    train = found.encoded["train"]
    half = torch.arange(len(train)) % 2 == 0
    first, second = (
        replace(train, tensors={**train.tensors, "weight": half.float() * 2}),
        replace(
            train,
            table=train.table.take(torch.nonzero(half)[:, 0].numpy()),
            tensors={name: tensor[half] for name, tensor in train.tensors.items()},
        ),
    )
    solved = []
    for encoded in (first, second, train):
        found.task.start_from(encoded)
        torch.manual_seed(0)
        solved.append(read(found.task.build()).detach().flatten().sort().values)
    torch.testing.assert_close(solved[0], solved[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(solved[0], solved[2], rtol=1e-3, atol=1e-3)
