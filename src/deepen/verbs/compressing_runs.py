"""Ways of compressing that begin from whole runs: the mean of several, and a student of one."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from deepen.compress import average as soups
from deepen.compress import distil as lessons
from deepen.compress.further import Beside
from deepen.compress.options import CompressOptions
from deepen.compress.tuning import options_for
from deepen.core import options as option_rules
from deepen.core.errors import OptionError, RunError
from deepen.data.read import ReadOptions
from deepen.data.split import SplitOptions
from deepen.engine.task import Carrying, FittingItself, SharedOutputs, Teachable
from deepen.prepare.encoded import Draws
from deepen.verbs.compressing import State, Work
from deepen.verbs.further_inputs import further_inputs
from deepen.verbs.loaded import loaded
from deepen.verbs.options import Resolved, network_group, resolved, task_module
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
    module = task_module(work.model.header["task"])
    sketch = module.Task(module.Options(model=options.student), work.prepared.state)
    if isinstance(sketch, FittingItself) and sketch.fits_itself:
        raise OptionError(f"--student {options.student}: does not learn by gradients, so nobody can teach it.")
    chosen = _student(work, options)
    task = module.Task(chosen.task, work.prepared.state, chosen.network)
    encoded, beside, fit = None, None, chosen.fit
    if isinstance(task, Carrying):  # what its rows are goes by how its network reads
        encoded = {split: task.encode(table, split, []) for split, table in work.prepared.tables.items()}
        work = _reading(work, encoded)
    if options.inputs_from is not None:
        beside = _beside(work, task)
        fit = dataclasses.replace(fit, batch_size=min(fit.batch_size, math.ceil(len(beside) / 2)))  # a batch of each
        work = _reading(work, {**work.prepared.encoded, "train": beside})
    pupil = lessons.taught(task, state.network, _teaching(task, options), beside)
    epochs = options.epochs
    if epochs is None:
        epochs = float(budgeted(chosen, work.prepared).fit.epochs or 1)
    if epochs == 0:
        raise OptionError("--epochs 0: a student that does not train learns nothing; leave it out, or state more.")
    fit = options_for(fit, len(work.train), epochs=epochs, rate=1.0)
    found = work.fit(state, fit, pupil, None)
    found.network = lessons.plain(found.network)
    work.notes.append(f"{options.student} learned from {name} in {epochs:g} epochs")
    return State("distil", chosen, task, found.network, (), (found,), encoded)


def _reading(work: Work, encoded: Mapping[str, Any]) -> Work:
    return dataclasses.replace(work, prepared=dataclasses.replace(work.prepared, encoded=dict(encoded)))


def _teaching(task: Any, options: CompressOptions) -> lessons.Teaching:
    temperature = options.temperature
    if temperature is None:
        temperature = lessons.OF_LESSONS if isinstance(task, Teachable) else lessons.OF_OUTPUTS
    return lessons.Teaching(
        temperature=temperature,
        weight=options.teacher_weight,
        hints=lessons.hints_of(options.hints),
        hint_weight=options.hint_weight,
        inputs=options.unlabelled,
        copies=options.copies,
    )


def _beside(work: Work, task: Any) -> Beside:
    """The training samples and, behind them, those of `--inputs-from`."""
    options = work.options
    assert options.inputs_from is not None
    if options.unlabelled in ("munge", "gaussian"):
        raise OptionError(
            f"--inputs-from {options.inputs_from}: with --unlabelled {options.unlabelled} all inputs are made up; "
            "choose one of the two."
        )
    further, said = further_inputs(options.inputs_from, work.model, task, work.prepared.encoded)
    work.notes += said
    return Beside(work.train, further)


def _student(work: Work, options: CompressOptions) -> Resolved:
    """The student's options: the teacher's as far as they are about the data, its own recipe for training."""
    module = task_module(work.model.header["task"])
    flat = work.model.options.flat
    kept = {each.name for each in dataclasses.fields(module.Options)}
    about = {name: value for name, value in flat.items() if name.split(".")[0] in kept and name != "model"}
    base: dict[str, Any] = {**about, "seed": flat["seed"], "threads": flat["threads"]}
    base |= {name: flat[name] for name in option_rules.fields_of(SplitOptions, ReadOptions) if name in flat}
    given: dict[str, Any] = {"model": options.student}
    network = option_rules.fields_of(network_group(module.CONTRACT, str(options.student)))
    further = set(_unprepared(module.Options))
    for word in options.student_options:
        key, sign, value = word.partition("=")
        if not sign:
            raise OptionError(f"--student-options {word}: expected NAME=VALUE, such as width=32.")
        key = key.strip().replace("-", "_")
        given[key if key in further and f"network.{key}" not in network else f"network.{key}"] = value
    return resolved(work.model.header["task"], given, base=base)


def _unprepared(group: type) -> Iterator[str]:
    """The options of a task that a student may have otherwise: samples do not hang on them, or are cut anew for it."""
    for each in dataclasses.fields(group):
        if not each.metadata.get("prepares", True) or each.metadata.get("of_network", False):
            yield each.name
