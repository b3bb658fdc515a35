"""What a sample consists of, for those who ask for one: a form on a page, the schema of a request.

A task whose samples are more than its schema's input columns tells them by `fields()`; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["picture", "text", "line", "words", "number", "category", "date"]
MOST_CHOICES = 500
DATES = {
    "year-first": "2024-01-31",
    "day-first": "31/01/2024",
    "month-first": "01/31/2024",
    "month-name": "31 Jan 2024",
}


@dataclass(frozen=True)
class Field:
    """One column that a sample needs.

    kind      picture: the bytes of an image file; text; line: text without a line break; words: a list of texts;
              number, category and date: a table's cell, which may be empty
    choices   the categories seen in training, where they are not too many; others are answered too
    size      (height, width) that pictures are brought to
    channels  1 where pictures are read as grey, 3 as colour, else 0
    instead   a column of plain text that may be given in the place of words
    example   a value such as one would give
    """

    name: str
    kind: Kind
    choices: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    channels: int = 0
    instead: str = ""
    example: str = ""


def of_images(state: Mapping[str, Any]) -> list[Field]:
    """The field of a task on pictures, from what `prepare/image` learned."""
    height, width = state["size"]
    return [Field("image", "picture", size=(height, width), channels=state["channels"])]


def of_table(state: Mapping[str, Any]) -> list[Field]:
    """The columns that `prepare/tabular` learned from, in their order."""
    return [_column(column) for column in state["columns"]]


def of_columns(inputs: Sequence[str], readers: Sequence[str]) -> list[Field]:
    """The input columns of a schema and its readers: pictures, texts, and words for what is read as tokens."""
    reads_lines = any(reader.startswith("text_") for reader in readers)
    found = []
    for name in inputs:
        if name == "image":
            found.append(Field(name, "picture"))
        elif name == "tokens":
            found.append(Field(name, "words", instead="text" if reads_lines else ""))
        else:
            found.append(Field(name, "text"))
    return found


def _column(column: Mapping[str, Any]) -> Field:
    name, kind = column["name"], column["kind"]
    if kind == "category":
        levels = tuple(level for level in column["levels"] if level)
        return Field(name, kind, choices=levels if len(levels) <= MOST_CHOICES else (), example=(*levels, "")[0])
    if kind == "date":
        return Field(name, kind, example=DATES.get(column["order"], ""))
    medians = [each["median"] for each in column.get("inputs", ()) if each is not None]
    return Field(name, "number", example=f"{medians[0]:.6g}" if medians else "0")
