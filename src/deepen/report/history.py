"""The course of a training as curves, from the lines of metrics.jsonl and timing.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepen.core.figures import Curves, Rows
from deepen.report.content import ReportContent
from deepen.report.wording import MISSING, words

PREFIXES = ("train_", "val_", "test_")
NOT_DRAWN = {"step", "epoch", "seconds", "best"}


def training_curves(content: ReportContent) -> list[tuple[Curves, tuple[float, float] | None]]:
    """A chart per figure over the epochs, each with the point of the weights that were kept where it is known.

    The loss comes first, then the objective, the others as they come, and the learning rate last.
    """
    if len(content.history) < 2:
        return []
    kept = _kept(content)
    charts = []
    for name, lines in _by_name(content.history).items():
        mark = None
        if kept is not None and name == content.objective[0]:
            mark = (_place(content.history, kept), float(content.history[kept][f"val_{name}"]))
        charts.append((Curves(words(name), _axis_name(content.history), "", lines), mark))
    order = {words("loss"): 0, words(content.objective[0]): 1, words("learning_rate"): 3}
    return sorted(charts, key=lambda chart: order.get(chart[0].title, 2))


def pace_curves(content: ReportContent) -> list[Curves]:
    """Samples per second over the time of training."""
    pairs = [
        (float(line["seconds"]), float(line["samples_per_second"]))
        for line in content.pace
        if _is_number(line.get("seconds")) and _is_number(line.get("samples_per_second"))
    ]
    if len(pairs) < 2:
        return []
    return [Curves("speed over time", "seconds", "samples per second", {"training": pairs})]


def history_table(content: ReportContent) -> Rows:
    """Every number of the history, one row per evaluation."""
    columns = list(dict.fromkeys(name for line in content.history for name in line))
    rows = [[_cell(line.get(name)) for name in columns] for line in content.history]
    return Rows("All evaluations", [words(name) for name in columns], rows)


def _by_name(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """figure -> split -> (x, y) pairs; a number that is missing or not finite is a gap in its line."""
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for column in dict.fromkeys(name for line in history for name in line):
        if column in NOT_DRAWN or not any(_is_number(line.get(column)) for line in history):
            continue
        prefix = next((known for known in PREFIXES if column.startswith(known)), "")
        name = column.removeprefix(prefix)
        pairs = [
            (_place(history, index), float(line[column]) if _is_number(line[column]) else float("nan"))
            for index, line in enumerate(history)
            if column in line
        ]
        charts.setdefault(name, {})[prefix.rstrip("_") or words(name)] = pairs
    return charts


def _kept(content: ReportContent) -> int | None:
    """The index of the evaluation whose weights were kept: the best by validation, the last of equals."""
    name, direction = f"val_{content.objective[0]}", content.objective[1]
    sign = 1 if direction == "max" else -1
    scored = [
        (sign * float(line[name]), index) for index, line in enumerate(content.history) if _is_number(line.get(name))
    ]
    return max(scored)[1] if scored else None


def _axis_name(history: Sequence[Mapping[str, Any]]) -> str:
    for name in ("epoch", "step"):
        if all(_is_number(line.get(name)) for line in history):
            return name
    return "evaluation"


def _place(history: Sequence[Mapping[str, Any]], index: int) -> float:
    name = _axis_name(history)
    return float(index + 1) if name == "evaluation" else float(history[index][name])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str | float | int:
    return value if _is_number(value) else MISSING if value is None else str(value)
