"""Ways of compressing that begin from whole runs: the mean of several, and a student of one."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from deepen.compress import average as soups
from deepen.compress import distil as lessons
from deepen.compress.options import CompressOptions
from deepen.compress.tuning import options_for
from deepen.core.errors import OptionError, RunError
from deepen.engine.task import SharedOutputs
from deepen.prepare.encoded import Draws
from deepen.verbs.compressing import State, Work
from deepen.verbs.loaded import loaded
from deepen.verbs.options import Resolved, resolved, task_module
from deepen.verbs.train import budgeted


def average(work: Work, state: State) -> State:
    """The mean of the weights of this run and others."""
    if not work.others:
        raise OptionError("--method average: expected further runs to average with; name them with --with.")
    members = [work.model, *(loaded(each, device="cpu") for each in work.others)]
    for other in members[1:]:
        own: Any = other.task
        if other.header["task"] != work.model.header["task"] or _terms(own) != _terms(work.model.task):
            raise RunError(f"{other.folder}: answers otherwise than {work.model.folder}, so they cannot be averaged.")
    states = [member.model.state_dict() for member in members]
    soups.require_alike(states, [str(member.folder) for member in members])
    network = copy.deepcopy(state.network)
    draws = Draws(state.chosen.fit.seed, 0)

    def ready(values: Any) -> nn.Module:
        network.load_state_dict(values)
        rows = np.arange(min(len(work.train), 10_000), dtype=np.int64)
        parts = np.array_split(rows, max(1, len(rows) // state.chosen.fit.batch_size))
        task: Any = state.task
        batches = (task.batch(work.train, part, draws) for part in parts)
        soups.learn_statistics(network, [partial(lambda b, n: task.loss(n, b), batch) for batch in batches])
        return network.eval()

    def judged(values: Any) -> float:
        objective, direction = state.plain.objective
        value = work.figures(dataclasses.replace(state, network=ready(values)), work.val)[objective]
        return value if direction == "max" else -value

    if work.options.soup == "uniform":
        return state.after("average", ready(soups.mean(states)))
    values, taken = soups.greedy(states, judged)
    work.notes.append(f"averaged: {', '.join(str(members[number].folder) for number in taken)}")
    return state.after("average", ready(values))


def _terms(task: Any) -> Any:
    return task.terms if isinstance(task, SharedOutputs) else None


def distil(work: Work, state: State) -> State:
    """Another network, taught by this one."""
    options = work.options
    if options.student is None:
        raise OptionError("--method distil: expected the network that is to learn; name it with --student MODEL.")
    name = state.chosen.flat["model"]
    chosen = _student(work, options)
    task = task_module(work.model.header["task"]).Task(chosen.task, work.prepared.state, chosen.network)
    teaching = lessons.Teaching(
        temperature=options.temperature,
        weight=options.teacher_weight,
        hints=lessons.hints_of(options.hints),
        hint_weight=options.hint_weight,
        inputs=options.unlabelled,
    )
    pupil = lessons.taught(task, state.network, teaching)
    epochs = options.epochs
    if epochs is None:
        epochs = float(budgeted(chosen, work.prepared).fit.epochs or 1)
    if epochs == 0:
        raise OptionError("--epochs 0: a student that does not train learns nothing; leave it out, or state more.")
    fit = options_for(chosen.fit, len(work.train), epochs=epochs, rate=1.0)
    found = work.fit(state, fit, pupil, None)
    found.network = lessons.plain(found.network)
    work.notes.append(f"{options.student} learned from {name} in {epochs:g} epochs")
    return State("distil", chosen, task, found.network, (), (found,))


def _student(work: Work, options: CompressOptions) -> Resolved:
    """The student's options: the teacher's as far as they are about the data, its own recipe for training."""
    module = task_module(work.model.header["task"])
    flat = work.model.options.flat
    kept = {each.name for each in dataclasses.fields(module.Options)}
    about = {name: value for name, value in flat.items() if name.split(".")[0] in kept and name != "model"}
    given: dict[str, Any] = {**about, "model": options.student, "seed": flat["seed"], "threads": flat["threads"]}
    for name in ("val", "test", "max_val", "strict", "group", "hashes"):
        if name in flat:
            given[name] = flat[name]
    for word in options.student_options:
        key, sign, value = word.partition("=")
        if not sign:
            raise OptionError(f"--student-options {word}: expected NAME=VALUE, such as width=32.")
        given[f"network.{key}"] = value
    return resolved(work.model.header["task"], given)
