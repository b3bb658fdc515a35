"""Checkpoints: whole or passed over, aloud; killed at every operation of the protocol (K02, K03, K13)."""

from __future__ import annotations

import hashlib
import os
import random
import shutil

import pytest
import torch

from deepen.bundle import checkpoint, load, records, save
from deepen.core import files, names
from deepen.core.errors import FileError, RunError
from tests.torture.kills import content_of, every_kill, killed_after, recorded, succeeds

TASK = sorted(names.tasks())[0]


def state_at(step):
    return {"w": torch.full((11, 3), float(step)), "loss_sum": torch.tensor(step / 7, dtype=torch.float64)}


def put(folder, step):
    return checkpoint.save_checkpoint(folder, state_at(step), {"step": step, "best": 0.5}, step=step)


def step_of(folder):
    """The step that a resumed run would go on from, after checking that tensors and state are of that one step."""
    tensors, state, _ = checkpoint.load_checkpoint(folder)
    expected = state_at(state["step"])
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    return state["step"]


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    paths = [put(tmp_path, step) for step in (5, 99, 1_000_000_007, 12)]
    assert step_of(tmp_path) == 1_000_000_007
    assert sorted(os.listdir(tmp_path / "checkpoint")) == sorted(path.name for path in paths[2:])
    name = paths[-1].name
    assert name.startswith("step-000000012-") and name.endswith(".safetensors")
    assert name[15:47] == hashlib.sha256(paths[-1].read_bytes()).hexdigest()[:32]
    assert checkpoint.has_checkpoint(tmp_path)


def test_the_same_state_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = put(tmp_path / "a", 3)
    assert put(tmp_path / "b", 3).name == first.name
    assert put(tmp_path / "a", 3) == first and len(os.listdir(tmp_path / "a" / "checkpoint")) == 1


def test_none_is_said(tmp_path):
    assert not checkpoint.has_checkpoint(tmp_path)
    with pytest.raises(RunError, match="no checkpoint here yet, so there is nothing to resume"):
        checkpoint.load_checkpoint(tmp_path)


def damaged(path, how):
    content = bytearray(path.read_bytes())
    path.unlink()
    if how == "link":
        path.symlink_to("/dev/zero")
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "flip":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif how == "another step":
        path.with_name(path.name.replace("step-000000002", "step-000000003")).write_bytes(content)
    else:
        path.write_bytes(content[: len(content) * int(how) // 20])


@pytest.mark.parametrize("how", ["flip", "link", "folder", "pipe", "another step", *map(str, range(20))])
def test_a_damaged_newest_one_falls_back_to_the_one_before_and_says_so(tmp_path, how):
    put(tmp_path, 1)
    newest = put(tmp_path, 2)
    damaged(newest, how)
    _, state, note = checkpoint.load_checkpoint(tmp_path)
    assert state["step"] == 1
    assert "Going on from step-000000001-" in note and "\n" not in note and str(tmp_path) in note


def test_all_damaged_names_them_all(tmp_path):
    for step in (1, 2):
        damaged(put(tmp_path, step), "flip")
    with pytest.raises(RunError, match=r"no checkpoint is whole.*step-000000002.*step-000000001"):
        checkpoint.load_checkpoint(tmp_path)


def test_flips_anywhere_are_found(tmp_path):
    put(tmp_path, 1)
    newest = put(tmp_path, 2)
    whole, chance = newest.read_bytes(), random.Random(5)
    for _ in range(100):
        content = bytearray(whole)
        content[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        newest.write_bytes(content)
        assert step_of(tmp_path) == 1
    newest.write_bytes(whole)
    assert step_of(tmp_path) == 2


def test_other_names_in_the_folder_are_no_checkpoints(tmp_path):
    put(tmp_path, 1)
    for name in (
        "step-9-x.safetensors",
        "step-000000009-" + "0" * 32 + ".pt",
        "latest",
        ".deepen-0123456789abcdef.tmp",
    ):
        (tmp_path / "checkpoint" / name).write_bytes(b"x")
    assert step_of(tmp_path) == 1


def test_a_linked_folder_of_checkpoints_is_not_used(tmp_path):
    for name in ("real", "run"):
        (tmp_path / name).mkdir()
    put(tmp_path / "real", 1)
    (tmp_path / "run" / "checkpoint").symlink_to(tmp_path / "real" / "checkpoint")
    assert not checkpoint.has_checkpoint(tmp_path / "run")
    with pytest.raises(RunError, match="is a link"):
        put(tmp_path / "run", 2)


def test_metrics_that_are_not_those_the_checkpoint_knows_are_refused(tmp_path):
    for step in (1, 2):
        records.append_metrics(tmp_path, {"step": step, "loss": 0.25})
    put(tmp_path, 2)
    records.append_metrics(tmp_path, {"step": 3, "loss": 0.25})
    assert step_of(tmp_path) == 2  # later lines will be cut and written again
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    for content in (whole.replace(b"0.25", b"0.24", 1), whole[:5], b""):
        (tmp_path / "metrics.jsonl").write_bytes(content)
        with pytest.raises(RunError, match=r"metrics.jsonl: damaged or edited: its first 2 lines"):
            checkpoint.load_checkpoint(tmp_path)


def protocol(folder):
    """Everything that training writes, once around."""

    def work():
        save.sweep(folder)
        records.append_timing(folder, {"step": 3})
        records.append_metrics(folder, {"step": 3})
        put(folder, 3)
        save.save_weights(folder, {"w": torch.full((5,), 3.0)})
        save.update(folder, metrics={"accuracy": 0.75})
        save.update(folder, status="done")

    return work


def begin(folder):
    save.create(folder, {"task": TASK})
    files.write_json(folder / "prepare.json", {"mean": 0.5})
    save.update(folder, files=("prepare.json",))
    for step in (1, 2):
        records.append_metrics(folder, {"step": step})
        put(folder, step)
    save.save_weights(folder, {"w": torch.full((5,), 2.0)})


def put_back(pristine, folder):
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)


def assert_whole(folder):
    """Loads from old or new, and the next start leaves no temporary."""
    said = load.load_header(folder)
    assert said["status"] in ("training", "done")
    assert step_of(folder) in ((2, 3) if said["status"] == "training" else (3,))
    assert load.load_weights(folder)["w"].tolist() in ([2.0] * 5, [3.0] * 5)
    assert len(records.read_metrics(folder)) in (2, 3)
    save.sweep(folder)
    assert not [name for name in content_of(folder) if ".tmp" in name]


def test_killed_at_every_operation_of_saving_the_run_loads_from_old_or_new(tmp_path):
    begin(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "pristine")
    number_of_kills, steps = 0, set()
    for number, _ in every_kill(protocol(tmp_path / "run")):
        number_of_kills += 1
        assert_whole(tmp_path / "run")
        steps.add(step_of(tmp_path / "run"))
        if number % 10 == 0:  # what is left is good enough to go on from
            assert succeeds(protocol(tmp_path / "run"))
            assert load.load_header(tmp_path / "run")["status"] == "done"
        put_back(tmp_path / "pristine", tmp_path / "run")
    assert number_of_kills >= 120 and steps == {2, 3}


def test_killed_at_every_operation_of_making_a_run_it_can_be_made_or_gone_on_with(tmp_path):
    folder = tmp_path / "runs" / "x"
    states = set()
    for _ in every_kill(lambda: save.create(folder, {"task": TASK})):
        exists = (folder / "run.json").exists()
        states.add(exists)
        if exists:
            load.load_header(folder)
            save.sweep(folder)
        else:
            save.create(folder, {"task": TASK})
            assert os.listdir(folder) == ["run.json"]
        shutil.rmtree(tmp_path / "runs")
    assert states == {False, True}


def test_killed_at_every_operation_of_replacing_a_run_nothing_is_mixed(tmp_path):
    folder = tmp_path / "run"
    begin(folder)
    save.update(folder, status="interrupted")
    shutil.copytree(folder, tmp_path / "pristine")
    for _ in every_kill(lambda: save.create(folder, {"task": TASK, "seed": 99}, replace=True)):
        said = load.load_header(folder)
        if said["seed"] == 99:
            assert not checkpoint.has_checkpoint(folder)
        save.create(folder, {"task": TASK, "seed": 99}, replace=True)
        assert os.listdir(folder) == ["run.json"]
        put_back(tmp_path / "pristine", folder)


def test_the_new_checkpoint_is_in_place_before_an_old_one_goes(tmp_path, monkeypatch):
    for step in (1, 2):
        put(tmp_path, step)
    seen = [(name, what) for name, what in recorded(lambda: put(tmp_path, 3), monkeypatch.setattr)]
    monkeypatch.undo()
    names_seen = [name for name, _ in seen]
    assert names_seen.index("fsync") < names_seen.index("replace") < len(names_seen) - names_seen[::-1].index("fsync")
    assert os.listdir(tmp_path / "checkpoint").count("step-000000001") == 0
    assert step_of(tmp_path) == 3


def test_a_full_disk_leaves_the_checkpoints_before(tmp_path, monkeypatch):
    for step in (1, 2):
        put(tmp_path, step)
    before = content_of(tmp_path)
    real, full = os.write, os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "write", lambda _descriptor, content: real(full, content))
    with pytest.raises(FileError, match="disk full: needs"):
        put(tmp_path, 3)
    os.close(full)
    assert content_of(tmp_path) == before


@pytest.mark.torture
def test_killed_at_random_times(tmp_path):
    begin(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "pristine")
    chance, num_killed = random.Random(3), 0
    for _ in range(3000):
        num_killed += killed_after(chance.uniform(0, 0.03), protocol(tmp_path / "run"))
        assert_whole(tmp_path / "run")
        put_back(tmp_path / "pristine", tmp_path / "run")
    assert num_killed > 300
