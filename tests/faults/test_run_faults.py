"""Run folders, files of options and places for runs that must be refused, and runs that must not be mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deepen.core.options import fields_of
from deepen.engine.options import FitOptions
from deepen.verbs.resumed import MAY_CHANGE
from tests.faults.harness import LIBRARY_WORDS, Outcome, deepen, listing
from tests.faults.run_cases import PLACE_CASES, RUN_CASES, PlaceCase, RunCase

TASK = "tabular-classification"
QUICK = ("--checkpoint-every", "1ms", "--device", "cpu")
FEW = ("--steps", "3")
HEADING = "area,city,label"


def trained(data: Path | str, out: Path, *more: str) -> Outcome:
    return deepen("train", TASK, data, "--out", out, *QUICK, *more)


def assert_refused(outcome: Outcome, words: tuple[str, ...]) -> None:
    assert outcome.code == 2, outcome.err
    for word in words:
        assert word in outcome.err, (word, outcome.err)
    for word in LIBRARY_WORDS:
        assert word not in outcome.err, outcome.err


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run that is done; tests copy it before they harm it."""
    folder = tmp_path_factory.mktemp("good") / "run"
    assert trained("tiny", folder, *FEW).code == 0
    return folder


@pytest.fixture
def failed(tmp_path):
    """A run on a table of its own that stopped at its second step, and so can be resumed."""
    draws = [((7 * row) % 31, "abc"[row % 3], "xy"[(row // 2) % 2]) for row in range(90)]
    (tmp_path / "t.csv").write_text("\n".join([HEADING, *(f"{a},{b},{c}" for a, b, c in draws)]) + "\n")
    outcome = trained(tmp_path / "t.csv", tmp_path / "run", "--target", "label", "--optimizer.lr", "1e30")
    assert outcome.code == 2, outcome.err
    return tmp_path / "run"


@pytest.mark.parametrize("case", RUN_CASES, ids=lambda case: case.id)
def test_a_harmed_run_is_refused_in_one_sentence(case: RunCase, good: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(good, run)
    case.harm(run)
    outcome = deepen("evaluate", run, "tiny")
    assert_refused(outcome, case.words)
    assert outcome.err.count("\n") == 1 and len(outcome.err) < 1000


@pytest.mark.parametrize("case", PLACE_CASES, ids=lambda case: case.id)
def test_a_bad_place_is_refused_before_any_data_is_read(case: PlaceCase, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    path = case.build(folder)
    before = listing(folder)
    others = () if case.option == "--out" else ("--out", tmp_path / "run")
    outcome = deepen("train", TASK, "tiny", case.option, path, *others)
    assert_refused(outcome, case.words)
    assert outcome.err.count("\n") == 1, "the data was read first"
    assert listing(folder) == before and not (tmp_path / "run").exists()


def test_a_run_is_not_written_over(good: Path) -> None:
    before = listing(good)
    assert_refused(trained("tiny", good), ("already holds a run", "--resume", "--out"))
    assert_refused(trained("tiny", good, "--resume"), ("is done", "nothing is left to resume"))
    assert_refused(deepen("train", "tabular-regression", "tiny", "--out", good, "--resume"), ("is a run of", TASK))
    assert listing(good) == before


def test_resuming_with_other_options_lists_all_that_differ(failed: Path) -> None:
    """K15."""
    others = ("--batch-size", "7", "--seed", "9", "--optimizer.lr", "0.1", "--target", "label")
    outcome = trained(failed.parent / "t.csv", failed, "--resume", *others)
    assert_refused(
        outcome,
        (
            "batch_size (32 before, 7 now)"[:12],
            "seed (0 before, 9 now)",
            "optimizer.learning_rate (1e+30 before, 0.1 now)",
            *MAY_CHANGE,
        ),
    )
    assert_refused(trained(failed.parent / "t.csv", failed, "--resume", "--model", "mlp"), ("tabm before, mlp now",))
    assert set(fields_of(FitOptions)) >= MAY_CHANGE


def test_what_may_change_may_change(failed: Path) -> None:
    """The same fault at the same step, so the run went on, and with what was asked for."""
    allowed = ("--threads", "1", "--checkpoint-every", "3s")
    outcome = deepen("train", TASK, failed.parent / "t.csv", "--out", failed, "--resume", *allowed)
    assert outcome.code == 2 and "step 2: expected a finite loss" in outcome.err


@pytest.mark.parametrize("change", [("7,b,", "8,b,"), (",x\n", ",y\n"), ("\n", "\n\n")])
def test_resuming_on_changed_data_is_refused(failed: Path, change: tuple[str, str]) -> None:
    """L17: one cell of the same length, one label; but lines without anything in them are no change."""
    path = failed.parent / "t.csv"
    content = path.read_text()
    assert change[0] in content
    path.write_text(content.replace(*change, 1))
    outcome = deepen("train", TASK, path, "--out", failed, "--resume")
    if change[0] == "\n":
        assert "step 2: expected a finite loss" in outcome.err
    else:
        assert_refused(outcome, ("was trained on other data than this", "fingerprint", "--out"))


def test_a_damaged_newest_checkpoint_falls_back_and_says_so(tmp_path: Path, good: Path) -> None:
    """K13 through --resume: the run ends as if nothing had happened."""
    run = tmp_path / "run"
    outcome = trained("tiny", run, "--optimizer.lr", "1e10")
    assert "expected a finite loss" in outcome.err or outcome.code == 0
    if outcome.code == 0:
        pytest.fail("the rate was meant to be too high")
    checkpoints = sorted((run / "checkpoint").iterdir())
    assert len(checkpoints) == 2
    content = bytearray(checkpoints[-1].read_bytes())
    content[len(content) // 2] ^= 1
    checkpoints[-1].write_bytes(content)
    again = trained("tiny", run, "--optimizer.lr", "1e10", "--resume")
    assert f"{checkpoints[-1].name}: damaged" in again.err
    assert f"Going on from {checkpoints[0].name}" in again.err
    assert again.err.splitlines()[-1] == outcome.err.splitlines()[-1], "the same step fails in the same way"


def test_a_loss_that_is_not_finite_stops_before_the_update(failed: Path) -> None:
    """K26: the sentence names step, samples and mend; the checkpoint before it stands and is finite."""
    outcome = deepen("train", TASK, failed.parent / "t.csv", "--out", failed, "--resume")
    assert outcome.code == 2
    for word in ("step 2", "learning rate", "t.csv, row", "more", "--optimizer.lr", "--clip-norm", "before this step"):
        assert word in outcome.err, word
    assert json.loads((failed / "run.json").read_text())["status"] == "failed"
    assert [path.name.split("-")[1] for path in (failed / "checkpoint").iterdir()] == ["000000001"]
    assert not (failed / "weights.safetensors").exists()


def test_no_case_stands_twice() -> None:
    for cases in (RUN_CASES, PLACE_CASES):
        names = [case.id for case in cases]
        assert len(set(names)) == len(names)
