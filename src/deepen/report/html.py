"""A run as one self-contained page: no script, nothing loaded from anywhere, escaped by default.

The page allows itself (Content-Security-Policy) its own style sheet by hash and pictures inside itself, nothing else,
so that even a name that slipped through could neither run nor fetch anything.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from deepen.core.figures import Rows
from deepen.core.files import write_text
from deepen.report import figures, history, wording
from deepen.report.content import ReportContent, flattened, headline, splits_of

FILE_NAME = "report.html"
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_report(run_folder: Path, content: ReportContent) -> Path:
    """Writes the page into the run folder, whole or not at all, and returns its path. Raises FileError."""
    path = Path(run_folder) / FILE_NAME
    write_text(path, render(content))
    return path


def render(content: ReportContent) -> str:
    """The page. The same content gives the same text."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    charts = [figures.draw(chart, mark=mark) for chart, mark in history.training_curves(content)]
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            content=content,
            style=Markup(style),
            policy=f"{POLICY} style-src 'sha256-{digest}'",
            headline=headline(content),
            tiles=tiles(content),
            splits=splits_of(content),
            names=figure_names(content),
            first_charts=charts[:3],
            more_charts=charts[3:],
            history_table=figures.table(history.history_table(content)) if content.history else "",
            evaluation=[figures.draw(figure) for figure in content.figures],
            pace=[figures.draw(figure, from_zero=True) for figure in history.pace_curves(content)],
            timing=[wording.quantity(name, value) for name, value in content.timing.items()],
            options=figures.table(_pairs("Options", "option", flattened(content.options))),
            environment=figures.table(_pairs("Environment", "what", flattened(content.environment))),
        )
    )


def tiles(content: ReportContent) -> list[tuple[str, str]]:
    """(value, what it is) of the few numbers beside the headline."""
    shown = [wording.quantity(name, value) for name, value in list(content.timing.items())[:3]]
    return [*shown, *([(f"{content.parameters:,}", "parameters")] if content.parameters else [])]


def figure_names(content: ReportContent) -> list[str]:
    """The names of all figures of all splits, the objective first."""
    found = dict.fromkeys(name for split in splits_of(content) for name in content.metrics[split])
    first = [content.objective[0]] if content.objective[0] in found else []
    return first + [name for name in found if name not in first]


def _pairs(title: str, column: str, pairs: list[tuple[str, object]]) -> Rows:
    return Rows(title, [column, "value"], [[name, _plain(value)] for name, value in pairs])


def _plain(value: object) -> str:
    """An option's value as it would be typed, not rounded."""
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(each) for each in value) or "none"
    return "none" if value is None or value == "" else str(value)


@cache
def environment() -> jinja2.Environment:
    """Where the pages' templates are found, with everything escaped that is put into them."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "visible": wording.visible,
        "number": wording.number,
        "interval": wording.interval,
        "words": wording.words,
    }
    return found
