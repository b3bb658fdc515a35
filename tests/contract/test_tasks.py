"""Promises that every task keeps, found by looking, without naming any."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from deepen.core import names, options
from deepen.engine.fit import fit
from deepen.engine.task import NamedRows
from deepen.parallel import launch
from deepen.parallel.ranks import Alone
from deepen.verbs.check import check
from deepen.verbs.evaluate import evaluate
from deepen.verbs.loaded import loaded
from deepen.verbs.options import groups, rebuilt, resolved, task_module
from deepen.verbs.predict import answers, predict
from deepen.verbs.prepared import base_options, prepare
from deepen.verbs.run import Run
from deepen.verbs.train import train

TASKS = sorted(names.tasks())
pytestmark = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One tiny run per task, trained once."""
    made: dict[str, Run] = {}

    def run_of(task: str) -> Run:
        if task not in made:
            made[task] = train(task, "tiny", out=tmp_path_factory.mktemp("runs") / task)
        return made[task]

    return run_of


def weights(model):
    return torch.cat([p.detach().reshape(-1).double() for p in model.parameters()])


def test_the_tiny_data_set_is_learned(task, runs):
    run, tiny = runs(task), task_module(task).TINY
    value = run.metrics[tiny.metric]
    history = run.history
    direction = task_direction(run)
    assert (value >= tiny.beats) if direction == "max" else (value <= tiny.beats), run.metrics
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert run.header["status"] == "done"


def task_direction(run):
    objective, direction = loaded(run.folder).task.objective
    return direction if objective == task_module(run.task).TINY.metric else "max"


def test_evaluating_again_gives_the_same_figures(task, runs):
    run = runs(task)
    assert evaluate(run.folder).metrics == run.metrics
    assert evaluate(run.folder, "tiny").metrics == run.metrics


def test_a_row_is_answered_the_same_whatever_stands_beside_it(task, runs):
    model = loaded(runs(task).folder)
    tiny = task_module(task).TINY.make(0)
    table = next(iter(tiny.tables.values()))
    whole = model.task.encode(table, "predict", [])

    def answered(rows):
        with torch.inference_mode():
            batch = model.task.batch(whole, np.array(rows), None)
            return model.task.answer(model.model, batch, [whole.source(row) for row in rows])

    together = answered(list(range(29)))
    alone = [answered([row])[0] for row in range(29)]
    for a, b in zip(together, alone, strict=True):
        _close(dataclasses.asdict(a), dataclasses.asdict(b))


def _close(a, b):
    """Equal but for rounding: a batch of another size may add in another order."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            _close(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _close(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    else:
        assert a == b


def test_answers_are_json_with_their_source_first(task, runs):
    for answer in list(predict(runs(task).folder, "tiny"))[:7]:
        said = json.loads(json.dumps(dataclasses.asdict(answer), allow_nan=False))
        assert next(iter(said)) == "source" and said["source"]
        assert type(answer).__dataclass_params__.frozen


def test_loading_twice_answers_the_same(task, runs):
    first, second = (list(answers(loaded(runs(task).folder), ["tiny"], {})) for _ in range(2))
    assert first == second


def test_a_row_of_a_table_has_one_name_and_a_name_one_row(task, runs):
    made = loaded(runs(task).folder)
    if not isinstance(made.task, NamedRows):
        return
    state = made.model.state_dict()
    named = made.task.row_names(state)
    assert named.keys() <= state.keys()
    for name, rows in named.items():
        assert rows is None or len(set(rows)) == len(rows) == len(state[name]), name


def test_options_survive_json(task):
    chosen = resolved(task, {}, base=base_options(task, "tiny"))
    again = rebuilt(task, json.loads(json.dumps(chosen.flat)))
    assert again.flat == chosen.flat
    assert (again.task, again.network, again.fit, again.split, again.read) == (
        chosen.task,
        chosen.network,
        chosen.fit,
        chosen.split,
        chosen.read,
    )


def test_every_option_has_help(task):
    for option in options.fields_of(*groups(task)).values():
        assert option.help, f"{option.name} has no line of help"


def test_check_finds_nothing_wrong_with_the_tiny_data(task):
    found = check(task, "tiny")
    assert found.passed
    assert sum(found.counts.values()) > 0


def _fitted(task, ranks, **changes):
    """A few steps of the tiny training, on this many ranks."""
    torch.set_num_threads(1)
    base = {**base_options(task, "tiny"), "epochs": 2, **changes}
    chosen = resolved(task, {}, base=base)
    prepared = prepare(task, "tiny", chosen)
    return fit(prepared.task, prepared.encoded["train"], prepared.encoded.get("val"), chosen.fit, ranks=ranks)


def test_micro_batches_take_the_same_steps(task):
    once, cut = _fitted(task, Alone()), _fitted(task, Alone(), accumulate=4)
    a, b = weights(once.model), weights(cut.model)
    assert (a - b).abs().max() <= 1e-4 * a.abs().max()


def _other(ranks, task):
    _fitted(task, ranks)


def test_two_ranks_take_the_same_steps_as_one(task):
    one = _fitted(task, Alone())
    with launch.group(2, "cpu", _other, task) as ranks:
        two = _fitted(task, ranks)
    a, b = weights(one.model), weights(two.model)
    assert (a - b).abs().max() <= 1e-4 * a.abs().max()


def test_one_seed_repeats_and_two_differ(task):
    first, again, other = (_fitted(task, Alone(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(weights(first.model), weights(again.model))
    if weights(first.model).shape == weights(other.model).shape:
        assert not torch.equal(weights(first.model), weights(other.model))
