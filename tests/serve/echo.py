"""A model without torch, for tests of the server: it says back what it was asked, or does what the text tells it to.

a text        {"source", "said": the text, "length"}
sleep 0.3     the same after so many seconds
raise         an exception in answering
bad           a fault of the row, found in preparing
nan           an answer with NaN
abort         the process ends with SIGABRT
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from deepen.core.errors import DataError
from deepen.serve.answering import About, Outcome, Row
from deepen.serve.keeper import Model
from deepen.serve.limits import ServeOptions
from deepen.serve.process import Command
from deepen.serve.server import Server, Told
from deepen.serve.worker import work

ROOT = Path(__file__).resolve().parents[2]
FIELD = {"name": "text", "kind": "text", "choices": [], "size": None, "channels": 0, "instead": "", "example": ""}


def fields(**kinds: str) -> list[dict[str, Any]]:
    """Fields by name and kind, for a model that reads more than a text."""
    return [{**FIELD, "name": name, "kind": kind} for name, kind in kinds.items()]


class Echo:
    """Answers with what it was given; `fields` in its file says what that consists of, a text by default."""

    def __init__(self, folder: str, batch_seconds: float, row_seconds: float) -> None:
        told = json.loads(Path(folder, "model.json").read_text())
        if "broken" in told:
            raise DataError("model.json is broken")
        self.version, self._batch, self._row = told["version"], batch_seconds, row_seconds
        card = {"split": "", "metrics": {}, "parameters": 0, "labels": ["<script>alert(1)</script>"], "target": ""}
        self.about = About(told["task"], "echo", self.version, told.get("fields", [FIELD]), card, explains=True)

    def prepare(self, rows: Sequence[Row]) -> list[str]:
        texts = [str(row.get("text", row)) for row in rows]
        if "bad" in texts:
            raise DataError("bad is no text.")
        return texts

    def answer(self, prepared: list[str]) -> list[Outcome]:
        time.sleep(self._batch + self._row * len(prepared))
        return [self._one(text) for text in prepared]

    def _one(self, text: str) -> Outcome:
        if text.startswith("sleep "):
            time.sleep(float(text.split()[1]))
        if text == "raise":
            raise ValueError("planted, with /a/path")
        if text == "abort":
            os.abort()
        value = float("nan") if text == "nan" else float(len(text))
        return Outcome({"source": "rows", "said": text, "length": value, "of": self.version})

    def explain(self, row: Row) -> str:
        return "<p>because</p>"

    def example(self) -> Row:
        return {"text": "example"}


def main(folder: str, batch_seconds: float, row_seconds: float, batch_size: int) -> None:
    """What a worker does."""
    work(lambda: Echo(folder, batch_seconds, row_seconds), batch_size=batch_size)


def written(folder: Path, version: str = "one", **more: Any) -> Path:
    """A folder with such a model, replaced by a rename."""
    folder.mkdir(exist_ok=True)
    (folder / ".next").write_text(json.dumps({"version": version, "task": "echo", **more}))
    os.replace(folder / ".next", folder / "model.json")
    return folder


def model(folder: Path, *, batch_seconds: float = 0.0, row_seconds: float = 0.0, batch_size: int = 8) -> Model:
    """Such a model to serve."""
    arguments = (str(folder), batch_seconds, row_seconds, batch_size)
    code = f"import sys; sys.path[:] = {[*filter(None, sys.path), str(ROOT)]!r}; from tests.serve.echo import main; "
    command = Command((sys.executable, "-I", "-c", f"{code}main(*{arguments!r})"))
    return Model(folder.name, folder, ("model.json",), command, command)


class Client:
    """One connection to a server."""

    def __init__(self, told: Told, token: str = "") -> None:
        self.port = told.port
        self.connection = http.client.HTTPConnection("127.0.0.1", told.port, timeout=30)
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, what was said (from JSON where it is such), and the headers."""
        try:
            self.connection.request(method, path, body, {**self.headers, **(headers or {})})
            response = self.connection.getresponse()
            said = response.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
        found = {name.lower(): value for name, value in response.getheaders()}
        is_json = found.get("content-type", "").startswith("application/json")
        return response.status, json.loads(said) if is_json else said, found

    def predict(self, *texts: Any, run: str = "", **headers: str) -> tuple[int, Any, dict[str, str]]:
        """An answer for each text."""
        kind = {"content-type": "application/json", **headers}
        return self.ask("POST", f"/v1/predict?run={run}" if run else "/v1/predict", json.dumps({"rows": texts}), kind)


@contextlib.contextmanager
def served(models: Sequence[Model], said: list[str] | None = None, **options: Any) -> Generator[tuple[Server, Told]]:
    """A server on a thread."""
    ready: queue.Queue[Any] = queue.Queue()
    lines = said if said is not None else []
    server = Server(models, ServeOptions(**{"port": 0, **options}), lines.append, ready.put)

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    told = ready.get(timeout=60)
    if isinstance(told, BaseException):
        raise told
    try:
        yield server, told
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
