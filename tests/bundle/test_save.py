"""Making and changing a run folder; what may be written into, and what not."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading

import pytest
import torch

from deepen.bundle import header, load, records, save, tensors
from deepen.core import files, names
from deepen.core.errors import FileError, RunError
from deepen.core.lock import FolderLock

TASK = sorted(names.tasks())[0]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "digits-lenet"
    save.create(folder, {"task": TASK, "model": "lenet", "seed": 7, "options": {"epochs": 3}})
    return folder


def test_a_new_run_says_what_it_was_told_in_the_order_of_the_format(run):
    said = load.load_header(run)
    assert list(said) == list(header.FIELDS)
    assert (said["task"], said["model"], said["seed"], said["options"]) == (TASK, "lenet", 7, {"epochs": 3})
    assert said["status"] == "training" and said["format_version"] == 1
    assert set(said["versions"]) == {"python", "torch", "deepen", "platform"}
    assert os.listdir(run) == ["run.json"]


def test_changes_come_one_at_a_time_and_the_rest_stands(run):
    save.update(run, status="interrupted", metrics={"accuracy": math.nan, "loss": 0.5})
    said = load.load_header(run)
    assert said["metrics"] == {"accuracy": None, "loss": 0.5}
    assert said["options"] == {"epochs": 3} and said["status"] == "interrupted"


def test_the_digests_are_taken_when_training_ends_and_forgotten_when_it_goes_on(run):
    files.write_json(run / "prepare.json", {"mean": 0.5})
    save.update(run, files=("prepare.json",))
    records.append_metrics(run, {"step": 1})
    save.update(run, files=("metrics.jsonl",))
    assert list(load.load_header(run)["files"]) == ["prepare.json"]  # what still grows is not listed
    save.save_weights(run, {"w": torch.ones(3)})
    save.update(run, status="done")
    listed = load.load_header(run)["files"]
    assert list(listed) == ["prepare.json", "weights.safetensors", "metrics.jsonl"]
    assert listed["metrics.jsonl"] == hashlib.sha256((run / "metrics.jsonl").read_bytes()).hexdigest()
    (run / "report.html").write_text("<p>")
    save.update(run, files=("report.html",))
    assert "report.html" in load.load_header(run)["files"]
    save.save_weights(run, {"w": torch.zeros(3)})
    assert load.load_header(run)["files"]["weights.safetensors"] != listed["weights.safetensors"]
    save.update(run, status="training")
    assert list(load.load_header(run)["files"]) == ["prepare.json", "report.html"]


def test_what_the_format_does_not_know_is_our_own_fault(run):
    with pytest.raises(AssertionError, match="no fields"):
        save.update(run, colour="blue")
    with pytest.raises(AssertionError, match="unknown files"):
        save.update(run, files=("../../etc/passwd",))


def test_a_folder_with_something_else_in_it_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"holds 'thesis.tex'; choose another folder with --out"):
        save.create(tmp_path, {"task": TASK})
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("keep_folder", [False, True])
def test_a_run_that_has_learned_nothing_is_withdrawn(run, keep_folder):
    (run / "events" / "inner").mkdir(parents=True)
    with FolderLock(run):
        assert save.withdraw(run, further=("events",), keep_folder=keep_folder)
    assert run.exists() == keep_folder
    assert not run.exists() or not os.listdir(run)
    assert run.parent.exists()


def test_a_run_with_a_checkpoint_or_a_figure_is_not_withdrawn_nor_what_is_not_of_a_run(run):
    (run / "notes.txt").write_text("mine")
    (run / "metrics.jsonl").write_text("{}")
    assert not save.withdraw(run) and sorted(os.listdir(run)) == ["metrics.jsonl", "notes.txt", "run.json"]
    (run / "metrics.jsonl").unlink()
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "step-1").write_text("")
    assert not save.withdraw(run) and (run / "run.json").exists()
    (run / "checkpoint" / "step-1").unlink()
    assert save.withdraw(run) and os.listdir(run) == ["notes.txt"]


def test_a_link_or_a_file_is_refused(tmp_path):
    (tmp_path / "aim").mkdir()
    (tmp_path / "link").symlink_to("aim")
    (tmp_path / "file").write_text("")
    for name, words in (("link", "is a link"), ("file", "is a file"), ("file/x", "part of this path is a file")):
        with pytest.raises(RunError, match=words):
            save.create(tmp_path / name, {"task": TASK})
    assert os.listdir(tmp_path / "aim") == []


def test_an_earlier_run_is_kept_unless_it_is_to_be_replaced(run):
    files.write_json(run / "prepare.json", {})
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "step-000000001-x.safetensors").write_bytes(b"")
    (run / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="already holds a run; continue it with --resume"):
        save.create(run, {"task": TASK})
    save.create(run, {"task": TASK, "seed": 8}, replace=True)
    assert sorted(os.listdir(run)) == ["notes.txt", "run.json"]
    assert load.load_header(run)["seed"] == 8


def test_a_planted_link_in_the_place_of_the_checkpoints_is_not_followed(run, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a").write_text("x")
    (run / "checkpoint").symlink_to(tmp_path / "precious")
    save.create(run, {"task": TASK}, replace=True)
    assert (tmp_path / "precious" / "a").exists() and not (run / "checkpoint").exists()


def test_what_a_killed_run_left_is_swept(tmp_path):
    (tmp_path / ".deepen-0123456789abcdef.tmp").write_bytes(b"x")
    save.create(tmp_path, {"task": TASK})
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_folder_in_use_is_refused(tmp_path):
    with FolderLock(tmp_path), pytest.raises(FileError, match=f"process {os.getpid()} is working in this folder"):
        save.create(tmp_path, {"task": TASK})


def test_of_two_runs_begun_at_once_one_gets_the_folder(tmp_path):
    ended, barrier = [], threading.Barrier(8)

    def begin(seed):
        barrier.wait()
        try:
            save.create(tmp_path / "x", {"task": TASK, "seed": seed})
            ended.append(seed)
        except (RunError, FileError):
            pass

    threads = [threading.Thread(target=begin, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 1 and load.load_header(tmp_path / "x")["seed"] == ended[0]


def test_free_names_count_up_and_no_two_are_the_same(tmp_path):
    found = [save.free_name(tmp_path / "runs", "digits-lenet").name for _ in range(3)]
    assert found == ["digits-lenet", "digits-lenet-2", "digits-lenet-3"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc", "etc"),
        ("my photos", "my-photos"),
        ("a/b\\c\n", "a-b-c"),
        ("-rf", "rf"),
        ("...", "run"),
        ("", "run"),
        ("蝴蝶", "蝴蝶"),
        ("x" * 300, "x" * 80),
        ("\x1b[31m", "31m"),
    ],
)
def test_names_of_folders_are_plain(text, name):
    assert save.plain_name(text) == name


def test_runs_are_written_without_the_environment(run, monkeypatch):
    """S25: nothing of the environment or the machine's name gets into the folder."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-very-secret")
    save.update(run, versions=header.versions())
    text = (run / "run.json").read_text()
    assert "hunter2" not in text and os.uname().nodename not in text
    assert json.loads(text)["versions"]["python"]


def test_a_writer_that_panics_for_want_of_memory_is_out_of_memory(monkeypatch):
    """What Rust panics with is no Exception; any other that is none passes through."""
    for name, expected in (("PanicException", MemoryError), ("Other", BaseException)):
        kind = type(name, (BaseException,), {})

        def panicking(*given, kind=kind, **named):
            raise kind("PyObject pointer is null")

        monkeypatch.setattr(tensors.safetensors_torch, "save", panicking)
        with pytest.raises(expected) as found:
            tensors.encode({"a": torch.zeros(3)}, {})
        assert isinstance(found.value, MemoryError) == (name == "PanicException")
