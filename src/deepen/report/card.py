"""The model card: what the run is, on what it was trained, how good it is and what was warned, as Markdown.

Text from a user's files is escaped, so that no class name or path can become a heading, a link, HTML or front matter.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from deepen.core.files import write_text
from deepen.report.content import ReportContent, headline, splits_of
from deepen.report.html import figure_names
from deepen.report.wording import interval, number, quantity, visible, words

FILE_NAME = "README.md"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$])")
_BLOCK = re.compile(r"^\s*(?:[-+=]|\d+(?=[.)]))|^\s+")
_ADDRESS = re.compile(r"(?i)(:)(?=//)|(?<=www)(\.)|(@)")

LIMIT_OF_FIGURES = (
    "The figures hold for samples that come about as those they were measured on; on others they may be much worse."
)
LIMIT_OF_INTERVALS = (
    "An interval says how far a figure may lie off by the choice of samples, not by the choice of seed."
)


def write_card(run_folder: Path, content: ReportContent) -> Path:
    """Writes the card into the run folder, whole or not at all, and returns its path. Raises FileError."""
    path = Path(run_folder) / FILE_NAME
    write_text(path, card(content))
    return path


def card(content: ReportContent) -> str:
    """The card's Markdown, with YAML front matter. The same content gives the same text."""
    sections = [
        front_matter(content),
        f"# Model {escaped(content.title)}\n\n{_summary(content)}",
        _section("Warnings", _listed(content.warnings)),
        _section("Data", _data(content)),
        _section("Figures", _figures(content)),
        _section("How to use it", fenced(content.usage)),
        _section("How it was made", _made(content)),
        _section("Limits", _listed(_limits(content))),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def front_matter(content: ReportContent) -> str:
    """What catalogues read: YAML whose values are JSON strings and numbers, which are YAML as they stand."""
    best = headline(content)
    lines = [
        "---",
        "library_name: deepen",
        f"tags: {_json(['deepen', content.task, content.model])}",
        f"model_name: {_json(content.title)}",
    ]
    if best is not None and math.isfinite(best.value):
        metric = {"type": best.name, "value": best.value, "name": f"{best.name} ({best.split})"}
        data = {"name": content.data or "unnamed", "type": "local"}
        result = {"task": {"type": content.task}, "dataset": data, "metrics": [metric]}
        lines.append(f"model-index: {_json([{'name': content.title, 'results': [result]}])}")
    return "\n".join([*lines, "---"])


def escaped(text: object, *, limit: int = 300) -> str:
    """One line of text that Markdown and HTML show as it is, wherever in a line after a first word it stands."""
    shown = visible(text, limit=limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ADDRESS.sub(lambda found: f"&#{ord(found[0])};", _MARKDOWN.sub(r"\\\1", shown))


def fenced(lines: Sequence[str]) -> str:
    """The lines as a block of code, fenced by more backticks than any of them holds; empty for none."""
    if not lines:
        return ""
    code = "\n".join(visible(line, limit=5000) for line in lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return f"{fence}sh\n{code}\n{fence}"


def _summary(content: ReportContent) -> str:
    sentence = f"A network {escaped(content.model)} for {escaped(content.task)}, trained with deepen"
    sentence += f" on {escaped(content.data)}." if content.data else "."
    best = headline(content)
    if best is not None:
        sentence += f" Its {escaped(words(best.name))} on {escaped(best.split)} is **{number(best.value)}**"
        sentence += f" (95 %: {interval(best.interval)})." if best.interval else "."
    if content.status != "done":
        sentence += f" Training did not end as planned: {escaped(content.status)}."
    return sentence


def _data(content: ReportContent) -> str:
    pairs = [
        ("From", content.data),
        ("Layout", content.layout),
        ("Split", content.split),
        ("Fingerprint", content.fingerprint),
    ]
    facts = [f"- {name}: {escaped(value, limit=1000)}" for name, value in pairs if value]
    return "\n".join([*facts, *([_listed(content.notes)] if content.notes else [])])


def _figures(content: ReportContent) -> str:
    splits = splits_of(content)
    if not splits:
        return ""
    rows = [["figure", *map(escaped, splits)], ["---", *["---:"] * len(splits)]]
    for name in figure_names(content):
        rows.append([escaped(words(name)), *(_figure(content, split, name) for split in splits)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\nIn brackets: 95 % intervals."


def _figure(content: ReportContent, split: str, name: str) -> str:
    if name not in content.metrics[split]:
        return ""
    ends = content.intervals.get(split, {}).get(name)
    return number(content.metrics[split][name]) + (f" ({interval(ends)})" if ends else "")


def _made(content: ReportContent) -> str:
    timing = [": ".join(reversed(quantity(name, value))) for name, value in content.timing.items()]
    facts = [f"parameters: {content.parameters:,}"] * bool(content.parameters) + timing
    facts += [f"{name}: {value}" for name, value in content.environment.items()]
    code = fenced([content.command] if content.command else [])
    return "\n\n".join(part for part in (code, _listed(facts)) if part)


def _limits(content: ReportContent) -> list[str]:
    said = [LIMIT_OF_FIGURES] * bool(splits_of(content)) + [LIMIT_OF_INTERVALS] * bool(content.intervals)
    return [*said, *content.limits]


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _listed(sentences: Sequence[str]) -> str:
    """A list, none of whose items can open a list, rule, heading or block of code of its own."""
    return "\n".join(f"- {_BLOCK.sub(_entity, escaped(sentence, limit=1000))}" for sentence in sentences)


def _entity(found: re.Match[str]) -> str:
    """The characters that would open a list, rule or heading, as character references."""
    return "".join(f"&#{ord(character)};" for character in found[0])


def _json(value: object) -> str:
    return json.dumps(_shown(value), ensure_ascii=False, allow_nan=False)


def _shown(value: object) -> object:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(name): _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value
