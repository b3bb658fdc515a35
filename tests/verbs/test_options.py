"""Options of one kind of optimizer or schedule never leak into another, and none is ignored."""

from __future__ import annotations

import json

import pytest

from deepen.core.errors import OptionError
from deepen.engine import optim_kinds
from deepen.verbs.options import rebuilt, resolved, task_module, without_unread

TASK = "image-classification"


def optimizer(**given):
    """The options of the optimizer under lenet, whose recipe is adamw at 0.003 with a decay of 0.01."""
    return resolved(TASK, {"model": "lenet", **given}).fit.optimizer


def test_a_recipe_holds_for_its_own_kind():
    assert optimizer().learning_rate == 0.003
    assert optimizer(**{"optimizer.kind": "adamw"}).learning_rate == 0.003
    assert optimizer(**{"optimizer.kind": "adamw", "optimizer.lr": 0.5}).learning_rate == 0.5


@pytest.mark.parametrize("kind", sorted(set(optim_kinds.READS) - {"adamw"}))
def test_another_kind_comes_with_its_own_defaults(kind):
    found = optimizer(**{"optimizer.kind": kind})
    for name, value in optim_kinds.READS[kind].items():
        assert getattr(found, name) == value, name
    assert found == optim_kinds.filled(found)


def test_full_batch_methods_keep_their_rate_unless_a_schedule_is_named():
    chosen = resolved(TASK, {"model": "lenet", "optimizer.kind": "newton"}).fit.schedule
    assert (chosen.kind, chosen.warm_up) == ("constant", 0.0)
    named = {"model": "lenet", "optimizer.kind": "gradient-descent", "schedule.kind": "polynomial"}
    assert resolved(TASK, named).fit.schedule.kind == "polynomial"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"optimizer.kind": "adagrad", "optimizer.momentum": 0.5},
            "optimizer.momentum: adagrad does not read it, only sgd, rmsprop, lars; leave it out.",
        ),
        ({"optimizer.trust": 0.1}, "optimizer.trust: adamw does not read it, only lars; leave it out."),
        ({"optimizer.kind": "sgd", "optimizer.beta1": 0.8}, "sgd does not read it, only adam, adamw, yogi"),
        ({"schedule.milestones": "0.1,0.2"}, "schedule.milestones: cosine does not read it, only multi-step;"),
        ({"schedule.stretch": 2.0}, "schedule.stretch: nothing reads it without schedule.restarts; state that too"),
        ({"model": "mlp", "network.gate": "top2"}, "network.gate: nothing reads it without network.experts"),
        ({"model": "googlenet", "network.auxiliary_dropout": 0.5}, "nothing reads it without network.auxiliary;"),
        ({"schedule.kind": "constant", "schedule.final": 0.1}, "schedule.final: constant does not read it"),
        ({"schedule.warm_up_factor": 0.2}, "schedule.warm_up_factor: only a warm-up of --schedule.warm-up-shape"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(given, said):
    with pytest.raises(OptionError, match=said):
        resolved(TASK, {"model": "lenet", **given})


@pytest.mark.parametrize(
    ("task", "given", "said"),
    [
        (
            "clustering",
            {"clusters": 3, "max_clusters": 5},
            r"max_clusters: .* k-means with a given number of clusters \(3\)",
        ),
        ("clustering", {"features": "runs/x", "image_size": 8}, "image_size: .* on the features of a run"),
        ("clustering", {"features": "runs/x", "columns.rare": 2}, "columns.rare: .* on the features of a run"),
        ("representation-learning", {"noise_level": 0.5}, "noise_level: training autoencoder without noise"),
    ],
)
def test_an_option_that_nothing_reads_beside_others_is_refused(task, given, said):
    with pytest.raises(OptionError, match=f"^{said} does not read it; leave it out"):
        resolved(task, given)


def test_what_nobody_says_is_not_refused(tmp_path):
    """A default, what comes with the tiny data, and what a run says of itself."""
    resolved("clustering", {"clusters": 3, "max_clusters": 12})
    chosen = resolved(
        "representation-learning", {"noise": "none"}, base=task_module("representation-learning").TINY.options
    )
    assert chosen.flat["noise_level"] == 0.05
    run = {
        "format_version": 1,
        "options": {"model": "k-means", "features": "runs/x", "image_size": 8, "reweight_by": "label"},
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert resolved("clustering", {}, tmp_path).flat["image_size"] == 8
    stored = without_unread("representation-learning", chosen)
    assert stored == {**chosen.flat, "noise_level": 0.25}
    assert resolved("representation-learning", stored).flat == stored


def test_what_has_shifted_is_not_said_without_where_to():
    with pytest.raises(OptionError, match="--reweight-by label: expected --reweight DATA beside it"):
        resolved("clustering", {"reweight_by": "label"})
    assert rebuilt("clustering", {"reweight_by": "label"}).reweight.reweight_by == "label"  # as an older run may say


def test_what_is_off_is_said_without_what_it_needs():
    assert resolved(TASK, {"model": "mlp", "network.balance": 0.0}).network.balance == 0.0


def test_flags_are_spelled_as_flags():
    with pytest.raises(OptionError, match=r"--optimizer\.momentum: adam does not read it"):
        resolved(TASK, {"optimizer.kind": "adam", "optimizer.momentum": 0.5}, flags=True)
    with pytest.raises(OptionError, match="--noise-level: training autoencoder without noise"):
        resolved("representation-learning", {"noise_level": 0.5}, flags=True)


def test_a_runs_own_options_can_be_taken_over_whole(tmp_path):
    """run.json states every option, those that its optimizer did not read as none: no sentence, no loss."""
    first = resolved(TASK, {"model": "lenet", "optimizer.kind": "lars", "optimizer.trust": 0.02, "epochs": 2})
    config = tmp_path / "options.json"
    config.write_text(json.dumps(first.flat))
    assert resolved(TASK, {}, config).flat == first.flat
    assert rebuilt(TASK, first.flat).flat == first.flat
    changed = resolved(TASK, {"optimizer.kind": "sgd"}, config).fit.optimizer
    assert changed.trust is None and changed.learning_rate == optim_kinds.READS["sgd"]["learning_rate"]
    kept = resolved(TASK, {"optimizer.lr": 3.0}, config).fit.optimizer
    assert (kept.kind, kept.trust, kept.learning_rate) == ("lars", 0.02, 3.0)


def test_a_runs_options_are_taken_as_far_as_this_training_reads_them(tmp_path):
    """One that counts was told options that it does not read, by its data; another network has no `network.order`."""
    counted = resolved("language-modeling", {"model": "ngram"}, base={"sequence_length": 7})
    run = {"format_version": 1, "options": {**counted.flat, "network.order": 3, "seed": 11}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    again = resolved("language-modeling", {}, tmp_path)
    assert again.flat == {**counted.flat, "network.order": 3, "seed": 11}
    other = resolved("language-modeling", {"model": "lstm"}, tmp_path)
    assert other.flat["seed"] == 11
    assert "network.order" not in other.flat
    assert other.notes == (f"--config {tmp_path}: left out, being of ngram and not of lstm: network.order 3",)
    assert not again.notes
    with pytest.raises(OptionError, match="training ngram does not read it"):
        resolved("language-modeling", {"sequence_length": 7}, tmp_path)
    (tmp_path / "own.json").write_text(json.dumps({"model": "ngram", "sequence_length": 7}))
    with pytest.raises(OptionError, match="training ngram does not read it"):
        resolved("language-modeling", {}, tmp_path / "own.json")
