"""Studies: which trial comes first, what is found, what is stopped, what a dead worker leaves, and what is the same.

The objective of most of them is a formula in place of a training, so that many trials take a second.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="optuna is not installed")

import optuna

from deepen.bundle import header
from deepen.cli.tune import as_json, as_text
from deepen.core import rng
from deepen.core.errors import FileError, OptionError, RunError, TrainingError
from deepen.core.files import read_json
from deepen.core.options import fields_of
from deepen.engine.events import Silent
from deepen.verbs import tuning_study, tuning_trials
from deepen.verbs.evaluate import evaluate
from deepen.verbs.options import groups, task_module
from deepen.verbs.run import Run
from deepen.verbs.search_space import dimension
from deepen.verbs.train import train
from deepen.verbs.tune import tune
from deepen.verbs.tuning_study import ATTEMPTS, Ledger, TrialRecord, drawn, opened, without_password
from tests.torture.forks import Fork

TASK = "tabular-regression"
QUICK = {"model": "mlp", "epochs": 3, "threads": 1}
FIELDS = fields_of(*groups(TASK, "mlp"))
RATE = dimension(FIELDS["optimizer.learning_rate"], "1e-5..1:log", 1e-4, place="rate")
DEPTH = dimension(FIELDS["batch_size"], "3..19", 11, place="batch")
KIND = dimension(FIELDS["loss"], "mse,huber", "mse", place="loss")
DIMENSIONS = (RATE, DEPTH, KIND)


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def study(folder: Path, **changed: Any) -> Any:
    """A study over three dimensions, to be minimized."""
    defaults = {each.key: each.default for each in DIMENSIONS}
    said: dict[str, Any] = {
        "direction": "min", "settings": {"search": 1}, "defaults": defaults, "seed": 7, "pruner": "median"
    }  # fmt: skip
    url = changed.pop("url", None)
    return opened(folder, url, "formula", **(said | changed))


def planted(values: dict[str, Any]) -> float:
    """Least, 0, at a rate of 0.02, a batch of 5 and "huber"."""
    return (
        (math.log10(values[RATE.key] / 0.02)) ** 2
        + 0.05 * (values[DEPTH.key] - 5) ** 2
        + (0.5 if values[KIND.key] == "mse" else 0.0)
    )


def objective(ledger: Ledger) -> Any:
    def asked(trial: Any) -> float:
        trial.set_user_attr("worker", ledger.worker)
        trial.set_user_attr("place", ledger.place(trial))
        return planted({each.key: drawn(trial, each) for each in DIMENSIONS})

    return asked


def run_trials(folder: Path, count: int, **changed: Any) -> list[TrialRecord]:
    with study(folder, **changed) as ledger:
        ledger.reclaim()
        while ledger.num_begun() < count:
            ledger.run(objective(ledger))
        return ledger.records()


def test_the_default_comes_first_and_a_planted_optimum_is_found(tmp_path: Path) -> None:
    found = run_trials(tmp_path, 60)
    assert found[0].drawn == {RATE.key: 1e-4, DEPTH.key: 11, KIND.key: "mse"}
    assert [each.number for each in found] == list(range(60))
    best = min(found, key=lambda each: each.value or math.inf)
    assert best.drawn[KIND.key] == "huber"
    assert 0.01 < best.drawn[RATE.key] < 0.04
    assert abs(best.drawn[DEPTH.key] - 5) <= 1
    # better than as many independent draws from the same space
    draws = rng.generator(7, "draws")
    chance = min(
        planted({RATE.key: 10 ** draws.uniform(-5, 0), DEPTH.key: draws.integers(3, 20), KIND.key: kind})
        for kind in draws.choice(["mse", "huber"], 60)
    )
    assert (best.value or 0.0) < chance


def test_the_same_seed_gives_the_same_trials_and_another_one_others(tmp_path: Path) -> None:
    first, again, other = (run_trials(tmp_path / name, 17, seed=seed) for name, seed in (("a", 7), ("b", 7), ("c", 8)))
    assert [each.drawn for each in first] == [each.drawn for each in again]
    assert [each.drawn for each in first][1:] != [each.drawn for each in other][1:]


@pytest.mark.parametrize("at", [0, 4, 13])
def test_a_worker_that_is_killed_loses_one_trial_and_the_study_goes_on_as_if_it_had_not(
    tmp_path: Path, at: int
) -> None:
    """The same trials, in the same places, as of a study that nobody disturbed."""
    child = os.fork()
    if child == 0:
        with study(tmp_path / "killed") as ledger:
            while True:
                ledger.run(_killed_in(ledger, at))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with study(tmp_path / "killed") as ledger:
        states = [trial.state for trial in ledger.trials()]
        assert states.count(optuna.trial.TrialState.RUNNING) == 1
        assert ledger.reclaim() == 1
        assert ledger.reclaim() == 0
        while ledger.num_begun() < 19 or ledger.is_waiting():
            ledger.run(objective(ledger))
        found = ledger.records()
    undisturbed = run_trials(tmp_path / "undisturbed", 19)
    assert [(each.number, each.state, each.drawn, each.value) for each in found] == [
        (each.number, each.state, each.drawn, each.value) for each in undisturbed
    ]


def test_a_worker_on_another_machine_is_missed_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folders that know nothing of each other, one storage."""
    monkeypatch.setattr(tuning_study, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(tuning_study, "GRACE_SECONDS", 2)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    (tmp_path / "here").mkdir()
    child = os.fork()
    if child == 0:
        with study(tmp_path / "there", url=url) as ledger:
            ledger.run(_killed_in(ledger, 0, after_seconds=3.0))  # it must have been heard before it can be missed
    os.waitpid(child, 0)
    with study(tmp_path / "here", url=url) as ledger:
        assert ledger.reclaim() == 0
        deadline = time.monotonic() + 60
        while not ledger.reclaim():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        ledger.run(objective(ledger))
        (found,) = ledger.records()
        assert (found.number, found.state, found.worker) == (0, "done", ledger.worker)


def test_a_trial_that_nobody_put_a_name_on_was_lost_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study(tmp_path) as ledger:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ledger.study.ask()  # outside of a worker's own way it has no heartbeat, of which Optuna warns
        assert ledger.reclaim() == 0
        monkeypatch.setattr(tuning_study, "UNCLAIMED_SECONDS", 0)
        assert ledger.reclaim() == 1


def _killed_in(ledger: Ledger, at: int, *, after_seconds: float = 0.0) -> Any:
    asked = objective(ledger)

    def killed(trial: Any) -> float:
        value = asked(trial)
        if trial.number == at:
            time.sleep(after_seconds)
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    return killed


def test_a_trial_that_kills_its_worker_again_and_again_is_given_up(tmp_path: Path) -> None:
    for _ in range(ATTEMPTS):
        child = os.fork()
        if child == 0:
            with study(tmp_path) as ledger:
                ledger.reclaim()
                ledger.run(lambda trial: (_claimed(ledger, trial), os.kill(os.getpid(), signal.SIGKILL))[1])  # type: ignore[arg-type]
        os.waitpid(child, 0)
    with study(tmp_path) as ledger:
        assert ledger.reclaim() == 0 or not ledger.is_waiting()
        (found,) = ledger.records()
        assert (found.state, found.why) == ("failed", f"its worker was lost {ATTEMPTS} times")


def _claimed(ledger: Ledger, trial: Any) -> None:
    trial.set_user_attr("worker", ledger.worker)
    trial.set_user_attr("place", ledger.place(trial))


def test_a_study_of_other_settings_is_refused(tmp_path: Path) -> None:
    run_trials(tmp_path, 1, settings={"search": {"lr": "0..1"}, "pruner": "median"})
    with (
        pytest.raises(OptionError, match=r"begun otherwise \(search: lr 0\.\.1 before, 0\.\.2 now\)"),
        study(tmp_path, settings={"search": {"lr": "0..2"}, "pruner": "median"}),
    ):
        pass


@pytest.mark.parametrize("name", ["what?", "{x}", "{}", "a%20b", "{SCHEMA_VERSION}", "a#b@c:d"])
def test_the_storage_lies_in_the_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    """A path is no URL, and no format either."""
    (found,) = run_trials(tmp_path / name, 1)
    assert run_trials(tmp_path / name, 2)[0] == found
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["study.db", "workers"]


def test_braces_in_a_storage_stand_for_themselves(tmp_path: Path) -> None:
    for name in ("{x}", "{}", "}"):
        run_trials(tmp_path / "out", 1, url=f"sqlite:///{tmp_path}/{name}.db")
        assert (tmp_path / f"{name}.db").exists()
    run_trials(tmp_path / "out", 1, url=f"sqlite:///{tmp_path}/v{{SCHEMA_VERSION}}.db")  # Optuna fills it in
    assert [path.stem[1:].isdigit() for path in tmp_path.glob("v*.db")] == [True]


def test_storages_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"this is no database" * 99)
    with (
        pytest.raises(FileError, match=r"study.db: the study's storage cannot be used: .*not a database"),
        study(tmp_path),
    ):
        pass
    for url, words in (("nonsense", "Could not parse"), ("redis://host/1", "expected a storage|Could|driver|plugin")):
        with pytest.raises(OptionError, match=words), opened(
            tmp_path, url, "x", direction="min", settings={}, defaults={}, seed=0, pruner="none"
        ):  # fmt: skip
            pass
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert without_password("sqlite:///a@b:c.db") == "sqlite:///a@b:c.db"


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionError, match=r"tune: .*pip install 'deepen\[tune\]'"):
        tune(TASK, "tiny", out=tmp_path / "x")


def test_a_study_from_end_to_end(tmp_path: Path) -> None:
    said = Said()
    search = {"optimizer.lr": "1e-4..1e-1:log", "network.hidden": "17;23,13"}
    result = tune(TASK, "tiny", QUICK, search=search, trials=5, keep=1, out=tmp_path / "s", events=said)
    folder = result.folder
    assert [each.number for each in result.trials] == list(range(5))
    assert sum(line.startswith("trial ") for line in said.lines) == 5
    # the first trial is the training as it is, without any search
    plain = train(TASK, "tiny", QUICK, out=tmp_path / "plain")
    assert result.default.figures == plain.metrics_of("val")
    assert result.metrics["default"]["test"] == plain.metrics_of("test")
    # nothing but the default and the best has seen the test split
    seen = {n for n in range(5) if "test" in header.read_header(folder / f"trials/{n:03d}")["metrics"]}  # type: ignore[operator]
    assert seen == {0, result.best.number}
    assert result.best.value == min(each.value for each in result.trials if each.value is not None)
    assert result.gain == pytest.approx((result.default.value or 0) - result.best.value)  # type: ignore[operator]
    # the weights of the best and the first one are kept, the runs are whole
    kept = {n for n in range(5) if (folder / f"trials/{n:03d}/weights.safetensors").exists()}
    assert kept == {0, result.best.number}
    assert evaluate(result.run_folder).metrics == pytest.approx(result.metrics["best"]["test"])
    # the best trial's options give the best trial again
    again = train(TASK, "tiny", config=folder / "best.json", out=tmp_path / "again")
    assert again.metrics_of("val") == result.best.figures
    assert again.metrics_of("test") == result.metrics["best"]["test"]
    said_again = read_json(folder / "tuning.json")
    assert isinstance(said_again, dict)
    assert said_again["best"] == result.best.number
    assert "<svg" in (folder / "tuning.html").read_text("utf-8")
    # the same command goes on, here with nothing left to do, and with more trials where more are asked for
    assert tune(TASK, "tiny", QUICK, search=search, trials=5, keep=1, out=folder, resume=True).trials == result.trials
    more = tune(TASK, "tiny", QUICK, search=search, trials=7, keep=1, out=folder)
    assert more.trials[:5] == result.trials
    assert len(more.trials) == 7


def test_a_hopeless_trial_is_stopped_early(tmp_path: Path) -> None:
    """With a learning rate of 0 nothing is learned; some such trials come after enough others to tell."""
    given = {"model": "mlp", "epochs": 20, "threads": 1, "optimizer.weight_decay": 0.0}
    search = {"optimizer.lr": "0,0.01,0.02,0.03", "network.dropout": "0..0.01"}
    result = tune(TASK, "tiny", given, search=search, trials=14, out=tmp_path / "s")
    hopeless = [each for each in result.trials[5:] if each.options["optimizer.learning_rate"] == 0]
    assert hopeless
    for each in hopeless:
        assert each.state == "pruned"
        lines = (result.folder / each.folder / "metrics.jsonl").read_text().splitlines()
        whole = (result.folder / result.best.folder / "metrics.jsonl").read_text().splitlines()
        assert len(lines) <= len(whole) / 2
        assert not (result.folder / each.folder / "weights.safetensors").exists()
    assert result.default.state == "done"


def test_equal_options_are_trained_once_and_a_finite_space_ends(tmp_path: Path) -> None:
    said = Said()
    result = tune(TASK, "tiny", QUICK, search=["loss=mse,huber"], trials=40, out=tmp_path / "s", events=said)
    assert len(result.trials) < 40
    assert "every combination has been tried" in said.lines
    assert len(list((result.folder / "trials").iterdir())) == 2
    assert len({each.value for each in result.trials}) == 2


def test_several_models(tmp_path: Path) -> None:
    search = ["model=mlp,tabm", "network.width=16,32"]
    result = tune(TASK, "tiny", {"epochs": 2, "threads": 1}, search=search, trials=9, out=tmp_path / "s")
    tried = {(each.options["model"], each.options.get("network.width")) for each in result.trials}
    assert tried == {("tabm", 16), ("tabm", 32), ("mlp", None)}
    assert Run(result.run_folder).model == result.best.options["model"]


def test_models_of_different_objectives_are_refused_before_any_is_trained(tmp_path: Path) -> None:
    given, task = {"epochs": 1, "threads": 1}, "representation-learning"
    search = ["model=variational-autoencoder,autoencoder"]
    figures = {"autoencoder": r"mean_squared_error \(min\)", "variational-autoencoder": r"elbo \(max\)"}
    for first, other in (tuple(figures), tuple(reversed(figures))):
        (tmp_path / "first.json").write_text(json.dumps({"model": first}))
        said = rf"autoencoder: {first} is judged by its {figures[first]}, but {other} by its {figures[other]}, so"
        with pytest.raises(OptionError, match=said):
            tune(task, "digits", given, search=search, config=tmp_path / "first.json", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_preparing_is_shared_where_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepen.verbs import prepared as preparing

    calls: list[str] = []
    real = preparing._prepare
    monkeypatch.setattr(preparing, "_prepare", lambda *given: (calls.append("prepared"), real(*given))[1])
    tune(TASK, "tiny", QUICK, search=["network.dropout=0..0.3", "loss=mse,huber"], trials=3, out=tmp_path / "a")
    assert len(calls) == 1
    calls.clear()
    result = tune(TASK, "tiny", QUICK, search=["target_transform=none,log"], trials=2, out=tmp_path / "b")
    assert len(calls) > 1
    for each in result.trials:  # each trial is what `train` makes of its options
        plain = train(TASK, "tiny", {**QUICK, **each.options}, out=tmp_path / f"plain-{each.number}")
        assert plain.metrics_of("val") == each.figures


def test_a_trial_that_starts_from_the_training_rows_is_what_train_makes(tmp_path: Path) -> None:
    given = {"epochs": 2, "threads": 1}
    result = tune("clustering", "tiny", given, search=["batch_size=13,31"], trials=1, out=tmp_path / "s")
    plain = train("clustering", "tiny", given, out=tmp_path / "plain")
    assert result.default.figures == plain.metrics_of("val")
    assert result.metrics["default"]["test"] == plain.metrics_of("test")


def test_weights_of_samples_are_those_of_the_trials_own_options(tmp_path: Path) -> None:
    """Inputs and classes of these data have shifted each in its own way, so the two trainings differ."""
    rows = [(round(0.37 * (x % 41), 2), "high" if x % 3 else "low") for x in range(211)]
    (tmp_path / "old.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows))
    (tmp_path / "new.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows if x > 9 or y == "low"))
    task, data = "tabular-classification", tmp_path / "old.csv"
    given = {**QUICK, "target": "y", "reweight": str(tmp_path / "new.csv")}
    search = ["reweight_by=covariate,label"]
    result = tune(task, data, given, search=search, trials=5, pruner="none", out=tmp_path / "s")
    figures = {str(each.options["reweight_by"]): each.figures for each in result.trials}
    assert set(figures) == {"covariate", "label"} and figures["covariate"] != figures["label"]
    plain = train(task, data, {**given, "reweight_by": "label"}, out=tmp_path / "plain")
    assert plain.metrics_of("val") == figures["label"]


def test_what_cuts_samples_prepares_them() -> None:
    """Windows of another length are other samples, and so are those of a model that counts."""
    found = set(tuning_trials._preparing_names(task_module("language-modeling").Options))
    assert {"model", "sequence_length", "context", "text.level"} <= found and not {"width", "tied"} & found
    assert "model" not in set(tuning_trials._preparing_names(task_module(TASK).Options))


def test_a_training_that_diverges_is_a_bad_trial_not_the_end(tmp_path: Path) -> None:
    given = {**QUICK, "optimizer.kind": "sgd", "optimizer.momentum": 0.0, "clip_norm": None}
    result = tune(TASK, "tiny", given, search=["optimizer.lr=0.001,1e30"], trials=6, out=tmp_path / "s")
    states = {each.options["optimizer.learning_rate"]: each for each in result.trials}
    assert states[0.001].state == "done"
    assert states[1e30].state == "pruned"
    assert "finite" in states[1e30].why or "stopped" in states[1e30].why


def test_a_combination_that_is_refused_is_a_bad_trial_not_the_end(tmp_path: Path) -> None:
    """adamw reads no momentum, so half of the space is no training at all."""
    given = {**QUICK, "optimizer.lr": 1e-4}
    search = ["optimizer.kind=adamw,sgd", "optimizer.momentum=0.3..0.7"]
    result = tune(TASK, "tiny", given, search=search, trials=7, pruner="none", out=tmp_path / "s")
    assert len(result.trials) == 7 and result.default.state == "done"
    refused = [each for each in result.trials[1:] if each.drawn["optimizer.kind"] == "adamw"]
    assert {each.state for each in result.trials if each not in refused} == {"done"}
    assert 0 < len(refused) < 6
    for each in refused:
        assert each.state == "pruned" and "momentum: adamw does not read it" in each.why
        assert each.options["optimizer.kind"] == "adamw" and 0.3 <= each.options["optimizer.momentum"] <= 0.7
    again = tune(TASK, "tiny", given, search=search, trials=7, pruner="none", out=tmp_path / "s", resume=True)
    assert again.trials == result.trials


def test_faults_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--val: trials are judged on validation"):
        tune(TASK, "tiny", {**QUICK, "val": 0.0}, out=tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="expected a new or empty folder"):
        tune(TASK, "tiny", QUICK, out=tmp_path / "full")
    with pytest.raises(RunError, match="no study here to go on with"):
        tune(TASK, "tiny", QUICK, out=tmp_path / "none", resume=True)
    with pytest.raises(OptionError, match="--tune-time: expected a duration"):
        tune(TASK, "tiny", QUICK, tune_time="soon", out=tmp_path / "b")
    with pytest.raises(TrainingError, match=r"none of 1 trial came to its end; the first one: .*finite"):
        tune(TASK, "tiny", {**QUICK, "optimizer.kind": "sgd", "optimizer.lr": 1e30}, trials=1, out=tmp_path / "c")


COMMAND = ["tune", TASK, "tiny", "--model", "mlp", "--threads", "1", "--json"]
SEARCH = ["--search", "optimizer.lr=1e-3..1e-1:log", "--search", "network.dropout=0..0.4", "--pruner", "none"]


def started(out: Path, *, trials: int, epochs: int) -> Fork:
    budget = ["--trials", str(trials), "--epochs", str(epochs), "--checkpoint-every", "1ms"]
    return Fork([*COMMAND, *SEARCH, *budget, "--out", str(out)])


def wait_for(there: Any, process: Fork) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def trials_of(out: Path) -> list[dict[str, Any]]:
    said = read_json(out / "tuning.json")
    assert isinstance(said, dict)
    return [
        {name: each[name] for name in ("number", "state", "value", "drawn", "options", "figures")}
        for each in said["trials"]
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three trials that nobody disturbs."""
    out = tmp_path_factory.mktemp("undisturbed") / "s"
    process = started(out, trials=3, epochs=6)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_stopped_worker_goes_on_in_the_middle_of_its_trial(
    tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    """The finished study equals one that was left alone, trial by trial, and every file in it can be read."""
    out = tmp_path / "s"
    process = started(out, trials=3, epochs=6)
    wait_for(lambda: len(list((out / "trials/001/checkpoint").glob("step-*"))) > 0, process)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), told
    if number == signal.SIGINT:
        assert "the same command goes on with the study: deepen tune" in told
    assert not (out / "tuning.json").exists()
    process = started(out, trials=3, epochs=6)
    answer, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert "going on with the study, in which 1 of 3 trials are finished" in told
    assert len(json.loads(answer)["trials"]) == 3
    assert trials_of(out) == trials_of(undisturbed)
    for each in range(3):
        assert Run(out / f"trials/{each:03d}").header["status"] == "done"


def test_no_other_trial_is_the_default_where_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of trial 0 is killed while another does trial 1, after which its time is up."""
    folder, begun = tmp_path / "s", tmp_path / "begun"
    search = {"optimizer.lr": "1e-3..1e-1:log"}
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(tuning_trials.Worker, "_tried", lambda *_: (begun.touch(), time.sleep(300)))
        with contextlib.suppress(BaseException):
            tune(TASK, "tiny", QUICK, search=search, trials=2, out=folder)
        os._exit(1)
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    class Killing(Said):
        def message(self, text: str) -> None:
            super().message(text)
            if text.startswith("trial 1"):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    said = Killing()
    result = tune(TASK, "tiny", QUICK, search=search, tune_time="1ms", out=folder, events=said)
    assert [each.number for each in result.trials] == [1] and result.best.number == 1
    assert result.default is None and result.gain is None
    assert result.metrics["default"] == {} and "test" in result.metrics["best"]
    assert any(line.startswith("trial 0, the default, was lost with its worker") for line in said.lines)
    assert "Trial 0, the default, was lost" in (folder / "tuning.html").read_text("utf-8")
    assert as_json(result)["default"] is None
    (line,) = [line for line in as_text(result).splitlines() if line.startswith("val rmse ")]
    assert line.split()[2:] == [f"{result.best.value:.4f}"]
    whole = tune(TASK, "tiny", QUICK, search=search, trials=2, out=folder)
    assert whole.default is not None and whole.trials[1] == result.best
    assert whole.default.figures == train(TASK, "tiny", QUICK, out=tmp_path / "plain").metrics_of("val")


def test_two_workers_share_a_study(tmp_path: Path) -> None:
    out = tmp_path / "s"
    workers = [started(out, trials=7, epochs=5) for _ in range(2)]
    answers = [process.communicate(timeout=240) for process in workers]
    assert [process.returncode for process in workers] == [0, 0], answers
    final = trials_of(out)
    assert [each["number"] for each in final] == list(range(7))
    assert {each["state"] for each in final} == {"done"}
    said = read_json(out / "tuning.json")
    assert isinstance(said, dict)
    assert len({each["worker"] for each in said["trials"]}) == 2
    assert "test" in said["metrics"]["best"]


def test_workers_that_begin_at_the_same_moment_make_one_study(tmp_path: Path) -> None:
    """Optuna's own making of the tables fails in one of two processes that do it at once."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        children = []
        begin = time.monotonic() + 0.2
        for _ in range(4):
            child = os.fork()
            if child == 0:
                time.sleep(max(0.0, begin - time.monotonic()))
                code = 1
                with contextlib.suppress(BaseException), study(folder) as ledger:
                    ledger.run(objective(ledger))
                    code = 0
                os._exit(code)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
        with study(folder) as ledger:
            assert [each.number for each in ledger.records()] == list(range(4))


def test_workers_with_folders_of_their_own_share_a_storage(tmp_path: Path) -> None:
    url, search = f"sqlite:///{tmp_path / 'shared.db'}", {"optimizer.lr": "1e-3..1e-2:log"}
    said, shared = Said(), {"search": search, "storage": url, "study": "ours"}
    first = tune(TASK, "tiny", QUICK, trials=3, out=tmp_path / "a", **shared)  # type: ignore[arg-type]
    second = tune(TASK, "tiny", QUICK, trials=4, out=tmp_path / "b", events=said, **shared)  # type: ignore[arg-type]
    assert second.trials[:3] == first.trials
    assert [path.name for path in (tmp_path / "b" / "trials").iterdir()] == ["003"]
    if second.best.number == 3:
        assert "test" in second.metrics["best"]
    else:
        assert any("lies in the folder of the worker that trained it" in line for line in said.lines)
        assert second.run_folder == tmp_path / "b"
    again = train(TASK, "tiny", config=tmp_path / "b" / "best.json", out=tmp_path / "again")
    assert again.metrics_of("val") == second.best.figures
    with pytest.raises(OptionError, match="begun otherwise"):
        tune(TASK, "tiny", QUICK, search={"optimizer.lr": "1e-3..1:log"}, storage=url, study="ours", out=tmp_path / "c")


@pytest.mark.torture
def test_a_study_whose_workers_are_killed_at_random_ends_as_one_left_alone(tmp_path: Path) -> None:
    draws = rng.generator(3, "kills")
    kills = 0
    while True:
        process = started(tmp_path / "s", trials=6, epochs=6)
        try:
            process.communicate(timeout=float(draws.uniform(1, 5)))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert process.returncode == 0
    undisturbed = started(tmp_path / "u", trials=6, epochs=6)
    undisturbed.communicate(timeout=600)
    assert kills > 0
    assert trials_of(tmp_path / "s") == trials_of(tmp_path / "u")
