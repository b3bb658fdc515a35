"""K01, K02, K03, K06: killed and resumed equals never killed, bit for bit, for every task without naming it."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from deepen.bundle import load
from deepen.core import names
from deepen.engine.events import Silent
from deepen.engine.signals import Interrupted
from tests.torture.kills import succeeds
from tests.torture.training import STEPS, Kill, assert_same, chosen, killed_and_resumed, sitting, undisturbed, warm_up

TASKS = sorted(names.tasks())
PLANS = {
    "in mid-epoch, and again in the resumed run": [Kill("step", 7), Kill("step", 12), Kill("torn", 300)],
    "after an evaluation, and after the last step": [Kill("evaluated", 1), Kill("step", STEPS)],
}


@pytest.fixture
def quick_path():
    """A folder in memory where there is one: kill -9 does not see the difference, and syncing costs nothing there."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="deepen-", dir=shared) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The run of a task that nobody killed, trained once."""
    made = {}

    def run_of(task):
        if task not in made:
            folder = tmp_path_factory.mktemp("alone")
            warm_up(task, folder / "warm")
            made[task] = folder / "run"
            undisturbed(task, made[task], {})
        return made[task]

    return run_of


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("task", TASKS)
def test_killed_and_resumed_equals_never_killed(task, plan, left_alone, quick_path):
    expected = left_alone(task)
    assert killed_and_resumed(task, quick_path / "run", PLANS[plan], {}) >= 1
    assert_same(quick_path / "run", expected)


@pytest.mark.parametrize("task", TASKS)
def test_the_seldom_saved_run_equals_the_often_saved_one(task, left_alone, quick_path):
    """Saving changes nothing; what was not saved is done again."""
    expected = left_alone(task)
    assert killed_and_resumed(task, quick_path / "run", [Kill("step", 20)], {"checkpoint_every": "50ms"}) == 1
    assert (quick_path / "run" / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()
    assert (quick_path / "run" / "weights.safetensors").read_bytes() == (expected / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("at", [5, 20, 40])
@pytest.mark.parametrize("task", TASKS[:1])
def test_killed_while_the_folder_is_made_it_is_begun_anew(task, at, left_alone, quick_path):
    expected = left_alone(task)
    assert killed_and_resumed(task, quick_path / "run", [Kill("operation", at)], {}) == 1
    assert_same(quick_path / "run", expected)


class Signalled(Silent):
    """Sends a signal to its own process after an update."""

    def __init__(self, number, at):
        self.number, self.at = number, at

    def step(self, step, progress, seconds_left):
        if step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("task", TASKS[:1])
def test_a_signal_ends_the_step_saves_and_leaves_a_run_to_go_on_with(task, number, left_alone, quick_path):
    def interrupted():
        try:
            sitting(task, quick_path / "run", {}, Signalled(number, 11))()
        except Interrupted as stopped:
            assert stopped.signal == number
            return
        raise AssertionError("not interrupted")

    assert succeeds(interrupted)
    assert load.load_header(quick_path / "run")["status"] == "interrupted"
    killed_and_resumed(task, quick_path / "run", [], {})
    assert_same(quick_path / "run", left_alone(task))


@pytest.mark.torture
@pytest.mark.parametrize("number", range(100))
@pytest.mark.parametrize("task", TASKS)
def test_killed_at_a_hundred_chosen_and_random_moments(task, number, left_alone, quick_path):
    expected = left_alone(task)
    killed_and_resumed(task, quick_path / "run", chosen(number), {})
    assert_same(quick_path / "run", expected)


@pytest.mark.torture
@pytest.mark.parametrize("task", TASKS[:1])
def test_killed_at_every_operation_of_a_short_training(task, quick_path):
    options = {"steps": 3}
    warm_up(task, quick_path / "warm")
    undisturbed(task, quick_path / "alone", options)
    for number in range(1, 5000):
        folder = quick_path / f"run{number}"
        if killed_and_resumed(task, folder, [Kill("operation", number)], options) == 0:
            break
        assert_same(folder, quick_path / "alone")
    assert number > 60
