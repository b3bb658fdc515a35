"""The page in a real browser, against a model that does what it is told."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright import sync_api as playwright

from tests.serve.echo import model, served, written

CHROMIUM = "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason=f"there is no browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A server."""
    with served([model(written(tmp_path_factory.mktemp("models") / "echo"))]) as (_, told):
        yield told


@pytest.fixture
def page(browser, told):
    """The page, loaded."""
    found = opened(browser, told)
    yield found
    found.close()


def opened(browser, told, path="", **options):
    found = browser.new_page(**options)
    found.complaints = []
    found.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.on("dialog", lambda dialog: found.complaints.append(dialog.message))
    found.goto(told.address + path)
    return found


def ask(page, text):
    page.fill("textarea", text)
    page.click("#send")


def test_text_is_always_text(page):
    """Names and answers that look like HTML stand there as they are, and nothing of them runs."""
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    page.wait_for_selector("#title:text-is('echo')")
    ask(page, hostile)
    page.wait_for_selector("#answers article")
    assert hostile in page.locator("#answers").inner_text()
    assert "<script>alert(1)</script>" in page.locator("#card").inner_text()
    assert page.locator("#answers script, #answers img, #card script").count() == 0 and page.complaints == []


def test_everything_is_named_for_those_who_do_not_see_it(page):
    page.wait_for_selector("#title:text-is('echo')")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, iframe")]
            .filter((each) => each.offsetParent && !each.labels?.length && !each.textContent.trim() && !each.title)
            .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("html").get_attribute("lang") == "en"
    levels = [each.evaluate("each => +each.tagName[1]") for each in page.locator("h1, h2, h3").all()]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_dark(browser, told, scheme):
    """Contrast of at least 4.5 to 1 (WCAG 2.1, 1.4.3) for every text there is."""
    page = opened(browser, told, color_scheme=scheme)
    page.wait_for_selector("#title:text-is('echo')")
    ask(page, "words")
    page.wait_for_selector("#answers article")
    worst = page.evaluate(
        """() => {
            const light = (colour) => {
                const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
                    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = (each) => {
                for (; each; each = each.parentElement) {
                    const found = getComputedStyle(each).backgroundColor;
                    if (!/, 0\\)$/.test(found) && found !== "transparent") return found;
                }
                return "rgb(255, 255, 255)";
            };
            let worst = [99, ""];
            const all = "h1, h2, h3, p, a, label, button:enabled, td, th, dt, dd, select";
            for (const each of document.querySelectorAll(all)) {
                if (!each.offsetParent || !each.textContent.trim() || each.className === "skip") continue;
                const a = light(getComputedStyle(each).color), b = light(ground(each));
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < worst[0]) worst = [ratio, each.outerHTML];
            }
            return worst;
        }"""
    )
    page.close()
    assert worst[0] >= 4.5, worst


def test_it_speaks_chinese(browser, told):
    page = opened(browser, told, locale="zh-CN")
    page.wait_for_selector("#title:text-is('echo')")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.locator("#send").inner_text() == "回答" and "模型" in page.locator("header").inner_text()
    page.select_option("#language", "en")
    assert page.locator("#send").inner_text() == "Answer"
    page.close()


def test_both_languages_have_every_word(page):
    found = page.evaluate(
        """async () => {
            const text = await (await fetch("/static/words.js")).text();
            const part = (from, to) => text.slice(text.indexOf(from), text.indexOf(to));
            const names = (from, to) => [...part(from, to).matchAll(/(?<=[{,\\s])(\\w+): "/g)]
                .map((each) => each[1]).sort();
            return [names("en: {", "zh: {"), names("zh: {", "let chosen")];
        }"""
    )
    assert found[0] == found[1] and len(found[0]) > 40 and len(set(found[0])) == len(found[0])


def test_trouble_is_said_and_the_button_comes_back(page):
    page.wait_for_selector("#title:text-is('echo')")
    page.click("#send")
    page.wait_for_selector("#message:not([hidden])")
    assert "nothing to answer for" in page.locator("#message").inner_text()
    ask(page, "bad")
    page.wait_for_selector("#answers .message")
    assert "bad is no text" in page.locator("#answers").inner_text()
    assert page.locator("#send").is_enabled() and page.locator("#status").inner_text() == "0 answered, 1 not."


def test_a_double_click_asks_once(page, told):
    page.wait_for_selector("#title:text-is('echo')")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "predict" in request.url else None)
    page.fill("textarea", "sleep 0.4")
    page.dblclick("#send")
    page.wait_for_selector("#answers article")
    assert len(asked) == 1


def test_a_server_that_is_gone_is_said(browser, tmp_path):
    with served([model(written(tmp_path / "echo"))]) as (_, told):
        page = opened(browser, told)
        page.wait_for_selector("#title:text-is('echo')")
    ask(page, "anyone?")
    page.wait_for_selector("#message:not([hidden])")
    assert "does not answer" in page.locator("#message").inner_text() and page.locator("#send").is_enabled()
    page.close()


def test_an_explanation_is_shown_and_cannot_run_anything(page):
    page.wait_for_selector("#title:text-is('echo')")
    ask(page, "why")
    page.click("#answers button")
    page.wait_for_selector("#why:not([hidden])")
    assert page.locator("#explanation").get_attribute("sandbox") == ""
    assert "because" in page.frame_locator("#explanation").locator("body").inner_text()


def test_the_token_behind_the_hash_is_taken_and_leaves_the_address(browser, tmp_path):
    with served([model(written(tmp_path / "echo"))], token="a-token-of-the-test") as (_, told):
        page = opened(browser, told)
        page.wait_for_selector("#token:not([hidden])")
        page.fill("#token-value", "a-token-of-the-test")
        page.keyboard.press("Enter")
        page.wait_for_selector("#title:text-is('echo')")
        page.close()
        page = opened(browser, told, "#token=a-token-of-the-test")
        page.wait_for_selector("#title:text-is('echo')")
        assert "token" not in page.url
        page.close()


PICTURES = {
    "name": "image",
    "kind": "picture",
    "choices": [],
    "size": [28, 28],
    "channels": 1,
    "instead": "",
    "example": "",
}


def with_pictures(browser, told):
    """The page of a run that reads pictures: its description says so; no answer is asked for."""
    page = browser.new_page()
    about = {
        "run": "echo",
        "task": "t",
        "model": "m",
        "version": "v",
        "ready": True,
        "explains": False,
        "card": {"metrics": {}, "parameters": 1, "labels": [], "target": "", "split": ""},
        "fields": [PICTURES],
        "limits": {"max_rows": 5, "max_body_bytes": 1 << 20},
    }
    page.route("**/v1/schema*", lambda route: route.fulfill(json=about))
    page.goto(told.address)
    page.wait_for_selector(".drop")
    return page


def test_files_that_cannot_be_sent_are_said_before_they_are(browser, told):
    page = with_pictures(browser, told)
    said = page.locator(".drop + .message")
    file = {"name": "large.png", "mimeType": "image/png", "buffer": b"x" * (2 << 20)}
    page.set_input_files("input[type=file]", [file])
    assert "more than 1 MiB" in said.inner_text()
    small = {"name": "a.png", "mimeType": "image/png", "buffer": b"x"}
    page.set_input_files("input[type=file]", [small] * 100)
    assert "100 at once; at most 5" in said.inner_text()
    page.set_input_files("input[type=file]", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"}])
    assert "a.txt is no picture" in said.inner_text()
    page.set_input_files("input[type=file]", [small])
    assert said.is_hidden() and page.locator(".shown li").count() == 1
    page.close()


def test_a_drawing_can_be_made_with_the_keyboard(browser, told):
    page = with_pictures(browser, told)
    sent = []
    page.route(
        "**/v1/predict*",
        lambda route: (sent.append(route.request.post_data_buffer), route.fulfill(json={"results": []})),
    )
    page.click("summary")
    page.locator("canvas").focus()
    for key in (" ", "ArrowRight", "ArrowRight", "ArrowDown", " "):
        page.keyboard.press(key)
    page.click("#send")
    page.wait_for_selector("#status:text-is('0 answered.')")
    assert len(sent) == 1 and b"\x89PNG" in sent[0] and b'name="image"' in sent[0]
    page.click("text=Wipe the drawing")
    page.click("#send")
    page.wait_for_selector("#message:not([hidden])")
    assert "draw a picture" in page.locator("#message").inner_text() and len(sent) == 1
    page.close()
