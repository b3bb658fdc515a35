"""`show rates`: a learning-rate range test on real data, and the command that uses what it found."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deepen.core.errors import OptionError
from deepen.core.figures import Curves
from deepen.core.files import write_text
from deepen.data.dataset import Dataset
from deepen.engine import rate_finder
from deepen.engine.events import Events, Silent
from deepen.engine.fit import choose_device
from deepen.engine.rate_finder import RateTest
from deepen.engine.task import FittingItself
from deepen.report.svg_file import document
from deepen.verbs.options import resolved
from deepen.verbs.prepared import base_options
from deepen.verbs.starting_weights import starting_weights
from deepen.verbs.train import accepted

NOT_REPEATED = ("optimizer.learning_rate", "optimizer.lr")


@dataclass(frozen=True)
class FoundRate:
    """A range test, and `command`, which trains with what it suggests."""

    test: RateTest
    command: str


def find_rate(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any] | None = None,
    *,
    config: str | Path | None = None,
    skip_bad: bool = False,
    from_rate: float = 1e-6,
    to_rate: float = 10.0,
    num_steps: int = 150,
    out: str | Path | None = None,
    events: Events | None = None,
    flags: bool = False,
) -> FoundRate:
    """A range test of the training that these arguments describe. Nothing is written but `out`, an SVG file.

    The schedule, the peak rate and the budget are not read: the test has its own.

    Raises OptionError, DataError, RunError as `train`, OptionError for what does not learn by gradient steps too, and
    TrainingError where no rate is low enough.
    """
    events = events or Silent()
    if not from_rate < to_rate:
        raise OptionError(f"--from-rate {from_rate:g}: expected a rate below --to-rate {to_rate:g}.")
    chosen = resolved(task, given or {}, config, flags=flags, base=base_options(task, data))
    if chosen.fit.devices != 1:
        raise OptionError(f"--devices {chosen.fit.devices}: a range test runs in one process; leave it out.")
    if chosen.fit.threads is not None:
        torch.set_num_threads(chosen.fit.threads)
    prepared = accepted(task, data, chosen, skip_bad, events)
    if isinstance(prepared.task, FittingItself) and prepared.task.fits_itself:
        raise OptionError(
            f"--model {chosen.flat['model']}: a range test looks at the loss of gradient steps, but this model is "
            "trained in a way of its own; name another one, or train it as it is."
        )
    begun = starting_weights(chosen, prepared.task)
    for note in begun.notes:
        events.message(note)
    test = rate_finder.find_rate(
        prepared.task,
        prepared.encoded["train"],
        chosen.fit,
        device=choose_device(chosen.fit.device),
        start=begun.start,
        events=events,
        least=from_rate,
        most=to_rate,
        steps=num_steps,
    )
    found = FoundRate(test, _command(task, data, given or {}, config, skip_bad, test.suggested))
    if out is not None:
        write_text(out, document([figure(found)], columns=1))
    return found


def figure(found: FoundRate) -> Curves:
    """The losses over the logarithm of the rate; what rises above the first losses by more than they, or by more than
    the fall, is cut off."""
    test = found.test
    logs = [math.log10(rate) for rate in test.rates]
    first = max(test.smoothed[: rate_finder.SKIPPED])
    ceiling = first + max(abs(first), first - min(test.smoothed))
    lines = {"each batch": test.losses, "smoothed": test.smoothed}
    return Curves(
        "Learning-rate range test",
        "log10 of the learning rate",
        "training loss",
        {name: list(zip(logs, (min(v, ceiling) for v in values), strict=True)) for name, values in lines.items()},
    )


def _command(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any],
    config: str | Path | None,
    skip_bad: bool,
    rate: float,
) -> str:
    words = ["deepen", "train", task, data.name if isinstance(data, Dataset) else str(data)]
    words += ["--config", str(config)] if config is not None else []
    words += ["--skip-bad"] if skip_bad else []
    for name, value in given.items():
        if name not in NOT_REPEATED:
            words += _flag(name.replace("_", "-"), value)
    return shlex.join([*words, "--optimizer.lr", f"{rate:.2g}"])


def _flag(name: str, value: Any) -> list[str]:
    """An option as words of a command line."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    said = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return [f"--{name}={said}"] if said.startswith("-") or not said else [f"--{name}", said]
