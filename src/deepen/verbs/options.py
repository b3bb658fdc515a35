"""All options of a training, from defaults, the model's recipe, a config file and the user, in this order."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.core import names, options
from deepen.core.errors import OptionError
from deepen.core.files import read_json
from deepen.data.read import ReadOptions
from deepen.data.split import SplitOptions
from deepen.engine import optim_kinds, schedule
from deepen.engine.options import FitOptions, OptimizerOptions, ScheduleOptions
from deepen.verbs.reweighted import ReweightOptions, require_data

BUDGETS = ("epochs", "steps", "samples", "time")
MAX_CONFIG_BYTES = 1_000_000
PLAIN = ReweightOptions()


@dataclass(frozen=True)
class Resolved:
    """Every option of a training, in its group.

    flat   all of them by dotted name, JSON-able: what run.json holds
    notes  sentences about what a configuration says in vain
    said   what the user says beyond defaults, as he spells it, by dotted name: refused where nothing reads it
    """

    task: Any
    network: Any
    fit: FitOptions
    split: SplitOptions
    read: ReadOptions
    flat: dict[str, Any]
    stated: frozenset[str]
    reweight: ReweightOptions = PLAIN
    notes: tuple[str, ...] = ()
    said: Mapping[str, str] = dataclasses.field(default_factory=dict)


def task_module(task: str) -> Any:
    """The module of a task by name. Raises OptionError with the nearest name."""
    return importlib.import_module(names.task(task).module)


def groups(task: str, model: str | None = None) -> tuple[type, ...]:
    """The option dataclasses of a training: the task's, the network's, the engine's and the data's."""
    module = task_module(task)
    chosen: str = model or module.Options().model
    network = network_group(module.CONTRACT, chosen)
    return (module.Options, network, FitOptions, SplitOptions, ReadOptions, ReweightOptions)


def network_group(contract: str, model: str) -> type:
    """The model's own options under the prefix `network.`."""
    module = importlib.import_module(names.model(model, contract).module)
    if module.Options not in _network_groups:
        _network_groups[module.Options] = dataclasses.make_dataclass(
            "Network", [("network", module.Options, dataclasses.field(default=module.Options()))], frozen=True
        )
    return _network_groups[module.Options]


_network_groups: dict[type, type] = {}


def resolved(
    task: str,
    given: Mapping[str, Any],
    config: str | Path | None = None,
    *,
    flags: bool = False,
    base: Mapping[str, Any] | None = None,
) -> Resolved:
    """The options of a training.

    base    options that come after the model's recipe and before all others, such as those of a tiny data set; those
            of another network are passed over
    given   what the user says, under any spelling, nested or flat
    config  a JSON file of options, or a run folder whose options are taken, but for those that this training does not
            read, such as of another network, which a note names
    flags   whether sentences spell options as flags

    Raises OptionError for unknown names, wrong values and contradictions.
    """
    module = task_module(task)
    given, base = options.flat(given), options.flat(base or {})
    from_config, is_run = _config(config)
    model = str(given.get("model") or from_config.get("model") or base.get("model") or module.Options().model)
    if "model" in from_config and "model" not in given:
        _refuse_unknown_model(model, module.CONTRACT, str(config))
    notes: tuple[str, ...] = ()
    if is_run and model != from_config.get("model"):
        notes = _left_out(module.CONTRACT, model, from_config, config)
        from_config = {name: value for name, value in from_config.items() if not name.startswith("network.")}
    chosen = groups(task, model)
    fields = options.fields_of(*chosen)
    by_user = options.resolve(fields, given, flags=flags)
    by_config = options.resolve(fields, from_config, where=f"{config}: ") if config else {}
    by_base = options.resolve(fields, {name: value for name, value in base.items() if name in fields})
    stated = frozenset(by_user) | frozenset(by_config) | frozenset(by_base)
    values = _values(_recipe(module.CONTRACT, model, fields), by_base, by_config, by_user)
    require_read(values, {**by_config, **by_user}, fields, flags=flags)
    unread = unread_of(task, options.build(module.Options, values))
    own = by_user if is_run else {**by_config, **by_user}
    said = {name: fields[name].flag if flags else name for name, value in own.items() if value != fields[name].default}
    refuse_unread(unread, said, model)
    _one_budget(values, by_user, by_config, by_base)
    built = _built(chosen, values, stated)
    require_data(built.reweight, said)
    return dataclasses.replace(built, notes=notes, said=said)


def _left_out(contract: str, model: str, run: Mapping[str, Any], config: object) -> tuple[str, ...]:
    """A sentence on what a run says of its own network, where another one is trained; defaults say nothing."""
    other = str(run.get("model"))
    if other not in names.models() or contract not in names.models()[other].contracts:
        return ()
    known = options.fields_of(network_group(contract, other))
    said = {name: tuple(value) if isinstance(value, list) else value for name, value in run.items() if name in known}
    own = [f"{name} {value}" for name, value in said.items() if value != known[name].default]
    return (f"--config {config}: left out, being of {other} and not of {model}: {', '.join(own)}",) if own else ()


def rebuilt(task: str, flat: Mapping[str, Any]) -> Resolved:
    """The options as a run folder holds them: every one stated."""
    chosen = groups(task, str(flat.get("model", "")) or None)
    values = options.resolve(options.fields_of(*chosen), flat, where="run.json: ")
    return _built(chosen, values, frozenset(values))


def with_epochs(resolved: Resolved, epochs: int) -> Resolved:
    """The same options with a budget of epochs."""
    fit = dataclasses.replace(resolved.fit, epochs=epochs)
    return dataclasses.replace(resolved, fit=fit, flat={**resolved.flat, "epochs": epochs})


def _built(chosen: tuple[type, ...], values: dict[str, Any], stated: frozenset[str]) -> Resolved:
    task, network, fit, split, read, reweight = (options.build(group, values) for group in chosen)
    flat = {}
    for instance in (task, network, fit, split, read, reweight):
        flat |= options.flatten(instance)
    return Resolved(task, network.network, fit, split, read, flat, stated, reweight)


def _values(recipe: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """One value for each option, from the recipe and further layers, the most direct last.

    What a layer says of one kind of optimizer or schedule is no advice on another: a rate for adamw would not move
    adadelta. So where a more direct layer names another kind, the layers before it lose their say on that group, and
    the kind's own defaults stand in.
    """
    ordered = [recipe, *layers]
    kind = str(_last(ordered, "optimizer.kind", OptimizerOptions().kind))
    own = optim_kinds.defaults(kind)
    ordered.insert(0 if kind == recipe.get("optimizer.kind", kind) else 1, own)
    values: dict[str, Any] = {}
    for group in ("optimizer", "schedule"):
        final = _last(ordered, f"{group}.kind", None)
        said = None
        for index, layer in enumerate(ordered):
            said = layer.get(f"{group}.kind", said)
            if said != final:
                ordered[index] = {k: v for k, v in layer.items() if not k.startswith(f"{group}.")}
    for layer in ordered:
        values |= layer
    return values


def _last(layers: Sequence[Mapping[str, Any]], name: str, otherwise: Any) -> Any:
    return next((layer[name] for layer in reversed(layers) if name in layer), otherwise)


def require_read(
    values: Mapping[str, Any], stated: Mapping[str, Any], fields: Mapping[str, options.OptionField], *, flags: bool
) -> None:
    """Raises OptionError for a stated number of the optimizer or schedule that the chosen kind does not read, and for
    an option of a part that is not there, such as of experts where there are none.

    A value that is the default says nothing, so a run's own options can be taken over whole.
    """
    groups = {"optimizer": optim_kinds.readers, "schedule": schedule.readers}
    kinds = {"optimizer": OptimizerOptions().kind, "schedule": ScheduleOptions().kind}
    for name, value in stated.items():
        needs, is_said = fields[name].needs, value not in (None, False, fields[name].default)
        if needs and is_said and values.get(needs, fields[needs].default) in (0, False):
            place, other = (fields[each].flag if flags else each for each in (name, needs))
            raise OptionError(f"{place}: nothing reads it without {other}; state that too, or leave this out.")
        group, _, option = name.partition(".")
        if group not in groups or option == "kind" or name not in values or value in (None, fields[name].default):
            continue
        kind, readers = values.get(f"{group}.kind", kinds[group]), groups[group](option)
        place = fields[name].flag if flags else name
        if kind not in readers:
            raise OptionError(f"{place}: {kind} does not read it, only {', '.join(readers)}; leave it out.")
        if option == "warm_up_factor" and values.get("schedule.warm_up_shape") != "constant":
            raise OptionError(f"{place}: only a warm-up of --schedule.warm-up-shape constant reads it; leave it out.")


def unread_of(task: str, task_options: Any) -> Mapping[str, str]:
    """The options that a training of this task does not read with these: names, or prefixes that end in a dot, each
    with the circumstance it is due to, "" for the model alone."""
    told: Any = getattr(task_module(task), "unread", None)
    found = told(task_options) if told is not None else {}
    return found if isinstance(found, Mapping) else dict.fromkeys(found, "")


def unread_of_data(task: str, task_options: Any, state: Mapping[str, Any]) -> Mapping[str, str]:
    """The same that is only known with what was learned of the training table."""
    told: Any = getattr(task_module(task), "unread_of_data", None)
    return told(task_options, state) if told is not None else {}


def without_unread(task: str, chosen: Resolved) -> dict[str, Any]:
    """Every option by dotted name, at its default where this training does not read it, so that nobody is taken to
    have stated it."""
    unread, defaults = unread_of(task, chosen.task), {}
    for group in groups(task, chosen.task.model):
        defaults |= options.flatten(group())
    return {name: defaults[name] if _is_among(name, unread) else value for name, value in chosen.flat.items()}


def has_budget(task: str, chosen: Resolved) -> bool:
    """Whether a training with these options goes on until its budget is used; one that counts is over at once."""
    return not _is_among("epochs", unread_of(task, chosen.task))


def refuse_unread(unread: Mapping[str, str], said: Mapping[str, str], model: str) -> None:
    """Raises OptionError for an option that the user says, and this training does not read.

    unread  as of `unread_of`    said  as of Resolved
    """
    for name, place in said.items():
        due = next((due for one, due in unread.items() if _is_among(name, (one,))), None)
        if due is not None:
            raise OptionError(f"{place}: training {model}{due and f' {due}'} does not read it; leave it out.")


def _is_among(name: str, unread: Iterable[str]) -> bool:
    return any(name == one or (one.endswith(".") and name.startswith(one)) for one in unread)


def _recipe(contract: str, model: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's file says trains it well, as far as this task has such options."""
    module = importlib.import_module(names.model(model, contract).module)
    recipe = {name: value for name, value in module.RECIPE.items() if name in fields}
    return options.resolve(fields, recipe)


def _config(config: str | Path | None) -> tuple[dict[str, Any], bool]:
    """The options, and whether they are those of a run."""
    if config is None:
        return {}, False
    path = Path(config)
    if path.is_dir():
        path = path / "run.json"
    if path.suffix.lower() != ".json":
        raise OptionError(f"--config {config}: expected a .json file or a run folder; write the options as JSON.")
    if not path.exists():
        raise OptionError(f"--config {config}: no such file; name a .json file of options or a run folder.")
    content = read_json(path, max_bytes=MAX_CONFIG_BYTES)
    is_run = False
    if isinstance(content, dict) and "format_version" in content:
        content, is_run = content.get("options"), True
    if not isinstance(content, dict):
        raise OptionError(f'{path}: expected an object of options such as {{"epochs": 10}}.')
    return options.flat(content), is_run


def _refuse_unknown_model(model: str, contract: str, config: str) -> None:
    """Raises OptionError, naming the file that the name comes from, where there is no such network."""
    try:
        names.model(model, contract)
    except OptionError as error:
        raise OptionError(f"{config}: {str(error).removeprefix('--')}") from error


def _one_budget(values: dict[str, Any], *layers: Mapping[str, Any]) -> None:
    """The most direct statement of a budget wins over a less direct one; two equally direct ones contradict.

    layers  the most direct one first
    """
    for layer in layers:
        stated = [name for name in BUDGETS if layer.get(name) is not None]
        if stated:
            for name in BUDGETS:
                if name not in stated:
                    values[name] = None
            return
