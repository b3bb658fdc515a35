"""What a server asks of a model: prepare rows, answer them, say what it is. A run is one; other files can be.

Everything here is used by a worker process and crosses to the server's own process as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Cell = str | bytes | list[str] | None
Row = dict[str, Cell]


@dataclass(frozen=True)
class Outcome:
    """What became of a row: an answer, the sentence that says what is wrong with it, or a fault of ours."""

    answer: dict[str, Any] | None = None
    error: str = ""
    is_ours: bool = False


@dataclass(frozen=True)
class About:
    """What a model is.

    version  changes whenever its answers may
    fields   what a row consists of, as dicts of `prepare.fields.Field`
    card     for people: figures, classes and the like, JSON-able, without paths
    explains whether its answers can be explained
    example  rows for warming up
    """

    task: str
    model: str
    version: str
    fields: list[dict[str, Any]]
    card: dict[str, Any] = field(default_factory=dict)
    explains: bool = False


class Answers(Protocol):
    """A model that answers tables. One thread prepares while another answers."""

    about: About

    def prepare(self, rows: Sequence[Row]) -> Any:
        """The rows ready for the network. Raises DeepenError where not even one bad row can be told from the others."""
        ...

    def answer(self, prepared: Any) -> list[Outcome]:
        """One outcome per row, in order."""
        ...

    def explain(self, row: Row) -> str:
        """A self-contained page on what the answer to this row comes from. Raises DeepenError."""
        ...

    def example(self) -> Row:
        """A row to warm up and to measure with."""
        ...
