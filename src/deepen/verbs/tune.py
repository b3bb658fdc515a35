"""`tune`: a search for options that do better on validation than those a training has anyway.

Every trial is a run in OUT/trials; the data are prepared once and used by all trials whose preparing is the same. The
first trial is the training as it is. The test split is looked at when the search is over, for the first trial and the
best one alone. Any number of processes can work on one study at once: those that share its storage and name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepen.bundle import save
from deepen.core import files
from deepen.core.errors import OptionError, RunError
from deepen.core.units import seconds
from deepen.data.dataset import Dataset
from deepen.engine.events import Events, Silent
from deepen.engine.signals import Interrupted
from deepen.parallel import launch
from deepen.verbs.options import Resolved
from deepen.verbs.prepared import Prepared, base_options
from deepen.verbs.resumed import MAY_CHANGE
from deepen.verbs.search_space import Space, space
from deepen.verbs.train import accepted

if TYPE_CHECKING:
    from deepen.verbs.tuning_study import Ledger
    from deepen.verbs.tuning_summary import TuneResult

TRIALS = 20
KEPT = 3


def tune(
    task: str,
    data: str | Path | Dataset,
    given: Mapping[str, Any] | None = None,
    *,
    search: Mapping[str, str] | Sequence[str] | None = None,
    trials: int | None = None,
    tune_time: str | None = None,
    pruner: Literal["median", "asha", "none"] = "median",
    keep: int = KEPT,
    storage: str | None = None,
    study: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    skip_bad: bool = False,
    events: Events | None = None,
    command: str = "",
    flags: bool = False,
) -> TuneResult:
    """The best options for a training by its objective on validation, found by trying.

    task, data, given, config, skip_bad   as in `train`; what is given stays as it is
    search     what to try: {"optimizer.lr": "1e-4..1e-1:log"}, or a list of "NAME=SPEC" and "default" (search_space.py)
    trials     how many in all, over all workers; 20 where no time is stated either
    tune_time  no trial begins that would likely end after this long
    pruner     stops trials early that do worse than others did at the same point of training
    keep       of so many of the best trials the weights are kept, and always those of the first
    storage    any URL that Optuna takes for a database; default: study.db in the folder
    out        the study's folder; default runs/<data>-<model>-tune. One that holds the study already goes on with it
    resume     refuse to begin a new study
    command    the command that goes on with this

    Raises OptionError, DataError, RunError, FileError, or TrainingError where no trial came to its end; Interrupted
    after a signal, with everything saved.
    """
    _require_optuna()
    from deepen.verbs.tuning_study import opened
    from deepen.verbs.tuning_summary import summed_up
    from deepen.verbs.tuning_trials import Worker

    if launch.under_torchrun():
        raise OptionError("tune: cannot run under torchrun; start `deepen tune` several times with one --storage.")
    pairs = [f"{name}={spec}" for name, spec in search.items()] if isinstance(search, Mapping) else list(search or [])
    limit = seconds(tune_time, name="--tune-time") if tune_time is not None else None
    trials = TRIALS if trials is None and limit is None else trials
    events = events or Silent()
    base = base_options(task, data)
    found = space(task, given or {}, config, search=pairs, base=base, flags=flags)
    start = found.starts[found.models[0]]
    model_name = found.models[0] if found.model is None else "models"
    folder = Path(out) if out is not None else None
    if folder is not None:
        _check_folder(folder, is_shared=storage is not None, resume=resume)
    prepared = accepted(task, data, start, skip_bad, events)
    if not len(prepared.encoded.get("val", [])):
        raise OptionError("--val: trials are judged on validation, but no sample is held out; state a share above 0.")
    if folder is None:
        folder = Path("runs", save.plain_name(f"{prepared.dataset.name}-{model_name}-tune"))
        _check_folder(folder, is_shared=storage is not None, resume=resume)
    worker = Worker(task, data, dict(given or {}), config, skip_bad, base, found, prepared, folder, keep, events)
    worker.require_one_objective()
    files.check_writable(folder)
    name = study or save.plain_name(f"{task}-{prepared.dataset.name}-{model_name}")
    with opened(
        folder,
        storage,
        name,
        direction=worker.objective[1],  # type: ignore[arg-type]
        settings=_settings(task, found, prepared, start, pruner),
        defaults=_defaults(found),
        seed=start.fit.seed,
        pruner=pruner,
    ) as ledger:
        _say_where(ledger, found, trials, events)
        try:
            worker.work(ledger, trials, limit)
        except (Interrupted, KeyboardInterrupt):
            again = f": {command}" if command and "://" not in command else ""
            events.message(
                f"stopped; every finished trial is saved, and the same command goes on with the study{again}"
            )
            raise
        return summed_up(worker, ledger, name)


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise OptionError(
            "tune: the package optuna is not installed; install it with pip install 'deepen[tune]'."
        ) from error


def _check_folder(folder: Path, *, is_shared: bool, resume: bool) -> None:
    """Raises RunError for a folder that holds something else, or nothing to resume."""
    if folder.is_file() or folder.is_symlink():
        raise RunError(f"{folder}: expected a folder of its own, but is a file or link; choose another --out.")
    # One look at the folder: another worker may be making the same study at this moment.
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    has_study = bool({"study.db", "workers"} & names)
    if not has_study and any(not name.startswith(".deepen") for name in names):
        raise RunError(f"{folder}: expected a new or empty folder, or a study of ours; choose another --out.")
    if resume and not has_study and not is_shared:
        raise RunError(f"{folder}: --resume: there is no study here to go on with; leave --resume out to begin one.")


def _settings(task: str, found: Space, prepared: Prepared, start: Resolved, pruner: str) -> dict[str, Any]:
    """What all workers of a study must agree on."""
    fixed = {name: value for name, value in start.flat.items() if name not in MAY_CHANGE}
    return {
        "task": task,
        "data": prepared.fingerprint,
        "search": found.described(),
        "options": json.loads(json.dumps(fixed)),
        "pruner": pruner,
    }


def _defaults(found: Space) -> dict[str, Any]:
    """What is drawn for the first trial."""
    first = found.models[0]
    drawn = {each.key: each.default for each in found.dimensions[first] if each.default is not None}
    for each in found.dimensions[first]:
        if each.is_whole and each.key in drawn:
            drawn[each.key] = round(float(drawn[each.key]))  # type: ignore[arg-type]
    return drawn | ({found.model.key: first} if found.model else {})


def _say_where(ledger: Ledger, found: Space, trials: int | None, events: Events) -> None:
    done = sum(each.state in ("done", "pruned") for each in ledger.records())
    described = ", ".join(f"{key} {words}" for key, words in found.described().items())
    events.message(f"searching {described}")
    if done:
        of = f" of {trials}" if trials is not None else ""
        events.message(f"going on with the study, in which {done}{of} trials are finished")
