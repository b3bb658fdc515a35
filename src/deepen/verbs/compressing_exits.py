"""Early exits put between the stages of a run's network, trained with it, and settled by validation."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch

from deepen.compress import early_exit as exits
from deepen.compress.cascade import Operation, Wish, is_of_classes
from deepen.compress.early_exit import Only
from deepen.core.errors import OptionError
from deepen.engine.evaluate import rows_at_once
from deepen.engine.options import OptimizerOptions
from deepen.engine.task import PairedMetrics
from deepen.nn.exits import WithExits
from deepen.verbs.compressing import State, Work

HEADS_FIRST = 1 / 3  # of the tuning: the exits alone learn, on stages that stay as they are
HEADS = OptimizerOptions(kind="adam", learning_rate=0.002)
FIGURE = "accuracy"
WISHES = ("--exit-accuracy", "--exit-cost")


def early_exit(work: Work, state: State) -> State:
    """The network with exits. Raises OptionError for a network without stages, and for wishes that cannot be kept."""
    options, task = work.options, state.task
    wish = Wish(options.exit_accuracy, options.exit_cost, WISHES)
    if not is_of_classes(task):
        raise OptionError(
            "--method early-exit: an exit needs an answer that is one of several classes, by a logit for each; "
            f"{work.model.header['task']} on this target gives others."
        )
    sketch: Any = copy.deepcopy(state.network)
    sample: Any = task.sample()  # type: ignore[attr-defined]
    change = exits.change_for(sketch, sample, options.exits)
    with torch.random.fork_rng():
        torch.manual_seed(state.chosen.fit.seed)
        network: Any = exits.rebuild(sketch, change)
    state = _learned(work, state.after("early-exit", network, change))
    assert isinstance(state.network, WithExits)
    found = _settled(work, state.plain, state.network, wish)
    state.network.thresholds = found.thresholds
    work.notes.append(_said(state.network, found))
    changes = (*state.changes[:-1], change | {"thresholds": list(found.thresholds)})
    return dataclasses.replace(state, changes=changes)


def _learned(work: Work, state: State) -> State:
    """After tuning: of the exits alone, then of all."""
    fit = work.short(state)
    if fit is None:
        return state
    assert fit.steps is not None
    pupil = exits.taught(state.task)
    first = max(1, round(fit.steps * HEADS_FIRST))
    alone = dataclasses.replace(fit, optimizer=HEADS, freeze=("network",), steps=first)
    learned = [work.fit(state, alone, pupil, state.network)]
    if fit.steps > first:
        both = dataclasses.replace(fit, steps=fit.steps - first)
        learned.append(work.fit(state, both, pupil, learned[0].network))
    return state.after("early-exit", learned[-1].network, tuned=learned)


def _settled(work: Work, task: Any, network: WithExits, wish: Wish) -> Operation:
    """The thresholds by the validation samples."""
    each = [Only(network, which).eval() for which in range(len(network.exits) + 1)]
    size, count = min(rows_at_once(task), 256), len(work.val)
    right = [_right(task, only, work.val, size, count) for only in each]
    return exits.thresholds_for(each, right, wish)


def _right(task: Any, only: Only, encoded: Any, size: int, count: int) -> np.ndarray:
    """[n] whether each sample is answered right; what `only` saw of warming up is forgotten."""
    metrics = task.metrics()
    with torch.inference_mode():
        task.outputs(only, task.batch(encoded, np.arange(min(size, count), dtype=np.int64), None))
        only.confidences.clear()
        only.seconds.clear()
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count), dtype=np.int64)
            batch = task.batch(encoded, rows, None)
            task.score_outputs(task.outputs(only, batch), batch, metrics)
    found = metrics.per_row().get(FIGURE) if isinstance(metrics, PairedMetrics) else None
    if found is None or len(found.values) != count:
        raise OptionError("--method early-exit: this task does not tell of each sample whether it is answered right.")
    return found.values > 0.5


def _said(network: WithExits, found: Operation) -> str:
    exits = zip(network.places, found.thresholds, strict=True)
    places = ", ".join(f"after stage {place + 1} above {threshold:.4f}" for place, threshold in exits)
    return (
        f"on validation the exits ({places}) give an accuracy of {found.accuracy:.4f} "
        f"in {found.cost:.0%} of the time that all stages and exits take."
    )
