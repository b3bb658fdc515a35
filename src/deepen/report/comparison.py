"""Runs side by side: what was found, in plain words, and as one self-contained page in the style of a run's report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deepen.core.figures import Curves, Rows
from deepen.core.files import write_text
from deepen.metrics.paired import Difference
from deepen.report import figures, forest, html
from deepen.report.forest import Estimate
from deepen.report.html import POLICY, TEMPLATES
from deepen.report.wording import MISSING, interval, number, quantity, visible, words

LEVEL = 0.05
NOT_DRAWN = ("step", "epoch", "seconds", "best", "learning_rate")

_FIGURE = Markup('<figure class="narrow"><figcaption><h3>{}</h3><p>{}</p></figcaption>{}</figure>')


@dataclass(frozen=True)
class Side:
    """One of the runs.

    name        short, and different from those of the others
    trained_on  how its data were read, in words
    metrics     the figures on the shared samples; of folds, the means over them
    intervals   95 %, by figure
    history     the lines of metrics.jsonl
    seconds     of training; None where the run does not say
    """

    name: str
    folder: str
    model: str
    trained_on: str
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    parameters: int
    seconds: float | None
    samples_per_second: float | None
    options: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Pair:
    """The leading run beside another one, in one figure.

    difference  the leading run's figure minus the other's
    adjusted_p  p after Holm's correction over all pairs of runs in this figure; of two runs, p itself
    """

    figure: str
    leader: str
    other: str
    difference: Difference
    adjusted_p: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    over       what the figures are over, in words: "179 samples (test)" or "5 folds"
    objective  the figure by which runs are ranked, and "max" or "min"
    runs       the best by the objective first
    pairs      of the best run with each other one, the objective's first
    options    those that differ: name -> one value per run, in the order of `runs`
    notes      what a reader should know before believing any of it
    """

    task: str
    layout: str
    over: str
    count: int
    objective: tuple[str, str]
    runs: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    options: Mapping[str, Sequence[Any]]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = field(default=())

    def sentences(self) -> list[str]:
        """What to make of the figure that ranks the runs, and the first other one that is no chance, for each run."""
        count, ranked = len(self.runs), [pair for pair in self.pairs if pair.figure == self.objective[0]]
        further: dict[str, Pair] = {}
        for pair in self.pairs:
            if pair.figure != self.objective[0] and pair.adjusted_p < LEVEL:
                further.setdefault(pair.other, pair)
        return [
            *(verdict(pair, count) for pair in ranked),
            *(further_difference(pair, count) for pair in further.values()),
        ]


def verdict(pair: Pair, num_runs: int = 2) -> str:
    """Which run is better by how much in the figure that ranks them, and whether that could be chance: one sentence."""
    found, said = pair.difference, shown_p(pair, num_runs)
    if found.value == 0:
        return f"{pair.leader} and {pair.other} have the same {words(pair.figure)} ({said})."
    gap = f"its {words(pair.figure)} is {_direction(pair)} by {gap_words(pair)}"
    if pair.adjusted_p < LEVEL:
        return f"{pair.leader} is better than {pair.other}: {gap}; the difference is unlikely to be chance ({said})."
    return f"{pair.leader} is ahead of {pair.other}, but it may well be chance ({said}): {gap}."


def further_difference(pair: Pair, num_runs: int = 2) -> str:
    """How the two runs differ in a figure that does not rank them, where that is no chance."""
    return (
        f"The {words(pair.figure)} of {pair.leader} is {_direction(pair)} than that of {pair.other} by "
        f"{gap_words(pair)}, which is unlikely to be chance ({shown_p(pair, num_runs)})."
    )


def gap_words(pair: Pair) -> str:
    """The size of a difference and its interval, shares in points of 100: `0.4 points (95 %: 0.1 to 0.7)`."""
    value, ends = pair.difference.value, pair.difference.interval
    is_share = pair.figure.endswith("accuracy")
    scale = (100 if is_share else 1) * (-1 if value < 0 else 1)
    size = _plain(scale * value)
    said = f"{size} {'point' if size == '1' else 'points'}" if is_share else size
    if ends is None:
        return said
    low, high = sorted(scale * end for end in ends)
    return f"{said} (95 %: {_plain(low)} to {_plain(high)})"


def shown_p(pair: Pair, num_runs: int = 2) -> str:
    """`p = 0.01`, and that it is corrected where there are more than two runs."""
    p = pair.adjusted_p
    said = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return said if num_runs == 2 else f"{said} after Holm's correction"


def write_page(path: str | Path, comparison: Comparison) -> Path:
    """Puts the page into a file, whole or not at all, and returns its path. Raises FileError."""
    write_text(Path(path), render(comparison))
    return Path(path)


def render(comparison: Comparison) -> str:
    """The page. The same comparison gives the same text."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    charts = [figures.draw(chart) for chart in curves(comparison.runs)]
    return (
        html.environment()
        .get_template("comparison.html.jinja")
        .render(
            found=comparison,
            style=Markup(style),
            policy=f"{POLICY} style-src 'sha256-{digest}'",
            names=figure_names(comparison),
            tests=figures.table(pairs_table(comparison)) if comparison.pairs else "",
            charts=difference_charts(comparison),
            cost=[(label, row) for label, *row in cost_rows(comparison)],
            options=figures.table(options_table(comparison)) if comparison.options else "",
            first_curves=charts[:3],
            more_curves=charts[3:],
        )
    )


def figure_names(comparison: Comparison) -> list[str]:
    """The figures that any run has, the objective first."""
    found = dict.fromkeys(name for run in comparison.runs for name in run.metrics)
    first = [comparison.objective[0]] if comparison.objective[0] in found else []
    return first + [name for name in found if name not in first]


def pairs_table(comparison: Comparison) -> Rows:
    """Every difference, its interval, its p, and the test behind it."""
    is_many = len(comparison.runs) > 2
    columns = ["figure", "best", "other", "best - other", "95 %", "p", *(["p, Holm"] if is_many else []), "test"]
    rows: list[list[str | float | int]] = []
    for pair in comparison.pairs:
        found = pair.difference
        ends = interval(found.interval) if found.interval is not None else MISSING
        adjusted = [_p(pair.adjusted_p)] if is_many else []
        names = [words(pair.figure), pair.leader, pair.other]
        rows.append([*names, found.value, ends, _p(found.p), *adjusted, found.method])
    return Rows("Differences", columns, rows)


def difference_charts(comparison: Comparison) -> list[Markup]:
    """A chart for each figure: how far the best run is ahead of each other one, with the interval."""
    return [
        _difference_chart(name, [pair for pair in comparison.pairs if pair.figure == name])
        for name in dict.fromkeys(pair.figure for pair in comparison.pairs)
    ]


def _difference_chart(figure: str, pairs: Sequence[Pair]) -> Markup:
    title = f"{words(figure)}: difference"
    found = [(pair.other, pair.difference) for pair in pairs]
    estimates = [Estimate(name, each.value, each.interval or (each.value, each.value)) for name, each in found]
    note = f"{visible(pairs[0].leader)} minus each other run, with the 95 % interval."
    return _FIGURE.format(title, note, forest.draw(title, estimates))


def curves(runs: Sequence[Side]) -> list[Curves]:
    """A chart for each column of the runs' histories, one line per run over the epochs."""
    columns = dict.fromkeys(name for run in runs for line in run.history for name in line if name not in NOT_DRAWN)
    charts = []
    for column in columns:
        lines = {run.name: line for run in runs if (line := _line(run.history, column))}
        if any(len(line) > 1 for line in lines.values()):
            charts.append(Curves(words(column), "epoch", "", lines))
    return charts


def cost_rows(comparison: Comparison) -> list[list[str]]:
    """Size and speed of each run: what it is, then a cell per run."""
    runs = comparison.runs
    return [
        ["model", *(run.model for run in runs)],
        ["parameters", *(number(run.parameters) for run in runs)],
        ["training time", *(_quantity("total_seconds", run.seconds) for run in runs)],
        ["samples per second", *(_quantity("samples_per_second", run.samples_per_second) for run in runs)],
    ]


def options_table(comparison: Comparison) -> Rows:
    """Only the options that differ."""
    rows: list[list[str | float | int]] = [
        [name, *(option_words(value) for value in values)] for name, values in comparison.options.items()
    ]
    return Rows("Options that differ", ["option", *(run.name for run in comparison.runs)], rows)


def option_words(value: object) -> str:
    """An option's value as it would be typed; a dash where the run has no such option."""
    if value is NO_OPTION:
        return MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(map(option_words, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None or value == "" else str(value)


class _NoOption:
    """What stands for an option that a run's network or task does not have."""

    def __repr__(self) -> str:
        return MISSING


NO_OPTION = _NoOption()


def _direction(pair: Pair) -> str:
    return "lower" if pair.difference.value < 0 else "higher"


def _line(history: Sequence[Mapping[str, Any]], column: str) -> list[tuple[float, float]]:
    found = []
    for index, line in enumerate(history, start=1):
        value, epoch = line.get(column), line.get("epoch", index)
        if _is_number(value) and _is_number(epoch):
            found.append((float(epoch), float(value)))  # type: ignore[arg-type]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _quantity(name: str, value: float | None) -> str:
    return MISSING if value is None else quantity(name, value)[0]


def _plain(value: float) -> str:
    """Three significant digits, without an exponent in the sizes that figures have."""
    return f"{value:.3g}" if value == 0 or 1e-4 <= abs(value) < 1000 else number(value)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
