"""Promises that every task keeps when it is served, found by looking, without naming any."""

from __future__ import annotations

import base64
import dataclasses
import json
import os

import pyarrow as pa
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from deepen.core import names
from deepen.prepare.image import encode_png
from deepen.prepare.image_guard import guarded
from deepen.verbs.loaded import loaded
from deepen.verbs.options import task_module
from deepen.verbs.predict import answers
from deepen.verbs.run_answers import RunAnswers
from deepen.verbs.train import train
from tests.serve.echo import Client
from tests.serve.inside import served_inside

TASKS = sorted(names.tasks())
CHROMIUM = "/usr/bin/chromium"
ROWS = 7
pytestmark = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run per task after a single epoch on its tiny data."""
    return {
        task: train(task, "tiny", {"epochs": 1}, out=tmp_path_factory.mktemp("runs") / task).folder for task in TASKS
    }


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    """All of them served."""
    made = {task: lambda folder=folder: RunAnswers(loaded(folder), max_pixels=10**6) for task, folder in runs.items()}
    with guarded(), served_inside(made, tmp_path_factory.mktemp("sockets")) as told:
        yield told


@pytest.fixture(scope="module")
def browser():
    """A real Chromium, where there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not os.path.exists(CHROMIUM):
        # .ci/run installs the browser; elsewhere the page's other tests still hold
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def table_of(task):
    return next(iter(task_module(task).TINY.make(0).tables.values()))


def cell(table, name, row):
    """A cell as one would send it in JSON; a picture as the bytes of a PNG file."""
    column = table.column(name)
    if isinstance(column.type, pa.FixedShapeTensorType):
        return encode_png(column.combine_chunks().to_numpy_ndarray()[row])
    return column[row].as_py()


def fields_of(server, task):
    return Client(server).ask("GET", f"/v1/schema?run={task}")[1]["fields"]


def rows_of(server, task, count=ROWS):
    table, fields = table_of(task), fields_of(server, task)
    return [{field["name"]: cell(table, field["name"], row) for field in fields} for row in range(count)]


def as_json(row):
    return {name: base64.b64encode(each).decode() if isinstance(each, bytes) else each for name, each in row.items()}


def close(a, b):
    """Equal but for rounding: a batch of another size may add in another order."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b, rel=1e-4, abs=1e-6) if isinstance(a, float) else a == b


def test_served_answers_are_those_of_predict(task, runs, server):
    sources = table_of(task).column("source").to_pylist()[:ROWS]
    predicted = list(answers(loaded(runs[task]), ["tiny"], {}))[:ROWS]
    rows = rows_of(server, task)
    body = json.dumps({"rows": [as_json(row) for row in rows]})
    code, said, _ = Client(server).ask("POST", f"/v1/predict?run={task}", body, {"content-type": "application/json"})
    assert code == 200, said
    for source, before, result in zip(sources, predicted, said["results"], strict=True):
        assert before.source.startswith(source)
        wanted = json.loads(json.dumps(vars_of(before)))
        answer = {name: value for name, value in result["answer"].items() if name != "source"}
        assert close(answer, wanted), (answer, wanted)
    alone = json.dumps({"rows": [as_json(rows[3])]})
    _, one, _ = Client(server).ask("POST", f"/v1/predict?run={task}", alone, {"content-type": "application/json"})
    assert close(one["results"][0]["answer"] | {"source": ""}, said["results"][3]["answer"] | {"source": ""})


def vars_of(answer):
    return {name: value for name, value in dataclasses.asdict(answer).items() if name != "source"}


def test_a_bad_row_among_good_ones_is_its_own_error(task, server):
    rows = [as_json(row) for row in rows_of(server, task, 3)]
    name = fields_of(server, task)[0]["name"]
    body = json.dumps({"rows": [rows[0], {**rows[1], name: {"odd": 1}}, {}, rows[2]]})
    code, said, _ = Client(server).ask("POST", f"/v1/predict?run={task}", body, {"content-type": "application/json"})
    assert code == 200
    assert ["answer" in each for each in said["results"]] == [True, False, False, True]
    assert all(len(each["error"]) < 400 for each in said["results"] if "error" in each)


def test_the_page_answers_for_a_person_at_a_keyboard(task, server, browser, tmp_path):
    """Chosen, filled in and sent without a pointer; nothing is loaded from elsewhere, nothing is complained about."""
    row, fields = rows_of(server, task, 1)[0], fields_of(server, task)
    page = browser.new_page()
    outside, complaints = [], []
    page.on("request", lambda request: outside.append(request.url) if server.address not in request.url else None)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(server.address)
    page.wait_for_selector("#title:not(:empty)")
    page.select_option("#run", task)
    page.wait_for_selector(f"#title:text-is('{task}')")
    for field in fields:
        value = row[field["name"]]
        if field["kind"] == "picture":
            picture = tmp_path / "picture.png"
            picture.write_bytes(value)
            page.set_input_files("input[type=file]", str(picture))
            continue
        control = page.get_by_label(field["name"], exact=True)
        text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value).strip()
        if control.evaluate("each => each.tagName") == "SELECT":
            control.select_option(text)
        else:
            control.fill(text)
    page.locator("#send").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#answers article", timeout=60_000)
    assert page.locator("#answers article").count() == 1
    assert page.locator("#answers .message").count() == 0, page.locator("#answers").inner_text()
    assert page.locator("#status").inner_text() == "1 answered."
    assert page.locator("#message").is_hidden()
    page.close()
    assert [url for url in outside if not url.startswith(("blob:", "data:"))] == [] and complaints == []
