"""Two or more runs as a cascade: the first answers, and only where it is not sure the next one is asked.

Like an ensemble, a cascade is a `Loaded` whose task prepares every sample once per run and whose network holds all of
theirs; each run after the first computes those rows of a batch alone that come to it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from deepen.compress.cascade import Wish, choose, is_of_classes
from deepen.core.errors import OptionError, RunError
from deepen.core.figures import Figure
from deepen.engine.evaluate import evaluate as score
from deepen.engine.evaluate import rows_at_once
from deepen.engine.feed import on_device
from deepen.engine.task import Metrics, PairedMetrics, Terms
from deepen.nn.exits import confidence
from deepen.ops.losses import Loss
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.runtime.evaluation import CascadeFigures, Stage
from deepen.verbs.ensemble import EnsembleTask, Together, together
from deepen.verbs.learned_weights import Weights, common_validation
from deepen.verbs.loaded import Loaded, loaded

T = TypeVar("T")

FIGURE = "accuracy"
WARM_UP_ROWS = 32
MOST_PASSES, ENOUGH_SECONDS = 7, 0.05


@dataclass(frozen=True)
class Cascading:
    """How runs are one after the other: by thresholds as stated, or by those that validation gives for a wish.

    thresholds  one for each run but the last, from 0 (answers everything) to 1 (nothing); () for the wish
    """

    thresholds: tuple[float, ...]
    wish: Wish


def cascading(given: Mapping[str, Any]) -> Cascading:
    """From `thresholds`, `accuracy` or `cost_share`; default: an accuracy of -0.2 % against the last run's.

    Raises OptionError for other names, wrong values, and two ways at once.
    """
    more = sorted(set(given) - {"thresholds", "accuracy", "cost_share"})
    if more:
        raise OptionError(f"cascade: no option {more[0]!r}; there are thresholds, accuracy, cost_share.")
    thresholds = tuple(float(each) for each in given.get("thresholds", ()))
    wish = Wish(given.get("accuracy"), given.get("cost_share"))
    if thresholds and wish != Wish():
        raise OptionError("--thresholds leaves nothing to a wish; leave --accuracy and --cost-share out, or it.")
    bad = next((each for each in thresholds if not 0 <= each <= 1), None)
    if bad is not None:
        raise OptionError(f"--thresholds: expected probabilities from 0 to 1, but has {bad!r}.")
    return Cascading(thresholds, wish)


def cascade_of(
    runs: str | Path | Sequence[str | Path], given: Mapping[str, Any], weights: Weights = ()
) -> tuple[list[Loaded], Loaded]:
    """The runs, cheapest first, and the cascade of them. `given`: see `cascading`.

    Raises RunError for runs that cannot answer one after the other, OptionError for options that do not fit them.
    """
    asked = cascading(given)
    if weights:
        raise OptionError("weights are of runs that answer together; in a cascade one after the other does.")
    if isinstance(runs, (str, Path)) or len(runs) < 2:
        raise OptionError("cascade: expected two runs or more, cheapest first; name the next with --then.")
    if asked.thresholds and len(asked.thresholds) != len(runs) - 1:
        raise OptionError(
            f"--thresholds: expected {len(runs) - 1}, one for each run but the last, but has {len(asked.thresholds)}."
        )
    members = [loaded(folder) for folder in runs]
    for member in members:
        _refuse_other_outputs(member)
    whole = together(members, [1 / len(members)] * len(members))
    assert isinstance(whole.task, EnsembleTask)
    thresholds = asked.thresholds or learned_thresholds(members, whole.task, asked.wish)
    return members, dataclasses.replace(whole, task=CascadeTask(whole.task, thresholds))


def learned_thresholds(members: Sequence[Loaded], task: EnsembleTask, wish: Wish) -> tuple[float, ...]:
    """Thresholds by the validation split that these runs have in common, and by the time that each takes on it here.

    None of the runs was trained on that split, though each run's best step was chosen on it.
    """
    table = common_validation(members, instead="--thresholds")
    encoded = task.encode(table, "val", [])
    assert isinstance(encoded, Together)
    if not len(encoded):
        raise RunError(f"{members[0].folder}: its validation has no sample that all runs can use; state --thresholds.")
    measured = [_measured(task, number, member, encoded) for number, member in enumerate(members)]
    confidences = np.stack([each.confidences for each in measured[:-1]])
    return choose(
        confidences, np.stack([each.right for each in measured]), [each.seconds for each in measured], wish
    ).thresholds


def figures_of(members: Sequence[Loaded], cascade: Loaded, encoded: Encoded) -> tuple[Metrics, CascadeFigures]:
    """The cascade's metrics over samples with targets, and what it costs and gives beside each run alone.

    The seconds are of batches and networks, of few samples the median of several passes.
    """
    assert isinstance(encoded, Together) and isinstance(cascade.task, CascadeTask)
    for member, part in zip(members, encoded.parts, strict=True):
        _warm_up(member, part)
    (metrics, by), seconds = _timed(lambda: answered_by(cascade, encoded))
    stages = []
    for number, (member, part) in enumerate(zip(members, encoded.parts, strict=True)):
        alone, taken = _timed(lambda run=member, own=part: _alone(run, own))
        threshold = cascade.task.thresholds[number] if number < len(members) - 1 else None
        asked = float((by >= number).mean())
        stages.append(Stage(str(member.folder), threshold, asked, alone.result()[FIGURE], taken / len(encoded)))
    return metrics, CascadeFigures(tuple(stages), metrics.result()[FIGURE], seconds / len(encoded))


def answered_by(cascade: Loaded, encoded: Encoded) -> tuple[Metrics, np.ndarray]:
    """The cascade's metrics, and [n] the number of the run that answered each sample."""
    task = cascade.task
    assert isinstance(task, CascadeTask)
    encoded, metrics, by = on_device(encoded, cascade.device), task.metrics(), []
    size = rows_at_once(task)
    with torch.inference_mode():
        for start in range(0, len(encoded), size):
            rows = np.arange(start, min(start + size, len(encoded)), dtype=np.int64)
            batch = task.batch(encoded, rows, None).to(cascade.device)
            outputs, numbers = task.answered(cascade.model, batch)
            task.score_outputs(outputs, batch, metrics)
            by.append(numbers.cpu())
    return metrics, torch.cat(by).numpy()


class CascadeTask:
    """The task of several runs of which each but the last answers what it is sure of.

    ensemble    how the samples are prepared for all of them
    thresholds  one for each run but the last
    """

    def __init__(self, ensemble: EnsembleTask, thresholds: Sequence[float]) -> None:
        assert len(thresholds) == len(ensemble.tasks) - 1
        self.ensemble, self.thresholds = ensemble, tuple(thresholds)
        self.objective = ensemble.objective
        self.evaluation_batch_size = min(map(rows_at_once, ensemble.tasks))

    @property
    def terms(self) -> Terms:
        """Those of the first run."""
        return self.ensemble.terms

    def encode(self, table: pa.Table, split: str, faults: list[Any]) -> Encoded:
        """The samples that every run can use, as each of them prepares them."""
        return self.ensemble.encode(table, split, faults)

    def batch(self, encoded: Encoded, rows: np.ndarray, draws: Draws | None) -> Batch:
        """Every run's batch of these rows."""
        return self.ensemble.batch(encoded, rows, draws)

    def build(self) -> nn.Module:
        """All networks, freshly initialized."""
        return self.ensemble.build()

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The mean of the runs' losses, for there is no gradient through a threshold."""
        return self.ensemble.loss(model, batch)

    def metrics(self) -> Metrics:
        """Those of the first run."""
        return self.ensemble.metrics()

    def answered(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [B, K] in the terms of the first run, and [B] int64 the number of the run that gave each row."""
        outputs = self.ensemble.outputs_of(0, model, batch)
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        by = torch.zeros(len(outputs), dtype=torch.int64, device=outputs.device)
        left = torch.arange(len(outputs), device=outputs.device)
        for number, threshold in enumerate(self.thresholds, 1):
            is_sure = confidence(outputs[left]) > threshold  # what is not a number is not sure
            left = left[~is_sure]
            if not len(left):
                break
            rows = left if len(left) < len(outputs) else None
            own = self.ensemble.outputs_of(number, model, batch, rows)
            outputs = outputs.index_copy(0, left, own.to(outputs.dtype))
            by[left] = number
        return outputs, by

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The logits of that run which answers each row."""
        return self.answered(model, batch)[0]

    def combine(self, outputs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """As the first run combines them."""
        return self.ensemble.combine(outputs, weights)

    def score(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Adds the outputs, beside the first run's targets."""
        self.score_outputs(self.outputs(model, batch), batch, metrics)

    def score_outputs(self, outputs: Tensor, batch: Batch, metrics: Any) -> None:
        """As the first run does."""
        self.ensemble.score_outputs(outputs, batch, metrics)

    def answer(self, model: nn.Module, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """The answers by the outputs."""
        return self.answer_outputs(self.outputs(model, batch), batch, sources)

    def answer_outputs(self, outputs: Tensor, batch: Batch, sources: Sequence[str]) -> list[Any]:
        """As the first run does."""
        return self.ensemble.answer_outputs(outputs, batch, sources)

    def figures(self, metrics: Any, encoded: Encoded) -> list[Figure]:
        """As the first run draws them."""
        return self.ensemble.figures(metrics, encoded)


@dataclass(frozen=True)
class _Measured:
    """Of one run on validation: [n] confidences, [n] whether it is right, and seconds for a sample."""

    confidences: np.ndarray
    right: np.ndarray
    seconds: float


def _measured(task: EnsembleTask, number: int, member: Loaded, encoded: Together) -> _Measured:
    """The seconds are those of the median batch, so that what disturbs a few of them does not count."""
    own, first = (on_device(encoded.parts[each], member.device) for each in (number, 0))
    _warm_up(member, own)
    metrics, confidences, seconds = task.metrics(), [], []
    size = min(map(rows_at_once, task.tasks))
    with torch.inference_mode():
        for start in range(0, len(own), size):
            rows = np.arange(start, min(start + size, len(own)), dtype=np.int64)
            (outputs, sure), taken = _timed(lambda rows=rows: _outputs(member, own, rows))
            seconds.append(taken / len(rows))
            confidences.append(sure)
            known = task.tasks[0].batch(first, rows, None).to(member.device)
            task.tasks[0].score_outputs(task.in_terms(number, outputs), known, metrics)
    confidence_of = np.nan_to_num(np.concatenate(confidences), nan=0.0)
    return _Measured(confidence_of, _right(metrics, member, len(own)), float(np.median(seconds)))


def _outputs(member: Loaded, encoded: Encoded, rows: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """[n, K] a run's own outputs for rows, and [n] their confidences."""
    task: Any = member.task
    outputs = task.outputs(member.model, task.batch(encoded, rows, None).to(member.device))
    return outputs, confidence(outputs).cpu().numpy()


def _right(metrics: Metrics, member: Loaded, count: int) -> np.ndarray:
    found = metrics.per_row().get(FIGURE) if isinstance(metrics, PairedMetrics) else None
    if found is None or not found.is_share or len(found.values) != count:
        raise RunError(
            f"{member.folder}: its task does not tell of each validation sample whether it is answered right."
        )
    return found.values > 0.5


def _alone(run: Loaded, encoded: Encoded) -> Metrics:
    return score(run.task, run.model, encoded, device=run.device, ranks=Alone())


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the median of its seconds: once, or again as long as that takes next to no time."""
    taken: list[float] = []
    while True:
        start = time.perf_counter()
        found = call()
        taken.append(time.perf_counter() - start)
        if len(taken) == MOST_PASSES or sum(taken) > ENOUGH_SECONDS:
            return found, float(np.median(taken))


def _warm_up(member: Loaded, encoded: Encoded) -> None:
    """A few rows that are not timed."""
    task: Any = member.task
    rows = np.arange(min(WARM_UP_ROWS, len(encoded)), dtype=np.int64)
    with torch.inference_mode():
        for _ in range(2):
            task.outputs(member.model, task.batch(encoded, rows, None).to(member.device))


def _refuse_other_outputs(member: Loaded) -> None:
    """Raises RunError for outputs that are not the logits of classes of which one is right."""
    if not is_of_classes(member.task):
        raise RunError(
            f"{member.folder}: a cascade needs runs whose answer is one of several classes, by a logit for each; "
            f"{member.header['task']} on this target gives others."
        )
