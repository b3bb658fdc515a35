"""A run as something that answers rows: pictures that are none, what is said of it, and the command."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from deepen.cli.main import main
from deepen.core.errors import OptionError, RunError
from deepen.prepare.answers import ClassAnswer, ClassProbability, NumberAnswer
from deepen.prepare.image import encode_png
from deepen.prepare.image_guard import guarded
from deepen.serve.limits import ServeOptions
from deepen.verbs.loaded import loaded
from deepen.verbs.predict import predict
from deepen.verbs.run_answers import RunAnswers, fields_of, plain
from deepen.verbs.serve import models, serve, serving
from deepen.verbs.train import train
from tests.faults.image_cases import bomb, half, many_scans
from tests.serve.echo import Client


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on pictures, trained for one epoch."""
    return train("image-classification", "tiny", {"epochs": 1}, out=tmp_path_factory.mktemp("runs") / "bars").folder


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """A run on a table."""
    return train("tabular-classification", "tiny", {"epochs": 1}, out=tmp_path_factory.mktemp("runs") / "table").folder


def picture(seed=0):
    return encode_png(np.random.default_rng(seed).integers(0, 255, (11, 11, 1)).astype(np.uint8))


def test_pictures_that_are_none_cost_themselves_alone(run):
    """A batch of eight with four that are none: four answers, four sentences, by position."""
    rows = [
        picture(0),
        b"no picture",
        picture(1),
        bomb(6_000),
        half(picture(4), 0.5),
        picture(2),
        b"\x89PNG\r\n\x1a\n",
        picture(3),
    ]
    with guarded():
        answers = RunAnswers(loaded(run), max_pixels=10**6)
        found = answers.answer(answers.prepare([{"image": row} for row in rows]))
        alone = answers.answer(answers.prepare([{"image": rows[2]}]))
    assert [each.answer is not None for each in found] == [True, False, True, False, False, True, False, True]
    assert "not an image" in found[1].error and "6,000 x 6,000" in found[3].error
    assert all(str(run) not in each.error and each.error.endswith(".") for each in found if each.error)
    assert alone[0].answer is not None and found[2].answer is not None
    assert alone[0].answer["probability"] == pytest.approx(found[2].answer["probability"], abs=1e-6)


def test_a_picture_is_answered_as_its_file_is(run, tmp_path):
    (tmp_path / "a.png").write_bytes(picture(5))
    (predicted,) = predict(run, tmp_path / "a.png")
    answers = RunAnswers(loaded(run), max_pixels=10**6)
    (outcome,) = answers.answer(answers.prepare([{"image": picture(5)}]))
    assert outcome.answer is not None and outcome.answer["label"] == predicted.label
    assert outcome.answer["probability"] == pytest.approx(predicted.probability, abs=1e-6)


def test_an_answer_is_plain_as_asdict_makes_it():
    parts = (ClassProbability("a", 0.7), ClassProbability("b", 0.3))
    for answer in (ClassAnswer("x", "a", 0.7, parts), NumberAnswer("x", -1.5), ClassAnswer("", "", 0.0, ())):
        assert json.dumps(plain(answer)) == json.dumps(dataclasses.asdict(answer))
    nested = {"a": [parts, {"b": parts[0]}], "c": None}
    assert plain(nested) == {"a": [[plain(each) for each in parts], {"b": plain(parts[0])}], "c": None}


def test_what_is_said_of_a_run_holds_no_path(run, table_run):
    for folder in (run, table_run):
        about = RunAnswers(loaded(folder), max_pixels=10**6).about
        said = json.dumps([about.card, about.fields])
        assert str(folder.parent) not in said and about.card["parameters"] > 0 and len(about.version) == 12
        assert "accuracy" in about.card["metrics"]


def test_the_version_is_that_of_the_run(run, table_run, tmp_path):
    first = RunAnswers(loaded(run), max_pixels=10**6).about.version
    assert RunAnswers(loaded(run), max_pixels=10**6).about.version == first
    assert RunAnswers(loaded(table_run), max_pixels=10**6).about.version != first


def test_the_columns_that_were_learned_are_asked_for(table_run):
    fields = fields_of(loaded(table_run))
    assert [(field.name, field.kind) for field in fields] == [
        ("age", "number"),
        ("minutes", "number"),
        ("city", "category"),
    ]
    assert fields[2].choices == ("Accra", "Kyoto", "Lima", "Oslo") and float(fields[0].example) > 0


def test_an_explanation_is_a_page_without_paths(run, tmp_path):
    page = RunAnswers(loaded(run), max_pixels=10**6).explain({"image": picture()})
    assert "<img" in page and str(run.parent) not in page and "deepen-explain-" not in page
    with pytest.raises(RunError, match="not an image"):
        RunAnswers(loaded(run), max_pixels=10**6).explain({"image": b"none"})


def test_runs_of_one_name_get_names_of_their_own_and_share_the_cores(tmp_path):
    folders = [tmp_path / "a" / "same", tmp_path / "b" / "same", tmp_path / "c" / "other"]
    found = models(folders, ServeOptions(threads=3))
    assert [each.name for each in found] == ["same", "same-2", "other"]
    assert {each.command.threads for each in found} == {3}
    assert all("DEEPEN_TOKEN" not in word for each in found for word in each.command.words)
    assert models(folders, ServeOptions(explain=False))[0].explainer is None


def test_nothing_to_serve_and_wrong_options_are_said_in_a_sentence(run):
    with pytest.raises(OptionError, match="none is named"):
        serve([])
    with pytest.raises(OptionError, match="prot: no such option; did you mean port"):
        serve(run, {"prot": 1})
    with pytest.raises(OptionError, match="70000"):
        serve(run, {"port": 70000})


def test_served_by_workers_of_their_own(run, table_run):
    """Two runs in two processes, from Python: pictures and a table by name, explained by a process of its own."""
    with serving([run, table_run], {"port": 0}, say=lambda text: None) as told:
        own = Client(told)
        code, said, _ = own.predict({"age": 41, "minutes": 2.5, "city": "Oslo"}, run="table")
        assert code == 200 and said["results"][0]["answer"]["label"] in ("yes", "no")
        assert own.ask("GET", "/readyz")[0] == 200


def test_the_command_says_where_and_ends_with_0(table_run):
    """As a user starts it: the address as JSON, an answer, SIGTERM, exit code 0, no worker left."""
    words = [sys.executable, "-m", "deepen", "serve", str(table_run), "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None and process.stderr is not None
    told = json.loads(process.stdout.readline())
    assert told["address"] == f"http://127.0.0.1:{told['port']}/" and told["token"] == ""
    import psutil

    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    assert not [each for each in workers if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_folder_that_is_no_run_is_said_in_a_sentence(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "there is no run.json in it" in capsys.readouterr().err


def test_costly_pictures_are_refused_without_being_decoded(run):
    with guarded():
        answers = RunAnswers(loaded(run), max_pixels=10**6)
        (outcome,) = answers.answer(answers.prepare([{"image": many_scans()}]))
    assert outcome.answer is None and "scans" in outcome.error
