"""A compressed network as a run folder: whole from the moment it is there, its table and pictures in the report."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from deepen.bundle import header as run_header
from deepen.bundle import records, save
from deepen.compress.changes import FIELD
from deepen.core.figures import Curves, Figure, Points, Rows
from deepen.core.files import write_json
from deepen.core.folders import atomic_folder
from deepen.core.lock import LOCK_NAME
from deepen.core.units import size
from deepen.engine.evaluate import evaluate
from deepen.engine.fit import Fitted
from deepen.engine.task import Deciding
from deepen.parallel.ranks import Alone
from deepen.verbs import environment
from deepen.verbs.compressing import CPU, State, Work
from deepen.verbs.reported import main_split, write_report
from deepen.verbs.train import further_files

if TYPE_CHECKING:
    from deepen.verbs.compress import CompressResult

RECORD = "compressed"
COSTS = {
    "size": "size",
    "parameters": "parameters",
    "zeros": "zeros",
    "multiply_adds": "multiply-adds",
    "latency": "ms at batch 1",
    "latency32": "ms at batch 32",
}


def write_folder(work: Work, state: State, result: CompressResult, *, command: str) -> None:
    """Puts the new run at `result.folder`. A kill before the last step leaves nothing there."""
    prepared = dataclasses.replace(work.of(state).prepared, task=state.task)
    with atomic_folder(result.folder, is_ours=lambda path: False) as made:
        save.create(made, _header(work, state, result, command))
        scored = {}
        for name in ("val", "test"):
            if name in prepared.encoded and len(prepared.encoded[name]):
                scored[name] = evaluate(state.task, state.network, prepared.encoded[name], device=CPU, ranks=Alone())
                if name == "val" and isinstance(state.plain, Deciding):
                    state.plain.decide(scored[name])  # of the very state that is written below
        write_json(made / run_header.PREPARE_FILE, prepared.state)
        further_files(str(work.model.header["task"]), made, prepared)
        save.save_weights(made, state.network.state_dict())
        history = [record for each in state.tuned for record in each.history]
        timing = [record for each in state.tuned for record in each.timing]
        for record in history:
            records.append_metrics(made, record)
        for record in timing:
            records.append_timing(made, record)
        metrics = {name: _numbers(found.result()) for name, found in scored.items()}
        save.update(made, metrics={"of": main_split(scored), **metrics})
        seconds = sum(each.seconds for each in state.tuned)
        fitted = Fitted(state.network, history, timing, sum(each.step for each in state.tuned), seconds, made)
        write_report(made, state.chosen, prepared, fitted, scored, more=figures(result), place=result.folder)
        save.update(made, status="done")
        (made / LOCK_NAME).unlink(missing_ok=True)


def _header(work: Work, state: State, result: CompressResult, command: str) -> dict[str, Any]:
    known = work.model.header
    extra = {name: value for name, value in known["extra"].items() if name not in (FIELD, RECORD)}
    extra[FIELD] = list(state.changes)
    extra[RECORD] = {
        "from": work.model.folder.resolve().name,
        "method": list(work.options.method),
        "stages": [dataclasses.asdict(stage) for stage in result.stages],
        "tried": list(result.tried),
        "bits": [{"bits": bits, **found} for bits, found in result.bits],
    }
    if not state.changes:
        del extra[FIELD]
    return {
        "task": known["task"],
        "model": state.chosen.task.model,
        "options": state.chosen.flat,
        "data": known["data"],
        "seed": known["seed"],
        "versions": environment.versions(),
        "command": command,
        "extra": extra,
    }


def figures(result: CompressResult) -> list[Figure]:
    """What the report shows of it."""
    names = [name for name, value in result.stages[0].metrics.items() if value is not None]
    columns = ["network", *COSTS.values(), *names]
    rows = [
        [
            stage.name,
            size(stage.cost["size"]),
            *(_short(stage.cost[name]) for name in COSTS if name != "size"),
            *(_short(stage.metrics.get(name)) for name in names),
        ]
        for stage in result.stages
    ]
    found: list[Figure] = [Rows("What compressing did", columns, rows, note=f"Metrics on {result.split or 'train'}.")]
    if result.tried:
        found += _front(result)
    if result.bits:
        found.append(_widths(result))
    if result.layers:
        columns = ["layer", "kind", "parameters", "size", "bits", "multiply-adds", "ms at batch 1"]
        each = [
            [
                one.name,
                one.kind,
                one.parameters,
                size(one.size),
                one.bits,
                one.multiply_adds,
                round(one.milliseconds, 4),
            ]
            for one in result.layers
        ]
        found.append(Rows("Layers", columns, each))
    return found


def _front(result: CompressResult) -> list[Figure]:
    objective, direction = result.objective
    points = [(float(one["latency"]), float(one[objective])) for one in result.tried]
    groups = ["taken" if one["taken"] else "front" if one["front"] else "others" for one in result.tried]
    note = f"On validation. On the front no other network is both faster and better ({direction} {objective})."
    return [
        Points(
            "Latency against quality",
            "milliseconds at batch 1",
            objective,
            points,
            groups=groups,
            names=[str(one["name"]) for one in result.tried],
            note=note,
        )
    ]


def _widths(result: CompressResult) -> Figure:
    names = [name for name in ("accuracy", result.objective[0]) if name in result.bits[0][1]]
    lines = {name: [(float(bits), found[name]) for bits, found in result.bits] for name in dict.fromkeys(names)}
    lines = {name: [point for point in line if math.isfinite(point[1])] for name, line in lines.items()}
    return Curves("Quality by width in dynamic fixed point", "bits", "on validation, without tuning", lines)


def _short(value: float | None) -> str | float:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 10_000 else float(f"{value:.4g}")


def _numbers(result: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in result.items()}
