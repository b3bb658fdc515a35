"""`--weights`: what fits is loaded and the rest is said; a resumed run needs the file no more."""

from __future__ import annotations

import hashlib
import shutil

import pytest
import torch
from torch.nn import functional as F

from deepen.bundle import load, tensors
from deepen.core.errors import OptionError, RunError
from deepen.engine.events import Silent
from deepen.models import lenet
from deepen.nn.shapes import ImageShape
from deepen.verbs.starting_weights import fitted, sentences
from deepen.verbs.train import train

TASK = "image-classification"
SHORT = {"epochs": 2, "threads": 1}


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


class Stopped(Silent):
    """Ends the process at a step, as a kill would."""

    class Killed(BaseException):
        pass

    def __init__(self, at):
        self.at = at

    def step(self, step, progress, seconds_left):
        if step == self.at:
            raise Stopped.Killed


def network(channels=1, outputs=7, seed=0):
    torch.manual_seed(seed)
    return lenet.build("lenet", ImageShape(channels, 11, 11), outputs)


@pytest.fixture
def file(tmp_path):
    """LeNet for 3 channels and 7 classes, as published weights would come."""
    path = tmp_path / "lenet.safetensors"
    path.write_bytes(tensors.encode(network(3).state_dict(), {}))
    return path


def test_what_fits_by_name_and_shape_is_taken_and_the_rest_is_told_apart():
    state = network(1, 7).state_dict()
    state["extra.weight"] = torch.ones(2)
    del state["head.0.bias"]
    found = fitted(state, network(1, 5).state_dict())
    assert set(found.tensors) == {"maps.0.weight", "maps.0.bias", "maps.3.weight", "maps.3.bias"} | {
        "head.0.weight",
        "head.3.weight",
        "head.3.bias",
    }
    assert list(found.other_shape.values()) == ["head.6.weight 7x84 for 5x84", "head.6.bias 7 for 5"]
    assert found.missing == ("head.0.bias",) and found.unexpected == ("extra.weight",)
    assert sentences("w.pth", found, 10) == [
        "weights: 7 of the network's 10 tensors are from w.pth",
        "weights: of another shape, so left at a fresh start: 2 (head.6.weight 7x84 for 5x84, head.6.bias 7 for 5)",
        "weights: not in the file, so left at a fresh start: 1 (head.0.bias)",
        "weights: in the file, but not in the network: 1 (extra.weight)",
    ]


@pytest.mark.parametrize("channels", [(3, 1), (1, 3)])
def test_a_stem_for_other_channels_sees_a_grey_image_as_before(channels):
    before, now = channels
    old, new = network(before, seed=1), network(now, seed=2)
    found = fitted(old.state_dict(), new.state_dict())
    assert found.summed == ("maps.0.weight",) and not found.other_shape
    new.load_state_dict(found.tensors)
    grey = torch.randn(13, 1, 11, 11)
    assert torch.allclose(old(grey.expand(-1, before, -1, -1)), new(grey.expand(-1, now, -1, -1)), atol=1e-5)


def test_a_stem_for_channels_of_another_kind_is_left_alone():
    found = fitted(network(5).state_dict(), network(2).state_dict())
    assert found.summed == () and set(found.other_shape) == {"maps.0.weight"}


def test_names_as_they_are_published():
    state = network().state_dict()
    wrapped = {f"backbone.{name}": tensor for name, tensor in state.items()}
    assert set(fitted(wrapped, state).tensors) == set(state)
    old = {"features.denseblock1.denselayer2.norm.1.running_mean": torch.ones(3)}
    now = {"features.denseblock1.denselayer2.norm1.running_mean": torch.zeros(3)}
    assert set(fitted(old, now).tensors) == set(now)
    counted = torch.nn.BatchNorm1d(3).state_dict()
    assert fitted({n: t for n, t in counted.items() if "num" not in n}, counted).missing == ()


def test_an_integer_does_not_fill_a_weight():
    found = fitted(
        {"a": torch.ones(3, dtype=torch.int64), "b": torch.ones(2)}, {"a": torch.ones(3), "b": torch.ones(2)}
    )
    assert set(found.tensors) == {"b"} and "a" in found.other_shape


def test_a_run_begins_with_the_file_says_so_and_keeps_its_digest(tmp_path, file):
    heard = Heard()
    given = {**SHORT, "weights": str(file), "freeze": "loaded"}
    run = train(TASK, "tiny", given, out=tmp_path / "run", events=heard)
    assert [text for text in heard.said if text.startswith("weights: ")] == [
        f"weights: 8 of the network's 10 tensors are from {file}",
        "weights: brought to the images' number of channels: 1 (maps.0.weight)",
        "weights: of another shape, so left at a fresh start: 2 (head.6.weight 7x84 for 3x84, head.6.bias 7 for 3)",
    ]
    record = load.load_header(run.folder)["extra"]["weights"]
    assert record == {
        "path": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "loaded": 8,
        "summed": ["maps.0.weight"],
        "fresh": ["head.6.weight", "head.6.bias"],
        "unexpected": 0,
    }
    kept, theirs = load.load_weights(run.folder), network(3).state_dict()
    assert torch.equal(kept["maps.3.weight"], theirs["maps.3.weight"])
    assert torch.equal(kept["maps.0.weight"], theirs["maps.0.weight"].sum(1, keepdim=True))
    assert kept["head.6.weight"].shape == (3, 84)


def test_a_run_folder_of_ours_serves_as_weights_and_gives_the_same_answers(tmp_path):
    first = train(TASK, "tiny", SHORT, out=tmp_path / "first")
    given = {**SHORT, "weights": str(first.folder), "freeze": "loaded", "trunk_lr": 0.5}
    second = train(TASK, "tiny", given, out=tmp_path / "second")
    ours, theirs = load.load_weights(second.folder), load.load_weights(first.folder)
    differ = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert differ == {"head.6.weight", "head.6.bias"}  # the last layer is trained even where it was loaded
    x = torch.randn(5, 84)
    assert not torch.allclose(F.linear(x, ours["head.6.weight"]), F.linear(x, theirs["head.6.weight"]))


@pytest.mark.parametrize("at", [1, 13])
def test_resumed_without_the_file_equals_never_killed_bit_for_bit(tmp_path, file, at):
    given = {**SHORT, "weights": str(file), "trunk_lr": 0.25, "freeze": "maps.0"}
    whole = train(TASK, "tiny", given, out=tmp_path / "whole")
    with pytest.raises(Stopped.Killed):
        train(TASK, "tiny", given, out=tmp_path / "cut", events=Stopped(at))
    file.unlink()
    cut = train(TASK, "tiny", out=tmp_path / "cut", resume=True)
    ours, theirs = load.load_weights(whole.folder), load.load_weights(cut.folder)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (whole.folder / "metrics.jsonl").read_bytes() == (cut.folder / "metrics.jsonl").read_bytes()


def test_without_a_checkpoint_a_resumed_run_needs_the_same_file(tmp_path, file):
    given = {**SHORT, "weights": str(file)}
    with pytest.raises(Stopped.Killed):
        train(TASK, "tiny", given, out=tmp_path / "cut", events=Stopped(1))
    shutil.rmtree(tmp_path / "cut" / "checkpoint")
    file.write_bytes(tensors.encode(network(3, seed=1).state_dict(), {}))
    with pytest.raises(RunError, match="was begun with another content of this file"):
        train(TASK, "tiny", out=tmp_path / "cut", resume=True)


def test_weights_of_another_network_are_refused_before_a_folder_is_made(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(tensors.encode({"conv.weight": torch.ones(2, 3)}, {}))
    with pytest.raises(
        RunError, match=r"weights of lenet, with .*'maps\.0\.weight' of 6x1x5x5.*has 'conv\.weight' of 2x3"
    ):
        train(TASK, "tiny", {**SHORT, "weights": str(path)}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_part_to_freeze_that_is_not_there_is_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(OptionError, match=r"--freeze map: .*did you mean maps\?"):
        train(TASK, "tiny", {**SHORT, "freeze": "map"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_network_takes_weights_too(tmp_path):
    given = {**SHORT, "model": "mlp"}
    first = train("tabular-classification", "tiny", given, out=tmp_path / "first")
    heard = Heard()
    again = {**given, "weights": str(first.folder), "trunk_lr": 0.1}
    train("tabular-classification", "tiny", again, out=tmp_path / "second", events=heard)
    assert any(text.startswith("weights: 6 of the network's 6 tensors") for text in heard.said)


def test_two_ranks_begin_with_the_same_weights(tmp_path, file):
    given = {**SHORT, "epochs": 1, "weights": str(file), "freeze": "loaded"}
    one = train(TASK, "tiny", given, out=tmp_path / "one")
    two = train(TASK, "tiny", {**given, "devices": 2}, out=tmp_path / "two")
    ours, theirs = load.load_weights(one.folder), load.load_weights(two.folder)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5) for name in ours)
