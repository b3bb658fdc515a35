"""Help pages come from the dataclasses alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from deepen.cli.pages import verb_page


@dataclass(frozen=True)
class Group:
    """Title of the group.

    More about it.
    """

    kind: Literal["sgd", "adamw"] = field(default="sgd", metadata={"help": "the method"})
    learning_rate: float = field(default=0.1, metadata={"help": "the step", "alias": "lr", "least": 0, "most": 1})
    target: str = field(metadata={"help": "the column"}, kw_only=True)
    names: tuple[str, ...] = field(default=(), metadata={"help": "columns " + "and more words " * 20})
    header: bool = field(default=True, metadata={"help": "first line is names"})
    a_very_long_name_of_an_option: int | None = field(default=None, metadata={"help": "a number"})


def test_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = verb_page("what it does", "deepen x", ["deepen x y"], [Group], notes=["a note"], defaults={"kind": "adamw"})
    assert page.startswith(
        "what it does\n\nusage: deepen x\n\nexamples:\n  deepen x y\n\na note\n\nTitle of the group:\n"
    )
    assert "  --kind sgd|adamw            the method (default adamw)" in page
    assert "the step (from 0 to 1; default 0.1)" in page
    assert "--learning-rate, --lr X" in page
    assert "the column (needed)" in page
    assert "--header, --no-header" in page
    assert "\n  --a-very-long-name-of-an-option N\n" + " " * 30 + "a number (default none)" in page
    assert max(map(len, page.split("\n"))) <= 100


def test_page_on_a_terminal_without_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert "--kind" in verb_page("s", "u", [], [Group])
