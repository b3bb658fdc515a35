from __future__ import annotations

import base64
import hashlib
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepen.core.errors import DeepenError
from deepen.report.content import ReportContent
from deepen.report.html import render, write_report
from tests.report.contents import hostile, plain

CHROMIUM = "/usr/bin/chromium"


def test_the_first_screen_says_what_how_good_and_how_fast():
    head = render(plain()).split("<main", 1)[0]
    for words in ("digits-lenet", "some-task", "lenet", "0.9593", "0.9283 to 0.9795", "2 min 5 s", "1,234/s", "61,706"):
        assert words in head, words


def test_everything_of_the_content_is_on_the_page():
    page = render(plain())
    for words in (
        "1,257 train, 270 val, 270 test",
        "3f0c9b2e",
        "labels.csv, row 7: something to look at.",
        "2 duplicates were kept on one side.",
        "deepen train some-task digits --model lenet",
        "optimizer.learning_rate",
        "0.9, 0.999",
        "2.13.0",
        "deepen predict runs/digits-lenet FILE",
        "chose the weights",
    ):
        assert words in page, words


def test_the_same_content_gives_the_same_page():
    assert render(plain()) == render(plain())


def test_a_run_without_anything_still_has_a_page():
    page = render(ReportContent("empty", "some-task", "lenet", status="interrupted in epoch 1"))
    assert "interrupted in epoch 1" in page
    assert "Warnings" not in page


def test_no_script_and_a_policy_that_knows_the_style():
    page = render(hostile())
    assert "<script" not in page.casefold()
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in page
    assert "default-src &#39;none&#39;" in page
    assert " style=" not in page


def test_headings_go_down_one_level_at_a_time_and_ids_are_unique():
    page = render(plain())
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_write_report_puts_the_page_in_the_folder(tmp_path: Path):
    path = write_report(tmp_path, hostile())
    assert path.read_bytes().decode() == render(hostile())
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_folder_that_is_not_there_is_the_users_fault(tmp_path: Path):
    with pytest.raises(DeepenError, match="absent"):
        write_report(tmp_path / "absent", plain())


@pytest.fixture(scope="module")
def browser() -> Any:
    """A Chromium, or a skipped test that says what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not os.path.exists(CHROMIUM):
        # .ci/run installs the browser; elsewhere the page's text is still tested
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_names_in_a_browser(browser: Any, tmp_path: Path, scheme: str, width: int):
    """S20, S21: no dialog, no console message, no request but for the page itself, nothing wider than the window."""
    path = write_report(tmp_path, hostile())
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    told: list[str] = []
    page.on("dialog", lambda dialog: (told.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: told.append(f"console {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error {error}"))
    page.on("request", lambda request: told.append(f"request {request.url[:80]}"))
    page.goto(path.as_uri())
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.mouse.move(width / 2, 400)
    inside = page.evaluate("document.documentElement.scrollWidth")
    foreign = page.evaluate("document.querySelectorAll('script, iframe, object, embed, [onerror], [onload]').length")
    context.close()
    assert [line for line in told if not line.startswith("request data:")] == [f"request {path.as_uri()[:80]}"]
    assert foreign == 0
    assert inside == width
