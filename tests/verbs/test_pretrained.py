"""`--pretrain` and `--pretrain-on`: what a run begins with, says, keeps, and refuses."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from deepen.bundle import load
from deepen.core.errors import DataError, OptionError, RunError
from deepen.engine.events import Silent
from deepen.engine.signals import Interrupted
from deepen.verbs.find_rate import find_rate
from deepen.verbs.train import train
from tests.torture.training import Kill, assert_same, killed_and_resumed, undisturbed

TASK, TABLE = "image-classification", "tabular-classification"
SHORT = {"model": "mlp", "epochs": 2, "threads": 1, "network.hidden": (17, 11), "pretrain_epochs": 2}


class Heard(Silent):
    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


class Stopped(Silent):
    """Ends the process at the n-th update, of pretraining or after it, as a kill would."""

    class Killed(BaseException):
        pass

    def __init__(self, at):
        self.left = at

    def step(self, step, progress, seconds_left):
        self.left -= 1
        if self.left == 0:
            raise Stopped.Killed


@pytest.fixture
def more(tmp_path):
    """83 pictures without labels."""
    pixels = np.random.default_rng(0).integers(0, 256, (83, 11, 11), dtype=np.uint8)
    np.savez(tmp_path / "more.npz", images=pixels)
    return tmp_path / "more.npz"


def same(first, second):
    ours, theirs = load.load_weights(first.folder), load.load_weights(second.folder)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_says_and_keeps_what_it_was_pretrained_on(tmp_path, more):
    heard = Heard()
    given = {**SHORT, "pretrain": "denoising", "pretrain_on": str(more)}
    run = train(TASK, "tiny", given, out=tmp_path / "run", events=heard)
    assert f"pretraining sees 83 further samples of {more}, without labels" in heard.said
    header = load.load_header(run.folder)
    count = header["data"]["counts"]["train"] + 83
    assert f"pretraining 2 layers on {count} samples (denoising)" in heard.said
    record, course = header["extra"]["pretrained_on"], header["extra"]["pretraining"]
    assert (record["path"], record["count"], len(record["fingerprint"])) == (str(more), 83, 64)
    assert [(each["layer"], each["units"], len(each["errors"])) for each in course] == [
        ("layers.0", 17, 2),
        ("layers.3", 11, 2),
    ]
    assert "Pretraining, layer by layer" in (run.folder / "report.html").read_text("utf-8")


def test_without_pretraining_nothing_is_said_of_it(tmp_path):
    given = {name: value for name, value in SHORT.items() if name != "pretrain_epochs"}
    run = train(TASK, "tiny", given, out=tmp_path / "run")
    assert not {"pretrained_on", "pretraining"} & set(load.load_header(run.folder)["extra"])
    assert "layer by layer" not in (run.folder / "report.html").read_text("utf-8")


def test_the_further_samples_count(tmp_path, more):
    given = {**SHORT, "pretrain": "autoencoder"}
    without = train(TASK, "tiny", given, out=tmp_path / "without")
    beside = train(TASK, "tiny", {**given, "pretrain_on": str(more)}, out=tmp_path / "beside")
    assert not same(without, beside)


@pytest.mark.parametrize("at", [3, 25, 60])
def test_killed_in_pretraining_or_after_it_a_run_ends_as_if_never_killed(tmp_path, more, at):
    given = {**SHORT, "pretrain": "rbm", "pretrain_on": str(more), "trunk_lr": 0.3}
    whole = train(TASK, "tiny", given, out=tmp_path / "whole")
    with pytest.raises(Stopped.Killed):
        train(TASK, "tiny", given, out=tmp_path / "cut", events=Stopped(at))
    begun = (tmp_path / "cut" / "checkpoint").exists()
    assert begun == (at > 50)
    if begun:
        more.unlink()  # a run that has a checkpoint needs the data no more
    cut = train(TASK, "tiny", out=tmp_path / "cut", resume=True)
    assert same(whole, cut)
    assert (whole.folder / "metrics.jsonl").read_bytes() == (cut.folder / "metrics.jsonl").read_bytes()
    ours, theirs = (load.load_header(run.folder)["extra"] for run in (whole, cut))
    assert ours["pretraining"] == theirs["pretraining"] and ours["pretrained_on"] == theirs["pretrained_on"]


@pytest.mark.parametrize("plan", [[Kill("step", 5)], [Kill("step", 40), Kill("operation", 90), Kill("step", 7)]])
def test_killed_for_good_in_pretraining_and_around_it(tmp_path, plan):
    options = {"model": "mlp", "pretrain": "rbm", "pretrain_epochs": 2, "pretrain_persistent": True, "threads": 1}
    undisturbed(TASK, tmp_path / "alone", options)
    assert killed_and_resumed(TASK, tmp_path / "run", plan, options) == len(plan)
    assert_same(tmp_path / "run", tmp_path / "alone")


def test_a_signal_in_pretraining_leaves_a_run_to_go_on_with(tmp_path):
    class Signalled(Silent):
        def step(self, step, progress, seconds_left):
            if step == 5:
                signal.raise_signal(signal.SIGINT)

    given = {**SHORT, "pretrain": "autoencoder"}
    with pytest.raises(Interrupted):
        train(TASK, "tiny", given, out=tmp_path / "cut", events=Signalled())
    assert load.load_header(tmp_path / "cut")["status"] == "interrupted"
    assert same(
        train(TASK, "tiny", out=tmp_path / "cut", resume=True), train(TASK, "tiny", given, out=tmp_path / "whole")
    )


def test_without_a_checkpoint_a_resumed_run_needs_the_same_data(tmp_path, more):
    given = {**SHORT, "pretrain": "denoising", "pretrain_on": str(more)}
    with pytest.raises(Stopped.Killed):
        train(TASK, "tiny", given, out=tmp_path / "cut", events=Stopped(3))
    np.savez(more, images=np.zeros((5, 11, 11), np.uint8))
    with pytest.raises(RunError, match=r"more\.npz: the run was begun with other data there"):
        train(TASK, "tiny", out=tmp_path / "cut", resume=True)


@pytest.mark.parametrize("kind", ["rbm", "denoising"])
def test_two_ranks_end_as_one(tmp_path, more, kind):
    given = {**SHORT, "network.dropout": 0.0, "epochs": 1, "pretrain": kind, "pretrain_on": str(more)}
    one = train(TASK, "tiny", given, out=tmp_path / "one")
    two = train(TASK, "tiny", {**given, "devices": 2}, out=tmp_path / "two")
    ours, theirs = load.load_weights(one.folder), load.load_weights(two.folder)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4) for name in ours)


def test_a_table_with_categories_and_rows_without_the_target(tmp_path):
    lines = [
        f"{age},{age / 7:.2f},{city}" for age, city in zip(range(20, 79), ["Oslo", "Lima", "Kyoto"] * 20, strict=False)
    ]
    (tmp_path / "more.csv").write_text("\n".join(["age,minutes,city", *lines]))
    heard = Heard()
    given = {**SHORT, "pretrain": "rbm", "pretrain_on": str(tmp_path / "more.csv")}
    train(TABLE, "tiny", given, out=tmp_path / "run", events=heard)
    assert any(text.startswith("pretraining sees 59 further samples") for text in heard.said)


def test_a_network_without_a_stack_is_refused_before_a_folder_is_made_and_those_that_have_one_are_named(tmp_path):
    for task, model in ((TASK, "lenet"), (TABLE, "tabm")):
        given = {"model": model, "epochs": 1, "pretrain": "rbm"}
        with pytest.raises(OptionError, match=rf"--pretrain rbm: {model} has no stack .* such networks are: .*\bmlp\b"):
            train(task, "tiny", given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_samples_of_the_further_data_are_told_or_left_out(tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    from PIL import Image

    for index in range(5):
        Image.fromarray(np.full((11, 11), 40 * index, np.uint8)).save(folder / f"{index}.png")
    (folder / "5.png").write_bytes(b"no picture")
    given = {**SHORT, "pretrain": "autoencoder", "pretrain_on": str(folder)}
    with pytest.raises(DataError, match=r"--pretrain-on .*more: .*5\.png"):
        train(TASK, "tiny", given, out=tmp_path / "run")
    heard = Heard()
    train(TASK, "tiny", given, out=tmp_path / "run", skip_bad=True, events=heard)
    assert any(text.startswith("pretraining sees 5 further samples") for text in heard.said)
    assert any(text.startswith("1 bad sample of ") for text in heard.said)


def test_data_that_are_not_there_are_refused(tmp_path):
    given = {**SHORT, "pretrain": "autoencoder", "pretrain_on": str(tmp_path / "mor.npz")}
    with pytest.raises(DataError, match=r"mor\.npz: no such file"):
        train(TASK, "tiny", given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_range_test_does_not_pretrain_and_says_so():
    with pytest.raises(OptionError, match="--pretrain rbm: only a whole training begins with it, not a range test"):
        find_rate(TASK, "tiny", {"model": "mlp", "pretrain": "rbm", "threads": 1})
