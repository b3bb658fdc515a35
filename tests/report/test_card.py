from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepen.report.card import card, escaped, fenced, write_card
from deepen.report.content import ReportContent
from deepen.report.wording import visible
from tests.report.contents import HOSTILE, hostile, plain

markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")


def _tokens(text: str) -> list:
    tokens = markdown.MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)
    return [each for token in tokens for each in (token, *(token.children or []))]


def _body(text: str) -> str:
    return text.split("\n---\n", 1)[1]


def test_front_matter_is_yaml_of_json_values():
    lines = card(plain()).split("\n")
    assert lines[0] == "---"
    values = dict(line.split(": ", 1) for line in lines[2 : lines.index("---", 1)])
    assert json.loads(values["tags"]) == ["deepen", "some-task", "lenet"]
    metric = json.loads(values["model-index"])[0]["results"][0]["metrics"][0]
    assert metric == {"type": "accuracy", "value": 0.9593, "name": "accuracy (test)"}


def test_hostile_front_matter_stays_in_its_lines():
    lines = card(hostile()).split("\n")
    front = lines[1 : lines.index("---", 1)]
    assert [line.split(":", 1)[0] for line in front] == ["library_name", "tags", "model_name", "model-index"]
    assert json.loads(front[2].split(": ", 1)[1]) == HOSTILE[0]


def test_the_card_says_what_it_should():
    text = card(plain())
    for words in (
        "Its accuracy on test is **0.9593** (95 %: 0.9283 to 0.9795).",
        "| accuracy | 0.9593 (0.9283 to 0.9795) | 0.9700 |",
        "- labels.csv, row 7: something to look at.",
        "```sh\ndeepen predict runs/digits-lenet FILE\n```",
        "- parameters: 61,706",
        "- Split: split with seed 0: 1,257 train, 270 val, 270 test",
    ):
        assert words in text, words


def test_hostile_names_become_neither_html_nor_links_nor_headings():
    """S14: in a Markdown reader the card has the same blocks as one with plain names."""
    tokens = _tokens(_body(card(hostile())))
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "strong_close_x", "s_open", "em_open", "hr"}
    assert not kinds & {"code_block", "ordered_list_open", "blockquote_open", "code_inline"}
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1
    nested = [token.level for token in tokens if token.type == "bullet_list_open"]
    assert set(nested) == {0}


@pytest.mark.parametrize("name", HOSTILE)
def test_escaped_text_reads_as_it_is(name: str):
    inline = _tokens(f"said {escaped(name)} end")
    text = "".join(token.content for token in inline if token.type in ("text", "text_special"))
    assert " ".join(text.split()) == " ".join(f"said {visible(name)} end".split())


def test_code_is_fenced_by_more_backticks_than_it_holds():
    tokens = _tokens(fenced(["echo ``` x", "````", "line\nbreak"]))
    (block,) = [token for token in tokens if token.type == "fence"]
    assert block.content == "echo ``` x\n````\nline\\nbreak\n"
    assert fenced([]) == ""


def test_a_run_without_anything_has_a_card():
    text = card(ReportContent("empty", "some-task", "lenet", status="interrupted in epoch 1"))
    assert "Training did not end as planned: interrupted in epoch 1." in text
    assert "## Figures" not in text


def test_a_figure_that_is_not_a_number_is_kept_out_of_the_front_matter():
    text = card(ReportContent("t", "k", "m", metrics={"test": {"rmse": float("nan")}}, objective=("rmse", "min")))
    assert "model-index" not in text
    assert "**not a number**" in text


def test_write_card_writes_readme(tmp_path: Path):
    path = write_card(tmp_path, hostile())
    assert path.name == "README.md"
    assert path.read_bytes().decode() == card(hostile())
