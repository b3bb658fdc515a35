"""From raw files to a deployed model, for every classic deep-learning task, with one grammar.

>>> import deepen
>>> run = deepen.train("image-classification", "digits", model="lenet", epochs=10)      # doctest: +SKIP
>>> run.metrics, run.evaluate(), run.predict(["cat.jpg"])                               # doctest: +SKIP

Importing this imports nothing heavy; torch comes with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deepen.data.dataset import Dataset
    from deepen.report.comparison import Comparison
    from deepen.verbs.check import CheckResult
    from deepen.verbs.evaluate import EvaluationResult
    from deepen.verbs.run import Run
    from deepen.verbs.tuning_summary import TuneResult

__version__ = "0.1.0"
__all__ = ["__version__", "check", "compare", "evaluate", "load", "predict", "train", "tune"]


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


def evaluate(
    runs: str | Path | Sequence[str | Path],
    data: str | Path | Dataset | None = None,
    *,
    weights: Sequence[float] | Literal["learned"] = (),
    cascade: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> EvaluationResult:
    """The figures of a run, or of several as an ensemble; by default on the test split that they have in common.

    weights  how much each run counts, in their order; "learned": as makes their validation split the most likely;
             default: all the same
    cascade  {"accuracy": "-0.2%"}, {"cost_share": 0.5} or {"thresholds": [0.9]}: each run is asked only where the one
             before it is not sure, instead of all together
    """
    from deepen.verbs.evaluate import evaluate as verb

    return verb(runs, data, options, weights=weights, cascade=cascade, skip_bad=skip_bad)


def predict(
    runs: str | Path | Sequence[str | Path],
    inputs: str | Path | list[str | Path],
    *,
    weights: Sequence[float] | Literal["learned"] = (),
    cascade: Mapping[str, Any] | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> list[Any]:
    """One answer per sample of these files or folders, of a run, or of several by the mean of what each would say.

    `weights` and `cascade` as in `evaluate`.
    """
    from deepen.verbs.predict import predict as verb

    return list(verb(runs, inputs, options, weights=weights, cascade=cascade, skip_bad=skip_bad))


def compare(
    runs: Sequence[str | Path],
    data: str | Path | Dataset | None = None,
    *,
    out: str | Path | None = None,
    skip_bad: bool = False,
    **options: Any,
) -> Comparison:
    """Runs side by side on the same samples, and whether their differences are real.

    data  default: the test split that the runs have in common; of folders of folds the folds themselves
    out   a file that gets the comparison as a page
    """
    from deepen.verbs.compare import compare as verb

    return verb(runs, data, options, out=out, skip_bad=skip_bad)


def tune(
    task: str,
    data: str | Path | Dataset,
    *,
    search: Mapping[str, str] | Sequence[str] | None = None,
    trials: int | None = None,
    tune_time: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    skip_bad: bool = False,
    storage: str | None = None,
    study: str | None = None,
    pruner: Literal["median", "asha", "none"] = "median",
    keep: int = 3,
    **options: Any,
) -> TuneResult:
    """The options that do best on validation, found by trying; `result.run` is the best trial's run.

    search   {"optimizer.lr": "1e-4..1e-1:log", "model": "mlp,tabm"}; default: what the options themselves propose
    trials   how many in all; 20 where no `tune_time` such as "1h" is stated either
    options  of the training, as in `train`; what is stated stays as it is

    The rest is as on the command line: `deepen tune --help`.
    """
    from deepen.verbs.tune import tune as verb

    return verb(
        task,
        data,
        options,
        search=search,
        trials=trials,
        tune_time=tune_time,
        out=out,
        resume=resume,
        config=config,
        skip_bad=skip_bad,
        storage=storage,
        study=study,
        pruner=pruner,
        keep=keep,
    )


def load(run: str | Path) -> Run:
    """A run from its folder, every file verified. Raises RunError if it is missing, damaged or of another version."""
    from deepen.verbs.run import Run

    return Run(run)
