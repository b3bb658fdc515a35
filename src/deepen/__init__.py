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
    from deepen.runtime.exported_run import ExportedRun
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

    runs     run folders, or one .onnx file that `export` wrote, which wants `data` and takes the options `engine` and
             `threads`, and needs no PyTorch
    weights  how much each run counts, in their order; "learned": as makes their validation split the most likely;
             default: all the same
    cascade  {"accuracy": "-0.2%"}, {"cost_share": 0.5} or {"thresholds": [0.9]}: each run is asked only where the one
             before it is not sure, instead of all together
    """
    if (file := _exported(runs, weights, cascade)) is not None:
        if data is None:
            from deepen.core.errors import RunError

            raise RunError(f"{file}: holds no data of its own; name the data to evaluate on.")
        return _opened(file, options).evaluate(data, skip_bad=skip_bad, **options)

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

    `runs`, `weights` and `cascade` as in `evaluate`.
    """
    if (file := _exported(runs, weights, cascade)) is not None:
        return _opened(file, options).predict(inputs, skip_bad=skip_bad, **options)

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


def load(run: str | Path, **running: Any) -> Run | Any:
    """A run from its folder, or an ExportedRun from an .onnx file, every byte verified.

    running  of an .onnx file: `engine`, what computes it ("auto", "onnxruntime" or "openvino"), and `threads`

    Raises RunError if it is missing, damaged or of another version.
    """
    if (file := _exported(run)) is not None:
        found = _opened(file, running)
        _refuse(running)
        return found
    _refuse(running, f", but {run} is none")

    from deepen.verbs.run import Run

    return Run(run)


def _refuse(options: Mapping[str, Any], why: str = "") -> None:
    """Raises OptionError for options that `load` does not read."""
    if options:
        from deepen.core.errors import OptionError

        raise OptionError(f"{next(iter(options))}: load takes engine and threads, of an .onnx file{why}; leave it out.")


def _exported(runs: str | Path | Sequence[str | Path], weights: Any = (), cascade: Any = None) -> str | None:
    """The exported file that is named in place of a run, None where runs are. Raises RunError for one among several,
    and for a kind that is never loaded."""
    from deepen.cli.reading import exported_file

    words = [str(runs)] if not isinstance(runs, list | tuple) else [str(each) for each in runs]
    others = [*words[1:], *(["weights"] if weights or cascade is not None else [])]
    found = [word for word in words if exported_file(word, others)]
    return found[0] if found else None


def _opened(file: str, options: dict[str, Any]) -> ExportedRun:
    """The file on the engine that the options name, which are taken out of them."""
    from deepen.cli.reading import Running
    from deepen.core import options as option_rules
    from deepen.runtime.exported_run import ExportedRun

    running = option_rules.fields_of(Running)
    stated = {name: options.pop(name) for name in running if options.get(name) is not None}
    return ExportedRun(file, **option_rules.resolve(running, stated))
