"""tuning.html: a study on one self-contained page, in the style and under the policy of a run's report."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deepen.core.figures import Bars, Curves, Points, Rows
from deepen.core.files import write_text
from deepen.core.units import plural
from deepen.report import figures
from deepen.report.html import POLICY, TEMPLATES
from deepen.report.wording import MISSING, number, short, visible, words

FILE_NAME = "tuning.html"
HEIGHT, TOP, BOTTOM = 280.0, 40.0, 34.0  # of the parallel axes, in pixels
BETWEEN = 110.0
MOST_LINES = 200
CHOICES_SHOWN = 8
STATES = {"pruned": "ended early"}

Value = str | float | int | bool | list[Any] | None


@dataclass(frozen=True)
class DimensionRow:
    """What was searched: an option, in the words of --search; `log_base` 0 where its axis is no logarithm."""

    name: str
    words: str
    log_base: int = 0
    is_number: bool = True


@dataclass(frozen=True)
class TrialRow:
    """One trial: `options` by dotted name; `value` of one that was stopped is the last that was seen."""

    number: int
    state: str
    value: float | None
    options: Mapping[str, Value]
    seconds: float
    why: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class TuningPage:
    """Everything on the page. `metrics`: "default" and "best" -> split -> figures."""

    title: str
    task: str
    data: str
    objective: tuple[str, str]
    command: str
    run: str
    dimensions: Sequence[DimensionRow]
    trials: Sequence[TrialRow]
    metrics: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    importance: Mapping[str, float] = field(default_factory=dict)
    kept: int = 3
    others: int = 0


def write_page(folder: Path, page: TuningPage) -> Path:
    """Writes the page into the study's folder, whole or not at all, and returns its path. Raises FileError."""
    path = Path(folder) / FILE_NAME
    write_text(path, render(page))
    return path


def render(page: TuningPage) -> str:
    """The page. The same content gives the same text."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sections = [
        _section("gain", "Default and best", [_drawn(gains(page)), _drawn(best_options(page))], note=_caution(page)),
        _section("trials", "Trials", [_drawn(history(page)), *_importance(page)]),
        _section("options", "Options", [parallel(page), *(_drawn(each) for each in slices(page))]),
        _section("all", "All trials", [_drawn(all_trials(page))]),
    ]
    page_text = _PAGE.format(
        policy=f"{POLICY} style-src 'sha256-{digest}'",
        title=visible(page.title),
        style=Markup(style),
        task=visible(page.task),
        lede=_lede(page),
        sections=Markup("").join(sections),
        command=page.command,
    )
    return str(page_text)


def gains(page: TuningPage) -> Rows:
    """Each figure of the default and of the best trial, by split, and the difference."""
    rows: list[list[str | float | int]] = []
    for split in ("val", "test"):
        default, best = (page.metrics[name].get(split, {}) for name in ("default", "best"))
        for name in {**best, **default}:
            before, after = default.get(name), best.get(name)
            gain = MISSING if before is None or after is None else f"{after - before:+.4f}"
            rows.append([f"{split}: {words(name)}", _cell(before), _cell(after), gain])
    return Rows("Figures", ["figure", "default", "best", "difference"], rows)


def best_options(page: TuningPage) -> Rows:
    """What was searched, with the first and the best trial's values."""
    first = next((each.options for each in page.trials if each.number == 0), {})
    best = next((each.options for each in page.trials if each.is_best), {})
    rows: list[list[str | float | int]] = [
        [each.name, each.words, _typed(first.get(each.name)), _typed(best.get(each.name))] for each in page.dimensions
    ]
    return Rows("Options that were searched", ["option", "searched", "default", "best"], rows)


def history(page: TuningPage) -> Curves:
    """The objective of each trial that came to its end, and the best until then."""
    done = [(each.number, each.value) for each in page.trials if each.state == "done" and each.value is not None]
    better = max if page.objective[1] == "max" else min
    best: list[tuple[float, float]] = []
    for index, value in done:
        best.append((float(index), better([value, *(y for _, y in best[-1:])])))
    lines = {"best so far": best, "trial": [(float(index), value) for index, value in done]}
    stopped = sum(each.state == "pruned" for each in page.trials)
    note = f"{plural(stopped, 'trial')} stopped early or without a figure, not drawn." if stopped else ""
    return Curves("Objective by trial", "trial", words(page.objective[0]), lines, note)


def slices(page: TuningPage) -> list[Points]:
    """The objective against each number that was searched; a logarithm where the search was by one."""
    found = []
    for each in page.dimensions:
        pairs = [(_place(trial.options.get(each.name), each), trial.value) for trial in _finished(page)]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        if each.is_number and len(points) > 1:
            axis = f"log{each.log_base} of {each.name}" if each.log_base else each.name
            found.append(Points(each.name, axis, words(page.objective[0]), points))
    return found


def all_trials(page: TuningPage) -> Rows:
    """One row per trial."""
    figure, names = words(page.objective[0]), [each.name for each in page.dimensions]
    columns = ["trial", figure, "state", "seconds", *names, "why it ended early"]
    rows: list[list[str | float | int]] = []
    for each in page.trials:
        state = "best" if each.is_best else STATES.get(each.state, each.state)
        options = [_typed(each.options.get(dimension.name)) for dimension in page.dimensions]
        rows.append([each.number, _cell(each.value), state, round(each.seconds, 1), *options, each.why])
    kept = f"The weights of the {page.kept} best trials and of the first one are kept, those of the others removed."
    return Rows("All trials", columns, rows, kept)


def parallel(page: TuningPage) -> Markup:
    """Every finished trial as a line across one axis per option, the objective last; the best one stands out."""
    trials = _finished(page)[:MOST_LINES]
    scales = [(each.name, _scale([trial.options.get(each.name) for trial in trials], each)) for each in page.dimensions]
    values = [trial.value for trial in trials if trial.value is not None]
    if len(trials) < 2 or not scales:
        return Markup("")
    low, high = min(values), max(values)
    width = BETWEEN * (len(scales) + 1)
    places = [BETWEEN * (index + 0.5) for index in range(len(scales) + 1)]
    parts: list[Markup] = []
    for x, (name, scale) in zip(places, scales, strict=False):
        parts += _axis(x, name, scale)
    parts += _axis(places[-1], words(page.objective[0]), {number(low): 0.0, number(high): 1.0})
    lines = sorted(trials, key=lambda trial: trial.is_best)
    for trial in lines:
        heights = [scale.get(_typed(trial.options.get(name))) for name, scale in scales]
        heights.append((trial.value - low) / ((high - low) or 1.0) if trial.value is not None else None)
        path = " ".join(f"{x:.1f},{_y(at):.1f}" for x, at in zip(places, heights, strict=True) if at is not None)
        kind = "line s0" if trial.is_best else "behind"
        line = Markup('<polyline points="{}" class="{}"><title>{}</title></polyline>')
        parts.append(line.format(path, kind, f"trial {trial.number}: {number(trial.value)}"))
    said = f"{len(trials)} trials as lines across {len(scales)} options and {words(page.objective[0])}"
    drawn = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" class="chart">{}</svg>').format(
        width, HEIGHT, said, Markup("").join(parts)
    )
    text = Markup(
        '<figure class="wide curves"><figcaption><h3>All options at once</h3><p>{}</p></figcaption>'
        '<div class="scroll" role="region" tabindex="0" aria-label="All options at once">{}</div></figure>'
    )
    return text.format("One line for each trial that came to its end; the best one is drawn strongly.", drawn)


def _finished(page: TuningPage) -> list[TrialRow]:
    return [each for each in page.trials if each.state == "done" and each.value is not None]


def _scale(values: Sequence[Value], dimension: DimensionRow) -> dict[str, float]:
    """Typed value -> height from 0 to 1."""
    numbers = {_typed(value): _place(value, dimension) for value in values}
    if dimension.is_number and all(place is not None for place in numbers.values()):
        finite = {text: place for text, place in numbers.items() if place is not None}
        low, high = min(finite.values()), max(finite.values())
        return {
            text: (place - low) / ((high - low) or 1.0) for text, place in sorted(finite.items(), key=lambda p: p[1])
        }
    texts = sorted(numbers)
    return {text: index / max(1, len(texts) - 1) for index, text in enumerate(texts)}


def _axis(x: float, name: str, scale: Mapping[str, float]) -> list[Markup]:
    """A vertical axis with its name above and the texts of its ends, or of its few values, beside it."""
    line = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="grid"/>')
    text = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
    parts = [line.format(x, _y(0), x, _y(1)), text.format(x, TOP - 18, "label middle", short(name.split(".")[-1], 16))]
    shown = list(scale.items())
    if len(shown) > CHOICES_SHOWN:
        shown = [shown[0], shown[-1]]
    return parts + [text.format(x + 4, _y(at) - 3, "small", short(said, 14)) for said, at in shown]


def _y(height: float) -> float:
    return HEIGHT - BOTTOM - height * (HEIGHT - BOTTOM - TOP)


def _place(value: Value, dimension: DimensionRow) -> float | None:
    """Where a number lies on its axis, None for what is no number there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not dimension.log_base:
        return float(value)
    logarithm = math.log2 if dimension.log_base == 2 else math.log10
    return logarithm(value) if value > 0 else None


def _importance(page: TuningPage) -> list[Markup]:
    if not page.importance:
        return []
    names = [name.removeprefix("log2 of ") for name in page.importance]
    note = "The share of the objective's variance over the trials that an option explains (functional ANOVA)."
    if len(page.trials) < 10 * len(names):
        note += f" {plural(len(page.trials), 'trial')} for {len(names)} options say little for certain."
    return [_drawn(Bars("Importance of options", names, list(page.importance.values()), "share", note=note))]


def _caution(page: TuningPage) -> str:
    told = (
        "The best of many trials on validation is better there than it would be elsewhere, for it was chosen there; "
        "the test split, which chose nothing, says what was gained."
    )
    if all(each.number for each in page.trials):
        told += " Trial 0, the default, was lost with its worker, so nothing tells what was gained."
    if page.others:
        told += f" Other workers still had {plural(page.others, 'trial')} in hand, so the test split was not looked at."
    return told


def _lede(page: TuningPage) -> str:
    states = {state: sum(each.state == state for each in page.trials) for state in ("done", "pruned", "failed")}
    told = [f"{states['done']} came to their end"]
    told += [f"{count} {'stopped early' if state == 'pruned' else state}" for state, count in states.items() if count][
        1:
    ]
    what = f" on {visible(page.data)}" if page.data else ""
    better = "highest" if page.objective[1] == "max" else "lowest"
    return (
        f"{plural(len(page.trials), 'trial')}{what}: {', '.join(told)}. The {better} {words(page.objective[0])} on "
        f"validation chose; the best run is in {visible(page.run)}."
    )


def _section(name: str, title: str, parts: Sequence[Markup], *, note: str = "") -> Markup:
    text = Markup(
        '<section id="{0}" aria-labelledby="{0}-title"><h2 id="{0}-title">{1}</h2>{2}'
        '<div class="grid">{3}</div></section>'
    )
    return text.format(name, title, Markup("<p>{}</p>").format(note) if note else "", Markup("").join(parts))


def _drawn(figure: Any) -> Markup:
    return figures.draw(figure)


def _cell(value: float | None) -> str | float:
    return MISSING if value is None else value


def _typed(value: Value) -> str:
    """A value as one would type it."""
    if isinstance(value, list | tuple):
        return ",".join(_typed(each) for each in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return MISSING if value is None else str(value)


_PAGE = Markup(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title} – tuning – deepen</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the figures</a>
<header>
  <p class="kind">deepen <span aria-hidden="true">·</span> tune {task}</p>
  <h1><bdi>{title}</bdi></h1>
  <p class="lede">{lede}</p>
</header>
<main id="main">
{sections}
<section id="again" aria-labelledby="again-title">
  <h2 id="again-title">The best trial again</h2>
  <pre tabindex="0"><code>{command}</code></pre>
</section>
</main>
</body>
</html>
"""
)
