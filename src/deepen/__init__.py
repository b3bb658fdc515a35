"""From raw files to a deployed model, for every classic deep-learning task, with one grammar.

>>> import deepen
>>> run = deepen.train("image-classification", "digits", model="lenet", epochs=10)      # doctest: +SKIP
>>> run.metrics, run.evaluate(), run.predict(["cat.jpg"])                               # doctest: +SKIP

Importing this imports nothing heavy; torch comes with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from deepen.data.dataset import Dataset
    from deepen.verbs.check import CheckResult
    from deepen.verbs.run import Run

__version__ = "0.1.0"
__all__ = ["__version__", "check", "load", "train"]


def train(
    task: str,
    data: str | Path | Dataset,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    skip_bad: bool = False,
    tensorboard: bool = False,
    **options: Any,
) -> Run:
    """A trained run, in a new folder under runs/ or in `out`.

    task      a name that `deepen list` shows
    data      a path in any layout that people have, "digits", "tiny", or a Dataset
    resume    go on with the run in `out`
    config    a JSON file of options, or another run's folder
    skip_bad  leaves out samples that cannot be used instead of refusing
    tensorboard  writes event files into the run, for `tensorboard --logdir`
    options   what `deepen train TASK --help` lists, underscores for dashes: model="resnet18", optimizer={"lr": 0.1}

    Raises DataError, OptionError and the like (all DeepenError), each with one clear sentence per fault.
    """
    from deepen.verbs.train import train as verb

    return verb(
        task,
        data,
        options,
        out=out,
        resume=resume,
        config=config,
        skip_bad=skip_bad,
        tensorboard=tensorboard,
    )


def check(task: str, data: str | Path | Dataset, **options: Any) -> CheckResult:
    """What `train` would make of the data: the layout, the tables' sizes, and every fault."""
    from deepen.verbs.check import check as verb

    return verb(task, data, options)


def load(run: str | Path) -> Run:
    """A run from its folder, every file verified. Raises RunError if it is missing, damaged or of another version."""
    from deepen.verbs.run import Run

    return Run(run)
