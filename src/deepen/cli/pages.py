"""Help pages, made from the options' own dataclasses: each default and each line of help exists once."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, replace
from typing import Any

from deepen.core.options import OptionField, fields_of, flag_of

INDENT = 30
NARROWEST = 60


def verb_page(
    summary: str,
    usage: str,
    examples: Sequence[str],
    groups: Sequence[type],
    *,
    notes: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> str:
    """The help of a verb: what it does, its words, examples, notes, then its options by group.

    defaults  by dotted name, where they differ from the dataclasses' own (a model's recipe)
    """
    parts = [summary, f"usage: {usage}", _block("examples:", examples)]
    parts.extend(notes)
    parts.extend(_group(group, defaults or {}) for group in groups)
    return "\n\n".join(part for part in parts if part)


def names_block(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Names with a line about each, under a title."""
    return "\n".join([title, *(_entry(name, text) for name, text in rows)])


def _block(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _group(group: type, defaults: Mapping[str, Any]) -> str:
    doc = (group.__doc__ or "").strip()
    title = group.__name__ if doc.startswith(f"{group.__name__}(") else doc.split("\n", 1)[0].rstrip(".:")
    options = [replace(option, default=defaults.get(name, option.default)) for name, option in fields_of(group).items()]
    entries = [_entry(_names(option), _text(option)) for option in options]
    return "\n".join([f"{title}:", *entries]) if entries else ""


def _entry(name: str, text: str) -> str:
    width = max(NARROWEST, min(120, shutil.get_terminal_size((100, 24)).columns))
    lines = textwrap.wrap(text, width - INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    if len(name) > INDENT - 4:
        return "\n".join([f"  {name}", *(" " * INDENT + line for line in lines)])
    head = f"  {name}".ljust(INDENT) + lines[0]
    return "\n".join([head.rstrip(), *(" " * INDENT + line for line in lines[1:])])


def _names(option: OptionField) -> str:
    names = [option.flag, *map(flag_of, option.aliases)]
    if option.kind.base is bool and not option.kind.many:
        return f"{option.flag}, --no-{option.flag[2:]}" if option.default is True else option.flag
    return f"{', '.join(names)} {_metavar(option)}"


def _metavar(option: OptionField) -> str:
    kind = option.kind
    if kind.choices and len(kind.choices) <= 4 and not kind.many:
        return "|".join(map(str, kind.choices))
    word = {int: "N", float: "X", str: "TEXT", bool: "BOOL"}[kind.base]
    return f"{word},..." if kind.many else word


def _text(option: OptionField) -> str:
    kind = option.kind
    facts = []
    if kind.choices and (len(kind.choices) > 4 or kind.many):
        facts.append(", ".join(map(str, kind.choices)))
    if kind.limits():
        facts.append(kind.limits())
    if option.default is MISSING:
        facts.append("needed")
    elif option.default not in ("", ()) and not (option.default is None and "default" in option.help):
        facts.append(f"default {shown(option.default)}")
    return f"{option.help} ({'; '.join(facts)})".strip() if facts else option.help


def shown(value: Any) -> str:
    """A default as one would write it on the command line.

    >>> shown((1, 2)), shown(None), shown(True), shown("")
    ('1,2', 'none', 'on', "''")
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, list)):
        return ",".join(map(shown, value)) or "''"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value) or "''"
