"""The study behind `tune`: Optuna's storage, sampler and pruner, and which trial is whose. Imports optuna.

A trial has a number in the storage and a place in the study. A trial that was lost (its worker was killed, or stopped)
is done again under a new number, in the same place and with the same options. What the sampler draws is a function of
(seed, place, what is finished), never of a stream, so that a study that was killed and resumed by one worker goes
through the same trials as one that was left alone.
"""

from __future__ import annotations

import datetime
import math
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from deepen.core import rng
from deepen.core.errors import FileError, OptionError, RunError
from deepen.core.lock import FolderLock
from deepen.verbs.search_space import Dimension

STARTUP_TRIALS = 8  # random ones, the default among them, before TPE has something to learn from
PRUNER_STARTUP = 4  # trials that have to come to their end before one is stopped early
RUNGS = 20  # the moments of training, in equal parts of the budget, at which trials are compared
FIRST_RUNG = 4  # nothing is stopped before a fifth of the budget, where warm-up hides what a trial is worth
HEARTBEAT_SECONDS, GRACE_SECONDS = 30, 150
UNCLAIMED_SECONDS = 60  # a trial that nobody has put a name on for so long was lost before it began
LEAST_FOR_IMPORTANCE = 8  # finished trials, below which no share of variance means anything
ATTEMPTS = 3  # a trial that kills its worker so often is given up
WORKERS = "workers"  # the folder of worker ids
SETTINGS = "deepen"
SQLITE_TIMEOUT_SECONDS = 60
SHOWN = 80

State = Literal["done", "pruned", "failed", "running"]
Pruner = Literal["median", "asha", "none"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study.

    number   its place, from 0, which has the options that the training has anyway
    state    "done", "pruned" (stopped early, or diverged), "failed" (its worker was lost too often), "running"
    value    the objective on validation; of a pruned trial the last one that was seen
    drawn    what was drawn for each dimension, by its key
    options  what was searched, by dotted option name, as it was used
    figures  all figures on validation
    why      a sentence where it did not come to its end
    """

    number: int
    state: State
    value: float | None
    drawn: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    why: str = ""
    same_as: int | None = None

    @property
    def folder(self) -> str:
        """Where its run is, within the study's folder of its worker."""
        return trial_folder(self.number if self.same_as is None else self.same_as)


def trial_folder(number: int) -> str:
    """`trials/007`"""
    return f"trials/{number:03d}"


class Surplus(Exception):
    """There are trials enough already; another worker was quicker."""


class Ledger:
    """A study in a storage, as one worker sees it. Use `opened`."""

    def __init__(self, study: optuna.Study, folder: Path, worker: str) -> None:
        self.study, self.folder, self.worker = study, folder, worker

    def run(self, objective: Callable[[Trial], float]) -> None:
        """One trial. What `objective` raises is raised again, but for TrialPruned and Surplus."""
        self.study.optimize(objective, n_trials=1, catch=(Surplus,))

    def trials(self) -> list[FrozenTrial]:
        """Every trial as the storage has it."""
        return self.study.get_trials(deepcopy=False)

    def num_begun(self) -> int:
        """Places that are taken."""
        return sum(_has_own_place(trial) for trial in self.trials())

    def is_waiting(self) -> bool:
        """Whether a lost trial waits to be done again."""
        return any(trial.state == TrialState.WAITING for trial in self.trials())

    def place(self, trial: Trial | FrozenTrial) -> int:
        """The place of a trial."""
        return place_of(self.trials(), trial)

    def before(self, trial: Trial) -> dict[int, float]:
        """What the lost trial that this one is done for had reported: {rung: value}."""
        number = trial.user_attrs.get("retry_of")
        return dict(self.trials()[number].intermediate_values) if number is not None else {}

    def records(self) -> list[TrialRecord]:
        """One record per place, in their order."""
        found: dict[int, TrialRecord] = {}
        trials = self.trials()
        retried = _retried(trials)
        for trial in trials:
            if "surplus" in trial.user_attrs or trial.state == TrialState.WAITING:
                continue
            if trial.state == TrialState.FAIL and (trial.number in retried or not _is_given_up(trial)):
                continue
            place = place_of(trials, trial)
            if place not in found or found[place].state != "done":
                found[place] = _record(trial, place)
        return [found[place] for place in sorted(found)]

    def reclaim(self) -> int:
        """Puts back what dead workers were doing; returns how many trials that are."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and self._is_lost(trial):
                self._fail(trial)
        with _quiet():
            optuna.storages.fail_stale_trials(self.study)
        trials = self.trials()
        retried = _retried(trials)
        lost = [t for t in trials if t.state == TrialState.FAIL and "surplus" not in t.user_attrs]
        lost = [t for t in lost if t.number not in retried and not _is_given_up(t)]
        for trial in lost:
            attempt = trial.user_attrs.get("attempt", 1) + ("interrupted" not in trial.user_attrs)
            said = {"retry_of": trial.number, "place": place_of(trials, trial), "attempt": attempt}
            self.study.enqueue_trial(trial.params, user_attrs=said)
        return len(lost)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Whether a running trial's worker is known to be dead. That of another folder only shows by its heartbeat."""
        worker = trial.user_attrs.get("worker")
        if worker is None:
            begun = trial.datetime_start or datetime.datetime.now()
            return (datetime.datetime.now() - begun).total_seconds() > UNCLAIMED_SECONDS
        place = self.folder / WORKERS / plain(worker)
        if worker == self.worker or not place.is_dir():
            return False
        try:
            with FolderLock(place):
                return True
        except FileError:
            return False

    def _fail(self, trial: FrozenTrial) -> None:
        try:
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        except ValueError:  # another worker was quicker
            return

    def importance(self, keys: Sequence[str]) -> dict[str, float]:
        """How much of the objective's variance over the finished trials each dimension explains, by functional ANOVA.

        Empty where there are too few trials to say anything. Source: Hutter, Hoos and Leyton-Brown 2014.
        """
        done = [t for t in self.trials() if t.state == TrialState.COMPLETE and set(keys) <= set(t.params)]
        varied = [key for key in keys if len({repr(trial.params[key]) for trial in done}) > 1]
        if len(done) < max(LEAST_FOR_IMPORTANCE, len(varied)) or len({t.value for t in done}) < 2 or not varied:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with _quiet():
            return optuna.importance.get_param_importances(self.study, evaluator=evaluator, params=varied)


def drawn(trial: Trial, dimension: Dimension) -> str | float:
    """What the sampler draws for a dimension."""
    if dimension.scale == "choices":
        return trial.suggest_categorical(dimension.key, list(dimension.choices))
    is_log = dimension.scale == "log"
    if dimension.is_whole:
        return trial.suggest_int(dimension.key, int(dimension.low), int(dimension.high), log=is_log)
    return trial.suggest_float(dimension.key, dimension.low, dimension.high, log=is_log)


def plain(worker: str) -> str:
    """A worker's id as one file name; an id that is none of ours names no other place."""
    return "".join(letter for letter in worker if letter.isalnum()) or "none"


def place_of(trials: Sequence[FrozenTrial], trial: Trial | FrozenTrial) -> int:
    """A trial's own word on its place, else how many places were taken before it."""
    said = trial.user_attrs.get("place")
    return said if said is not None else sum(_has_own_place(t) for t in trials if t.number < trial.number)


@contextmanager
def opened(
    folder: Path,
    url: str | None,
    name: str,
    *,
    direction: Literal["max", "min"],
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
    seed: int,
    pruner: Pruner,
) -> Iterator[Ledger]:
    """The study of this name, made where it is missing, with this process as one of its workers.

    settings  what all workers must agree on, JSON-able
    defaults  what is drawn for the first trial, by key

    Raises OptionError for a storage that cannot be used or a study that was begun with other settings; FileError where
    the storage fails.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = url or URL.create("sqlite", database=str(folder / "study.db")).render_as_string()
    shown = without_password(url) if url else str(folder / "study.db")
    with ExitStack() as stack:
        worker = secrets.token_hex(6)
        home = folder / WORKERS / worker
        home.mkdir(parents=True)
        stack.enter_context(FolderLock(home))
        stack.enter_context(_refusals(shown, is_own=url is None))
        with _quiet():
            study = _patiently(
                lambda: _study(_storage(place, shown), name, direction, _Sampler(seed, defaults), _pruner(pruner))
            )
        _agree(study, settings, shown)
        ledger = Ledger(study, folder, worker)
        yield ledger


def _patiently(make: Callable[[], optuna.Study]) -> optuna.Study:
    """The study, after some tries: two workers that make the tables of a storage at once trip over each other."""
    for wait_seconds in (0.1, 0.3, 0.9, 2.7):
        try:
            return make()
        except (IntegrityError, OperationalError, ProgrammingError):
            time.sleep(wait_seconds)
    return make()


def _study(
    storage: Any, name: str, direction: Literal["max", "min"], sampler: BaseSampler, pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if direction == "max" else "minimize",
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )


def without_password(url: str) -> str:
    """A storage's URL as it may be shown.

    >>> without_password("mysql://me:secret@host/db")
    'mysql://me:***@host/db'
    """
    scheme, found, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{found}{user.partition(':')[0]}:***@{host}" if at and ":" in user else url


def _storage(url: str, shown: str) -> optuna.storages.RDBStorage:
    kwargs = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}} if url.startswith("sqlite") else None
    try:
        return optuna.storages.RDBStorage(
            _as_template(url), engine_kwargs=kwargs, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=GRACE_SECONDS
        )
    except (ImportError, ValueError, TypeError, RuntimeError) as error:
        raise OptionError(
            f"--storage {shown}: expected a storage that Optuna can use, such as sqlite:///study.db, but it says: "
            f"{_first_line(error)}."
        ) from error


def _as_template(url: str) -> str:
    """A URL as Optuna takes it, which formats it: braces stand for themselves, but for the one field that it fills in.

    >>> _as_template("sqlite:///{a}/{SCHEMA_VERSION}.db")
    'sqlite:///{{a}}/{SCHEMA_VERSION}.db'
    """
    doubled = url.replace("{", "{{").replace("}", "}}")
    return doubled.replace("{{SCHEMA_VERSION}}", "{SCHEMA_VERSION}")


@contextmanager
def _refusals(shown: str, *, is_own: bool) -> Iterator[None]:
    """Turns what the storage raises into one sentence."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or getattr(error, "orig", None) or error
        said = f"{shown}: the study's storage cannot be used: {_first_line(cause)}; "
        mend = "is there space, and a right to write? A damaged one begins anew with another --out."
        raise (
            FileError(said + mend) if is_own else OptionError(f"--storage {said}is it there, and is the URL right?")
        ) from error


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
    return text if len(text) <= 2 * SHOWN else f"{text[: 2 * SHOWN]}..."


def _agree(study: optuna.Study, settings: Mapping[str, Any], shown: str) -> None:
    """Writes the settings into a new study, and raises OptionError if those of an old one differ."""
    is_begun = bool(study.get_trials(deepcopy=False))  # asked first: whoever begins a trial has written the settings
    before = study.user_attrs.get(SETTINGS)
    if before is None:
        if is_begun:
            raise RunError(f"{shown}: the study {study.study_name!r} was not made by deepen; choose another --study.")
        study.set_user_attr(SETTINGS, dict(settings))
        return
    differing = [name for name in settings if before.get(name) != settings[name]]
    if differing:
        told = "; ".join(f"{name}: {_told(before.get(name), settings[name])}" for name in differing)
        raise OptionError(
            f"{shown}: the study {study.study_name!r} was begun otherwise ({told}); give the same command to go on, or "
            "begin another study with another --out or --study."
        )


def _told(before: Any, now: Any) -> str:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        name = names[0]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return f"{name} {_told(before.get(name), now.get(name))}{more}"
    return f"{str(before)[:SHOWN]} before, {str(now)[:SHOWN]} now"


class _Sampler(BaseSampler):
    """TPE whose draws depend on the seed and the place alone; in place 0 it draws what the training has anyway.

    Source: Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, 2011.
    """

    def __init__(self, seed: int, defaults: Mapping[str, Any]) -> None:
        self._seed, self._defaults = seed, defaults
        self._of_trial: tuple[int, TPESampler] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All dimensions of the trial's group together, but for the first trial."""
        if place_of(study.get_trials(deepcopy=False), trial) == 0:
            return {}
        return self._tpe(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """TPE's draw."""
        return self._tpe(study, trial).sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """TPE's draw, or the default of the first trial."""
        if place_of(study.get_trials(deepcopy=False), trial) == 0 and param_name in self._defaults:
            return self._defaults[param_name]
        return self._tpe(study, trial).sample_independent(study, trial, param_name, param_distribution)

    def _tpe(self, study: optuna.Study, trial: FrozenTrial) -> TPESampler:
        if self._of_trial is None or self._of_trial[0] != trial.number:
            place = place_of(study.get_trials(deepcopy=False), trial)
            seed = rng.key(self._seed, "tune", place) % 2**32
            with _quiet():
                sampler = TPESampler(
                    seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
                )
            self._of_trial = (trial.number, sampler)
        return self._of_trial[1]


def _pruner(name: Pruner) -> optuna.pruners.BasePruner:
    """The pruner over rungs.

    asha: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020. median: Golovin et al., Vizier, 2017.
    """
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=PRUNER_STARTUP, n_warmup_steps=FIRST_RUNG)
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_RUNG, reduction_factor=2)
    return optuna.pruners.NopPruner()


def _has_own_place(trial: FrozenTrial) -> bool:
    return "retry_of" not in trial.user_attrs and "surplus" not in trial.user_attrs


def _retried(trials: Sequence[FrozenTrial]) -> set[int]:
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def _is_given_up(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("attempt", 1) >= ATTEMPTS and "interrupted" not in trial.user_attrs


def _record(trial: FrozenTrial, place: int) -> TrialRecord:
    said = trial.user_attrs
    states: dict[TrialState, State] = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}
    state = states.get(trial.state) or ("failed" if trial.state == TrialState.FAIL else "running")
    steps = trial.intermediate_values
    value = trial.value if state == "done" else steps[max(steps)] if steps else None
    lost = f"its worker was lost {ATTEMPTS} times" if state == "failed" else ""
    return TrialRecord(
        place,
        state,
        value if value is not None and math.isfinite(value) else None,
        dict(trial.params),
        said.get("options", {}),
        said.get("figures", {}),
        said.get("seconds", 0.0),
        said.get("worker", ""),
        said.get("why", lost),
        said.get("same_as"),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's word on what is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
