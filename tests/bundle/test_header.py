"""run.json read with suspicion: S06, K13."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from deepen.bundle import header, load, save
from deepen.core import names
from deepen.core.errors import RunError

TASK = sorted(names.tasks())[0]


@pytest.fixture
def run(tmp_path):
    save.create(tmp_path / "run", {"task": TASK})
    return tmp_path / "run"


def forge(folder, **changes):
    """Changes run.json as someone would who knows the format, seal and all."""
    value = json.loads((folder / "run.json").read_text())
    del value["sha256"]
    header.write_header(folder, {**value, **changes})


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a/b", "checkpoint/x", "evil.pkl", "", ".", "run.json", "weights.safetensors\0"]
)
def test_names_of_files_are_plain_and_known(run, name):
    forge(run, files={name: "0" * 64})
    with pytest.raises(RunError, match="which is none that a run folder has"):
        load.load_header(run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "format version 2, but this deepen reads up to 1"),
        ({"format_version": "1"}, "format_version"),
        ({"task": "os.system"}, "task 'os.system' is none of this deepen"),
        ({"task": TASK[:-1]}, f"did you mean {TASK}"),
        ({"task": 3}, "'task' is missing or of the wrong type: '3'"),
        ({"options": []}, "'options' is missing or of the wrong type"),
        ({"seed": True}, "'seed' is missing or of the wrong type: 'True'"),
        ({"status": "fine"}, "status 'fine' is none of training, done"),
        ({"class_path": "os.system"}, "no such field 'class_path'"),
        ({"files": {"prepare.json": "../x"}}, "the sha256 of prepare.json is not one"),
        ({"files": {"prepare.json": 5}}, "the sha256 of prepare.json is not one"),
        ({"files": {"prepare.json": "0" * 64}}, "prepare.json: missing, though run.json lists it"),
    ],
)
def test_what_the_format_does_not_allow_is_refused(run, changes, words):
    forge(run, **changes)
    with pytest.raises(RunError, match=words) as caught:
        load.load_header(run)
    assert str(caught.value).startswith(str(run)) and "\n" not in str(caught.value)


def test_a_number_changed_by_hand_is_noticed(run):
    save.update(run, status="done", metrics={"accuracy": 0.61})
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace("0.61", "0.91"))
    with pytest.raises(RunError, match=r"run.json: damaged or edited: its content does not match the sha256"):
        load.load_header(run)


def test_the_seal_is_the_digest_of_what_stands_before_it(run):
    content = (run / "run.json").read_bytes()
    body, seal = content.split(b',\n  "sha256": "')
    assert seal == hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'
    assert json.loads(content)["task"] == TASK


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "expected the description of a run"),
        (b"{}", "expected the description of a run"),
        (b'{"task": 1, "task": 2}', "stands twice"),
        (b"[" * 100_000, "nested deeper"),
        (b" " * 20_000_000, r"20\.0 MB, but at most 16\.0 MB"),
    ],
)
def test_what_is_no_description_is_refused(run, content, words):
    (run / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=words):
        load.load_header(run)


@pytest.mark.parametrize("name", ["run.json", "prepare.json"])
def test_links_devices_and_folders_in_the_place_of_files_are_refused(run, tmp_path, name):
    (run / "prepare.json").write_text("{}")
    save.update(run, files=("prepare.json",))
    for plant in (
        lambda path: path.symlink_to(tmp_path / "copy"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
    ):
        (run / name).rename(tmp_path / "copy")
        plant(run / name)
        with pytest.raises(RunError, match="expected a file of its own, but is a link, a folder or a device"):
            load.load_header(run)
        (run / name).rmdir() if (run / name).is_dir() else (run / name).unlink()
        (tmp_path / "copy").rename(run / name)
    load.load_header(run)


def test_folders_that_are_no_runs_are_named_with_what_was_meant(tmp_path, run):
    with pytest.raises(RunError, match=rf"no such run folder; did you mean {run}\?"):
        load.load_header(tmp_path / "ruin")
    with pytest.raises(RunError, match=rf"has no run.json; did you mean {run}\?"):
        load.load_header(tmp_path)
    with pytest.raises(RunError, match="expected a run folder, but is a file"):
        load.load_header(run / "run.json")
    with pytest.raises(RunError, match=r"no such run folder; its folder .* does not exist either"):
        load.load_header(tmp_path / "a" / "b")


def test_pages_for_people_may_be_edited_and_it_is_said(run):
    (run / "README.md").write_text("as written")
    (run / "report.html").write_text("as written")
    save.update(run, status="done")
    (run / "README.md").write_text("as edited")
    (run / "report.html").unlink()
    notes = []
    load.load_header(run, notes=notes)
    assert len(notes) == 2 and "README.md: damaged or edited" in notes[1] and "report.html: missing" in notes[0]
    load.load_header(run)
