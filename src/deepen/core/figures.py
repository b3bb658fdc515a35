"""What a report or page draws, as values: tasks make them, `report` renders them, neither knows the other."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Curves:
    """Lines over a common axis, such as loss over epochs. `lines` maps a name to (x, y) pairs.

    behind   lines without names that stand thinly behind the others, such as those of single samples
    """

    title: str
    x_label: str
    y_label: str
    lines: dict[str, list[tuple[float, float]]]
    note: str = ""
    diagonal: bool = False  # draw y = x for comparison (reliability diagrams)
    behind: list[list[tuple[float, float]]] = field(default_factory=list)


@dataclass(frozen=True)
class Matrix:
    """Counts by row and column, such as a confusion matrix. `values[i][j]`: truth i, answered j.

    signed  values are no counts but weights: coloured by their sign and their share of the largest of all
    """

    title: str
    row_names: list[str]
    column_names: list[str]
    values: list[list[float]]
    row_label: str = "truth"
    column_label: str = "answer"
    note: str = ""
    signed: bool = False


@dataclass(frozen=True)
class Bars:
    """One number per name, such as a count per class; `spread` holds (low, high) where it is known."""

    title: str
    names: list[str]
    values: list[float]
    label: str
    spread: list[tuple[float, float]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Points:
    """A scatter of (x, y), such as answer against truth; `groups` names the group of each point where there are any.

    names  of the points, such as words on a map: each stands beside its point if there is room, the earlier ones first
    """

    title: str
    x_label: str
    y_label: str
    points: list[tuple[float, float]]
    diagonal: bool = False
    note: str = ""
    groups: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """A table: column names and rows of text or numbers."""

    title: str
    columns: list[str]
    rows: list[list[str | float | int]]
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """One sample to look at: a picture (PNG bytes), or text, with a caption of lines."""

    caption: list[str]
    png: bytes = b""
    text: str = ""


@dataclass(frozen=True)
class Gallery:
    """Samples side by side, such as the worst mistakes."""

    title: str
    samples: list[Sample]
    note: str = ""


@dataclass(frozen=True)
class MarkedText:
    """A text cut into parts, each with a weight in [-1, 1] that colours it: one colour for, another against.

    joiner  what stands between the parts
    """

    title: str
    parts: list[str]
    weights: list[float]
    note: str = ""
    joiner: str = " "


Figure = Curves | Matrix | Bars | Points | Rows | Gallery | MarkedText
