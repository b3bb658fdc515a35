"""S13, S14, S20, S25: names in the data that look like templates, commands, markup or formulas, in a real run."""

from __future__ import annotations

import csv
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.faults.harness import deepen

SECRET = "planted-4f1c9be2-secret"
TEMPLATES = ("{{7*7}}", "{__class__}", "%s%n", "$(id)", "`id`", "{0}")
MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script></style>",
    "[a](javascript:alert(1))",
)
CONTROL = ("\x1b[31mred\x1b[2J", "\u202eright to left")
FORMULAS = ('=HYPERLINK("http://x")', "+1+1", "@SUM(A1)")
CLASSES = (*TEMPLATES[:4], *MARKUP, *CONTROL, *FORMULAS)
COLUMNS = ("{{config}}", "<u onclick=x>", "=cmd|' /C calc'!A1", "plain")


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of the run, what the terminal saw) of a training on a table full of hostile names."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        dict(zip((*COLUMNS, "label"), (TEMPLATES[row % 5], MARKUP[row % 3], row % 11, row % 5, label), strict=True))
        for row, label in enumerate(CLASSES * 20)
    ]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("API_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HOSTNAME", "USER"):
            patch.setenv(name, SECRET)
        outcome = deepen(
            "train", "tabular-classification", "data.jsonl", "--target", "label", "--out", "run", "--steps", "30"
        )
    assert outcome.code == 0, outcome.err
    return folder / "run", outcome.out + outcome.err


def page_of(run: Path) -> str:
    return (run / "report.html").read_text("utf-8")


def test_names_reach_the_report_as_they_are(made) -> None:
    """S13: no template is filled in a second time."""
    text = html.unescape(re.sub(r"<[^>]*>", "", page_of(made[0])))
    for name in (*TEMPLATES[:4], *MARKUP, *FORMULAS):
        assert name in text, name
    assert "uid=" not in text


def test_the_report_holds_no_markup_of_the_data(made) -> None:
    """S20: no script, no handler, no link but those within the page, nothing from elsewhere."""
    tags = Tags()
    tags.feed(page_of(made[0]))
    assert len(tags.seen) > 100
    for tag, attributes in tags.seen:
        assert tag not in ("script", "iframe", "object", "embed", "form", "base", "u"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src"):
                assert (value or "").startswith(("#", "data:")) and "html" not in (value or ""), (tag, name, value)


def test_the_card_holds_no_markup_of_the_data(made) -> None:
    """S14: what is not in a block of code is escaped."""
    card = (made[0] / "README.md").read_text("utf-8")
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", card, flags=re.DOTALL)
    assert not re.search(r"<(script|img|u)\b", outside), outside
    assert not re.search(r"(?<!\\)\]\(javascript:", outside)
    assert "\x1b" not in card and "\u202e" not in card


def test_the_terminal_sees_no_control_characters(made) -> None:
    """S14: neither from training, nor from listing the run, nor from answers."""
    run, seen = made
    seen += deepen("show", run).out
    answered = deepen("predict", run, run.parent / "data.jsonl")
    assert answered.code == 0, answered.err
    assert "\\x1b[31mred" in answered.out
    for text in (
        seen,
        answered.out,
        answered.err,
        deepen("check", "tabular-classification", run.parent / "data.jsonl", "--target", "label").out,
    ):
        assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]


def test_predictions_hold_no_formulas(made, tmp_path: Path) -> None:
    """S14: in a CSV; JSON lines keep the names as they are."""
    run = made[0]
    for ending in ("csv", "jsonl"):
        assert deepen("predict", run, run.parent / "data.jsonl", "--out", tmp_path / f"a.{ending}").code == 0
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
    labels = {json.loads(line)["label"] for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()}
    assert labels <= set(CLASSES)
    assert len(rows) == 20 * len(CLASSES) + 1


def test_nothing_of_the_environment_is_in_the_run(made) -> None:
    """S25: no variable, no name of a machine or user, no path but what the user gave."""
    run, seen = made
    for path in run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert str(run.parent).encode() not in content, path
    assert SECRET not in seen


def test_a_name_in_an_option_is_not_filled_in(tmp_path: Path) -> None:
    """S13: in the sentence about it."""
    for name in (*TEMPLATES, *MARKUP[:1]):
        outcome = deepen("train", "tabular-classification", "tiny", "--model", name, "--out", tmp_path / "run")
        assert outcome.code == 2 and name in outcome.err, outcome.err
