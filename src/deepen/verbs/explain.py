"""`explain`: what a run's answers go by, as a folder with a page, pictures and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepen.bundle import tensors as bundled
from deepen.core import options as option_rules
from deepen.core.errors import OptionError, RunError
from deepen.core.faults import Fault, grouped
from deepen.core.folders import check_replaceable
from deepen.core.units import plural
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.engine.events import Events, Silent
from deepen.explain.explaining import (
    Explainable,
    Explainer,
    ExplainOptions,
    Explanation,
    Request,
    Unfit,
    chosen,
    refuse_unread,
)
from deepen.nn.feature_maps import frozen
from deepen.report.explanation import Explained, ExplanationContent, is_explanation, write_explanation
from deepen.verbs.explained_samples import AtHand, chosen_rows, listed, reference, samples_at_hand
from deepen.verbs.loaded import Loaded, loaded

FOLDER = "explanation"


@dataclass(frozen=True)
class ExplanationResult:
    """What was found, and where it is to be seen.

    folder   with explanation.html, explanation.json, the pictures and the values
    methods  by name: what each found about the network or the whole table
    samples  per sample: source, answer, truth where it is known, and what each method found about it
    notes    sentences on how far it can be trusted, and on what was passed over
    """

    folder: Path
    page: Path
    methods: dict[str, dict[str, Any]]
    samples: list[dict[str, Any]]
    notes: tuple[str, ...]
    layout: str
    split: str
    faults: tuple[Fault, ...]


def explain(
    run: str | Path | Loaded,
    inputs: str | Path | Dataset | Sequence[str | Path] = (),
    given: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    skip_bad: bool = False,
    flags: bool = False,
    command: str = "",
    events: Events | None = None,
) -> ExplanationResult:
    """Explains a run and its answers.

    inputs  files, folders or tables to explain answers for; default: the run's own test split, its worst answers and
            some at random one by one
    given   ExplainOptions, and options on how to read the inputs
    out     the folder to make; default: RUN/explanation

    Raises RunError, DataError, OptionError or FileError.
    """
    events = events or Silent()
    fields = option_rules.fields_of(ExplainOptions, ReadOptions)
    values = option_rules.resolve(fields, given or {}, flags=flags)
    options = option_rules.build(ExplainOptions, values)
    model = run if isinstance(run, Loaded) else loaded(run)
    folder = model.folder / FOLDER if out is None else Path(out)
    task = model.task
    if not isinstance(task, Explainable):
        raise RunError(f"{model.folder}: the answers of {model.header['task']} cannot be explained.")
    explainer: Explainer = task.explainer()
    names = chosen(explainer.methods, options.method)
    refuse_unread(explainer.methods, names, values.keys() & option_rules.fields_of(ExplainOptions).keys())
    check_replaceable(folder, is_ours=is_explanation)

    faults: list[Fault] = []
    found = samples_at_hand(model, listed(inputs), values, faults, skip_bad=skip_bad)
    rows = chosen_rows(model, explainer, found, options, faults)
    request = Request(
        task=task,
        model=model.model,
        device=model.device,
        encoded=found.encoded,
        rows=rows,
        has_targets=found.has_targets,
        reference=reference(model, found, [explainer.methods[name].needs_reference for name in names], faults),
        options=options,
        progress=lambda part: None,
    )
    notes: list[str] = []
    try:
        with frozen(model.model):
            shown = explainer.samples(request)
            explained = _explanations(request, explainer, names, events, notes)
    finally:
        events.done()
    return _written(folder, model, explainer, found, request, shown, explained, notes, faults, command)


def _explanations(
    request: Request, explainer: Explainer, names: list[str], events: Events, notes: list[str]
) -> dict[str, Explanation]:
    """What each method found; one of the defaults that cannot be done is passed over with a note."""
    events.started({})
    done: dict[str, Explanation] = {}
    for index, name in enumerate(names):
        method = explainer.methods[name]
        if method.needs_targets and not request.has_targets:
            if request.options.method:
                raise Unfit(f"--method {name}: the truth has to be known for it; give data with its targets.")
            notes.append(f"{name} is left out: it needs data whose truth is known.")
            continue
        told = _progress(events, index, len(names))
        try:
            done[name] = method.call(dataclasses.replace(request, progress=told))
        except Unfit as refusal:
            if request.options.method:
                raise
            notes.append(f"{name} is left out: {str(refusal).split(': ', 1)[-1]}")
            continue
        notes.extend(done[name].notes)
        about = plural(len(request.rows), "sample") if method.needs == "samples" else f"the {method.needs}"
        events.message(f"{name}: {about}")
    if not done:
        raise OptionError("--method: none of the methods that are done by default fits this run.")
    return done


def _progress(events: Events, index: int, count: int) -> Callable[[float], None]:
    calls = 0

    def told(part: float) -> None:
        nonlocal calls
        calls += 1
        events.step(calls, (index + part) / count, None)

    return told


def _written(
    folder: Path,
    model: Loaded,
    explainer: Explainer,
    found: AtHand,
    request: Request,
    shown: Sequence[Any],
    explained: Mapping[str, Explanation],
    notes: list[str],
    faults: list[Fault],
    command: str,
) -> ExplanationResult:
    """The folder, from what was found."""
    single = any(explainer.methods[name].needs == "samples" for name in explained)
    samples = (
        [
            {
                "source": request.encoded.source(row),
                **told,
                **{name: each.by_row[row] for name, each in explained.items() if row in each.by_row},
            }
            for row, (_, told) in zip(request.rows.tolist(), shown, strict=True)
        ]
        if single
        else []
    )
    methods = {name: each.numbers for name, each in explained.items()}
    numbers = {
        "run": str(model.folder),
        "weights": model.header["files"].get("weights.safetensors", ""),
        "data": found.layout,
        "split": found.split,
        "options": option_rules.flatten(request.options),
        "methods": methods,
        "samples": samples,
        "notes": notes,
    }
    content = ExplanationContent(
        title=model.folder.name,
        task=str(model.header["task"]),
        model=str(model.header["model"]),
        what=_what(found, request, single),
        command=command,
        methods={name: explainer.methods[name].summary for name in explained},
        notes=notes,
        warnings=[group.sentence() for group in grouped(faults) if group.level in ("warning", "sample")],
        figures=[figure for each in explained.values() for figure in each.figures],
        samples=[
            Explained(
                request.encoded.source(row),
                sample,
                [panel for each in explained.values() for panel in each.panels.get(row, ())],
            )
            for row, (sample, _) in zip(request.rows.tolist(), shown, strict=True)
        ]
        if single
        else (),
        numbers=_finite(numbers),
        values=_values(explained, request.rows.tolist()),
    )
    page = write_explanation(folder, content)
    return ExplanationResult(folder, page, methods, samples, tuple(notes), found.layout, found.split, tuple(faults))


def _what(found: AtHand, request: Request, single: bool) -> str:
    """The samples in one sentence."""
    where = f"the {found.split} split" if found.is_own or found.split != "input" else "what was named"
    count = plural(len(found.encoded), "sample")
    singly = len(request.rows)
    if not single or singly == len(found.encoded):
        return f"Over {count}, {where}: {found.layout}."
    how = "the worst answers and some at random" if found.has_targets else "some of them"
    return f"Over {count}, {where}, {singly} of them one by one ({how}): {found.layout}."


def _values(explained: Mapping[str, Explanation], rows: list[int]) -> bytes:
    """The numbers behind the pictures, named as those are: METHOD.001, METHOD.001.LAYER, or METHOD.NAME."""
    found = {f"{method}.{name}": value for method, each in explained.items() for name, value in each.tensors.items()}
    for method, each in explained.items():
        for number, row in enumerate(rows, start=1):
            for name, value in each.values.get(row, {}).items():
                found[f"{method}.{number:03d}{'.' if name else ''}{name}"] = value
    return bundled.encode(found, {}) if found else b""


def _finite(value: Any) -> Any:
    """The same with None for what is no number: JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
