"""Mixing, noise, normalization and policies within the tasks: what a batch holds, and that it is the row's alone."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepen.bundle import checkpoint
from deepen.core import rng
from deepen.engine.events import Silent
from deepen.engine.fit import fit
from deepen.nn.dropout import drawing_for
from deepen.ops.mixing import beta_share, partner_rows
from deepen.parallel import launch
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Draws
from deepen.verbs.evaluate import evaluate
from deepen.verbs.options import resolved
from deepen.verbs.prepared import base_options, prepare
from deepen.verbs.train import train

IMAGES, CLASSES, NUMBERS = "image-classification", "tabular-classification", "tabular-regression"
TAGS = "token-tagging"
ATTENTION = {"model": "transformer-tagger", "network.width": 16, "network.feed_forward": 11}
SGD = {"optimizer.kind": "sgd", "optimizer.learning_rate": 0.01, "epochs": 2}
CASES = {
    "mixup": (IMAGES, {"mixup": 0.4}),
    "cutmix": (IMAGES, {"cutmix": 1.0}),
    "mixup and cutmix": (IMAGES, {"mixup": 0.4, "cutmix": 1.0, "augment": ("crop",)}),
    "noise on pixels": (IMAGES, {"input_noise": 0.3}),
    "whitening": (IMAGES, {"normalize": "whitening"}),
    "local contrast": (IMAGES, {"normalize": "local-contrast", "augment": ("trivial", "elastic")}),
    "mixup of rows": (CLASSES, {"mixup": 0.4, "input_noise": 0.3}),
    "mixup of numbers": (NUMBERS, {"mixup": 0.4, "input_noise": 0.3, "columns.whiten": True}),
    "skipped blocks and smoothed tags": (
        TAGS,
        {**ATTENTION, "network.stochastic_depth": 0.5, "label_smoothing": 0.2, "epochs": 1},
    ),
}


def prepared(task, changes):
    chosen = resolved(task, {}, base={**base_options(task, "tiny"), **SGD, **changes})
    return prepare(task, "tiny", chosen), chosen.fit


def fitted(ranks, order, **more):
    task, changes = order
    torch.set_num_threads(1)
    found, options = prepared(task, changes)
    return fit(found.task, found.encoded["train"], found.encoded.get("val"), options, ranks=ranks, **more)


def weights(fitted):
    return torch.cat([p.detach().reshape(-1).double() for p in fitted.model.parameters()])


def same(a, b):
    """Only the order of additions differs: 2e-5 of the largest weight, as float32 and pooling's ties allow."""
    assert (weights(a) - weights(b)).abs().max() <= 2e-5 * weights(a).abs().max()


@pytest.mark.parametrize("case", CASES)
def test_micro_batches_take_the_same_steps(case):
    task, changes = CASES[case]
    same(fitted(Alone(), (task, changes)), fitted(Alone(), (task, {**changes, "accumulate": 4})))


@pytest.mark.parametrize("case", ["mixup and cutmix", "noise on pixels", "mixup of numbers"])
def test_two_ranks_take_the_same_steps_as_one(case):
    one = fitted(Alone(), CASES[case])
    with launch.group(2, "cpu", fitted, CASES[case]) as ranks:
        two = fitted(ranks, CASES[case])
    same(one, two)


class KilledAt(Silent):
    class Killed(BaseException):
        pass

    def step(self, step, progress, seconds_left):
        if step == 7:
            raise KilledAt.Killed


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_is_never_killed(tmp_path, case):
    task, changes = CASES[case]
    order = (task, {**changes, "checkpoint_every": "1ms"})
    undisturbed = fitted(Alone(), order)
    with pytest.raises(KilledAt.Killed):
        fitted(Alone(), order, folder=tmp_path, events=KilledAt())
    assert checkpoint.has_checkpoint(tmp_path)
    assert torch.equal(weights(undisturbed), weights(fitted(Alone(), order, folder=tmp_path, resume=True)))


def batches(task, changes, rows, epoch=3):
    found, _ = prepared(task, changes)
    train = found.encoded["train"]
    return found.task, train, found.task.batch(train, rows, Draws(5, epoch))


@pytest.mark.parametrize("case", ["mixup and cutmix", "mixup of rows", "mixup of numbers"])
def test_a_mixed_row_is_the_same_in_any_batch_and_another_in_another_epoch(case):
    task, changes = CASES[case]
    rows = np.array([3, 50, 7, 101, 11])
    _, _, whole = batches(task, changes, rows)
    _, _, part = batches(task, changes, rows[[3, 1]])
    _, _, later = batches(task, changes, rows, epoch=4)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor[[3, 1]], part[name]), name
    inputs = "pixels" if task == IMAGES else "numbers"
    assert not torch.equal(whole[inputs], later[inputs])


def test_images_are_mixed_with_their_augmented_partners_and_carry_both_labels():
    rows = np.array([3, 50, 7, 101, 11])
    changes = {"augment": ("crop",)}
    task, train, plain = batches(IMAGES, changes, rows)
    _, _, mixed = batches(IMAGES, {**changes, "mixup": 0.7}, rows)
    partners = partner_rows(5, 3, rows, len(train))
    others = task.batch(train, partners, Draws(5, 3))
    share = torch.from_numpy(beta_share(rng.uniform(5, 3, rows, 4, "mixing")[:, 1], 0.7))
    assert torch.equal(mixed["share"], share)
    assert torch.equal(mixed["label"], plain["label"]) and torch.equal(mixed["label_2"], others["label"])
    s = share.view(-1, 1, 1, 1)
    assert torch.allclose(mixed["pixels"], s * plain["pixels"] + (1 - s) * others["pixels"], atol=1e-6)


def test_the_loss_of_mixed_images_is_that_of_both_labels():
    rows = np.arange(13)
    task, _, batch = batches(IMAGES, {"mixup": 1.0, "cutmix": 1.0, "label_smoothing": 0.1}, rows)
    model = task.build()
    logits = model(batch["pixels"])
    losses = [
        F.cross_entropy(logits, batch[name], reduction="none", label_smoothing=0.1) for name in ("label", "label_2")
    ]
    expected = (batch["share"] * losses[0] + (1 - batch["share"]) * losses[1]).sum()
    assert float(task.loss(model, batch).sum.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_members_of_a_table_network_learn_both_labels():
    rows = np.arange(17)
    task, _, batch = batches(CLASSES, {"mixup": 1.0, "network.dropout": 0.0}, rows)
    model = task.build().train()
    outputs = model(batch["numbers"], batch["categories"])  # [B, M, K]
    expected = torch.zeros(())
    for member in outputs.unbind(1):
        for name, share in (("label", batch["share"]), ("label_2", 1 - batch["share"])):
            expected = expected + (share * F.cross_entropy(member, batch[name], reduction="none")).sum()
    found = task.loss(model, batch).sum.detach()
    assert float(found) == pytest.approx(float(expected.detach()) / outputs.shape[1], rel=1e-5)


def test_targets_of_a_regression_are_interpolated():
    rows = np.arange(19)
    task, train, mixed = batches(NUMBERS, {"mixup": 0.7}, rows)
    plain = train.take(rows)
    others = train.take(partner_rows(5, 3, rows, len(train)))
    u = rng.uniform(5, 3, rows, 1 + plain["categories"].shape[1], "mixing")
    share = torch.from_numpy(beta_share(u[:, 0], 0.7))
    assert torch.allclose(mixed["learned"], share * plain["learned"] + (1 - share) * others["learned"], atol=1e-6)
    assert torch.equal(task.batch(train, rows, None)["learned"], plain["learned"])


@pytest.mark.parametrize("task", [IMAGES, CLASSES, NUMBERS])
def test_noise_reaches_the_network_in_training_alone(task):
    rows = np.arange(151)
    seen = []
    model = "linear-regression" if task == NUMBERS else "softmax-regression"
    chosen, _, batch = batches(task, {"input_noise": 0.25, "model": model}, rows)
    model = chosen.build()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with drawing_for(5, 3, rows, torch.device("cpu")):
        chosen.loss(model, batch)
    chosen.answer(model.eval(), batch, [""] * len(rows))
    inputs = batch["pixels" if task == IMAGES else "numbers"]
    noise = seen[0] - inputs
    is_noisy = noise.flatten(1).any(0)
    assert torch.equal(seen[1], inputs)
    drawn = noise.flatten(1)[:, is_noisy]
    assert float(drawn.std()) == pytest.approx(0.25, rel=4 / (2 * drawn.numel()) ** 0.5)  # four standard errors
    if task == CLASSES:  # age and minutes, and whether minutes are missing
        assert is_noisy.tolist() == [True, True, False]
    else:
        assert is_noisy.all()


def test_images_decoded_batch_by_batch_find_their_partners():
    """Where pixels are not held in memory, a partner is decoded as any other row."""
    rows = np.array([3, 50, 7])
    task, train, whole = batches(IMAGES, {"mixup": 0.7}, rows)
    without = {name: tensor for name, tensor in train.tensors.items() if name != "pixels"}
    encoded = type(train)(without, train.table, is_whole=False)
    found = task.batch(encoded, rows, Draws(5, 3))
    assert torch.equal(found["pixels"], whole["pixels"]) and torch.equal(found["label_2"], whole["label_2"])


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (IMAGES, {"normalize": "whitening"}),
        (IMAGES, {"normalize": "local-contrast"}),
        (CLASSES, {"columns.whiten": True}),
    ],
)
def test_what_normalization_learned_travels_with_the_run(tmp_path, task, changes):
    run = train(task, "tiny", {"epochs": 1, **changes}, out=tmp_path / "run")
    assert evaluate(run.folder).metrics == run.metrics
    assert evaluate(run.folder, "tiny").metrics == run.metrics


def test_every_policy_and_augmentation_is_an_option():
    module = importlib.import_module("deepen.tasks.image_classification")
    field = next(each for each in module.Options.__dataclass_fields__.values() if each.name == "augment")
    given = SimpleNamespace(choices=field.metadata["choices"])
    assert {"randaugment", "trivial", "elastic", "cutout", "erase", "auto"} <= set(given.choices)
