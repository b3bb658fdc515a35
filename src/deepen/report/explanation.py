"""What explaining found as a folder: one self-contained page, its pictures, its charts, and its numbers.

explanation.html              the page: no script, nothing loaded from anywhere
explanation.json              every number
pictures/003-grad-cam.png     each picture; charts as .svg
values.safetensors            the numbers behind the pictures
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deepen.core.figures import Curves, Figure, Gallery, Points, Sample
from deepen.core.files import write_bytes, write_json, write_text
from deepen.core.folders import atomic_folder
from deepen.report import figures, html, svg

PAGE = "explanation.html"
NUMBERS = "explanation.json"
VALUES = "values.safetensors"
PICTURES = "pictures"
FORMAT = "deepen explanation 1"
# Sheets of filters and charts of rows are larger than what a gallery of samples shows.
STYLE = """
.samples li:only-child { max-width: 640px; }
.samples:has(li:only-child) { grid-template-columns: 1fr; }
.samples li:only-child img { width: auto; max-width: 100%; height: auto; max-height: 560px; }
.one { margin-top: 34px; padding-top: 20px; border-top: 1px solid var(--rule); }
.one > h3 { margin-bottom: 12px; }
.one .grid { margin-top: 18px; }
.one figure figcaption h3 { font-size: .875rem; }
.one .bars th { max-width: 16em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.one .samples img { height: 170px; }
dl.methods { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 24px; }
dl.methods dt { font-weight: 600; } dl.methods dt::first-letter { text-transform: none; }
dl.methods dd { color: var(--quiet); }
.lead { color: var(--quiet); max-width: 84ch; margin-bottom: 10px; }
@media (max-width: 640px) { dl.methods { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True)
class Explained:
    """One sample: itself, and what each method has to say about it."""

    title: str
    sample: Sample
    panels: Sequence[Sample | Figure]


@dataclass(frozen=True)
class ExplanationContent:
    """An explanation in words, pictures and numbers. Everything may come from a user's files.

    what     the samples and the data, in one sentence
    methods  name -> summary, those that were done
    notes    sentences on how to read it
    figures  about the network or the whole table
    numbers  JSON-able: all that is to be found again by a program
    values   a safetensors file with the numbers behind the pictures, b"" for none
    """

    title: str
    task: str
    model: str
    what: str
    command: str = ""
    methods: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    samples: Sequence[Explained] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    values: bytes = b""


def write_explanation(folder: Path, content: ExplanationContent) -> Path:
    """Puts the whole folder at its place, whole or not at all, and returns the page's path. Raises FileError."""
    folder = Path(folder)
    pictures = files_of(content)
    with atomic_folder(folder, is_ours=is_explanation) as made:
        write_text(made / PAGE, render(content))
        write_json(made / NUMBERS, {"format": FORMAT, **content.numbers})
        if content.values:
            write_bytes(made / VALUES, content.values)
        if pictures:
            (made / PICTURES).mkdir()
        for name, bytes_of in pictures.items():
            write_bytes(made / PICTURES / name, bytes_of)
    return folder / PAGE


def is_explanation(folder: Path) -> bool:
    """Whether the folder is one of ours, so that a new one may take its place."""
    return (folder / PAGE).is_file() and (folder / NUMBERS).is_file()


def render(content: ExplanationContent) -> str:
    """The page. The same content gives the same text."""
    style = (html.TEMPLATES / "report.css").read_text("utf-8") + STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = html.environment().get_template("explanation.html.jinja")
    return template.render(
        content=content,
        style=Markup(style),
        policy=f"{html.POLICY} style-src 'sha256-{digest}'",
        figures=[figures.draw(figure) for figure in content.figures],
        samples=[_drawn(each) for each in content.samples],
    )


def files_of(content: ExplanationContent) -> dict[str, bytes]:
    """Every picture (.png) and every chart (.svg) by file name."""
    found: dict[str, bytes] = {}
    for figure in content.figures:
        for sample in figure.samples if isinstance(figure, Gallery) else ():
            _put(found, f"{_plain(figure.title)}.png", sample.png)
        if isinstance(figure, (Curves, Points)):
            _put(found, f"{_plain(figure.title)}.svg", standalone(figure).encode())
    for index, each in enumerate(content.samples, start=1):
        _put(found, f"{index:03d}-sample.png", each.sample.png)
        for panel in each.panels:
            if isinstance(panel, Sample):
                _put(found, f"{index:03d}-{_plain(panel.caption[0])}.png", panel.png)
    return found


def standalone(figure: Curves | Points) -> str:
    """A chart as an SVG file of its own, with the page's colours."""
    chart = svg.curves(figure) if isinstance(figure, Curves) else svg.points(figure)
    style = (html.TEMPLATES / "report.css").read_text("utf-8")
    font = "svg { background: var(--page); font-family: system-ui, sans-serif; }"
    head, rest = str(chart).split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style><![CDATA[{style}{font}]]></style>{rest}\n'


def _drawn(each: Explained) -> tuple[str, Markup, list[Markup]]:
    """The title, the gallery of pictures, and the charts of one sample."""
    pictures = [panel for panel in each.panels if isinstance(panel, Sample)]
    charts = [figures.draw(panel) for panel in each.panels if not isinstance(panel, Sample)]
    return each.title, figures.gallery(Gallery("", [each.sample, *pictures])), charts


def _put(found: dict[str, bytes], name: str, content: bytes) -> None:
    stem, dot, ending = name.rpartition(".")
    number = 1
    while name in found:
        number += 1
        name = f"{stem}-{number}{dot}{ending}"
    if content:
        found[name] = content


def _plain(text: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in text.casefold())
    return kept.strip(".-")[:80].rstrip(".-") or "figure"
