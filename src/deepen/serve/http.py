"""The routes: answers, what rows consist of, explanations, the page, health and figures."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from deepen.core.jsontext import json_text
from deepen.serve import openapi, page
from deepen.serve.batcher import TOO_LATE
from deepen.serve.gate import GONE, App, Gate, Receive, told
from deepen.serve.keeper import Keeper, Kept
from deepen.serve.limits import ServeOptions, allowed_hosts
from deepen.serve.metrics import CONTENT_TYPE, Metrics
from deepen.serve.problems import Left, Problem
from deepen.serve.process import Reply
from deepen.serve.reading import Bodies
from deepen.serve.rows import Wanted, media_type, wanted

MOST_EXPLANATIONS = 32
PARSED_ASIDE_FROM = 256 << 10  # larger bodies are taken apart on a thread, so that others are answered meanwhile
NOTHING = "nothing is here; /docs lists what there is."
FAULT = "the model failed on this row; the log has it."
EXPLANATION_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'; sandbox"
)


def application(keeper: Keeper, options: ServeOptions, metrics: Metrics, *, token: str) -> App:
    """All routes behind the gate."""
    app = FastAPI(title="deepen", version="1", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _Routes(keeper, options, metrics).add(app)
    for kind in (Problem, Left, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _told)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return Gate(app, hosts=allowed_hosts(options), token=token, routes=paths, metrics=metrics)


class _Told(Response):
    """The answer to a request that gets none."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(status_code=problem.status)
        self._problem = problem

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await told(self._problem, scope, receive, send)


async def _told(_request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return _Told(error)
    if isinstance(error, Left):
        return Response(status_code=GONE)
    if isinstance(error, HTTPException):
        known = {404: NOTHING, 405: "this is not asked for in that way; /docs says how."}
        return _Told(
            Problem(error.status_code, known.get(error.status_code, "not possible."), dict(error.headers or {}))
        )
    if isinstance(error, RequestValidationError):
        return _Told(Problem(422, "the address: a parameter is not what it should be; /docs lists them."))
    return _Told(Problem(500, "a fault of this server; its log has it by the id."))


class _Routes:
    """The handlers of one server."""

    def __init__(self, keeper: Keeper, options: ServeOptions, metrics: Metrics) -> None:
        self._keeper, self._options, self._metrics = keeper, options, metrics
        self._bodies = Bodies(options)
        self._explanations: OrderedDict[str, bytes] = OrderedDict()

    def add(self, app: FastAPI) -> None:
        """Puts every route into the application.

        Those under load come first and take the request as it is: to find them behind the others, and parameters that
        they have none of, would take a third of the time that a small request costs.
        """
        for path, handler in {"/v1/predict": self.predict, "/v1/explain": self.explain}.items():
            app.add_route(path, handler, methods=["POST"])
        for path, handler in {
            "/": self.page,
            "/static/{name}": self.static,
            "/docs": self.docs,
            "/openapi.json": self.openapi,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/v1/runs": self.runs,
            "/v1/schema": self.schema,
            "/v1/explanations/{name}": self.explanation,
        }.items():
            app.add_api_route(path, handler, methods=["GET"])

    async def predict(self, request: Request) -> Response:
        """An answer or an error for each row, by position."""
        async with self._entered(request) as (kept, asked):
            places = [place for place, row in enumerate(asked.rows) if row is not None]
            good = [row for row in asked.rows if row is not None]
            if not good:
                return _results(kept, asked, Reply([], []), kept.worker.about.version, self._metrics)
            ask = kept.lane.put(good, places)
            try:
                reply, version = await _unless_left(request.receive, ask.future, ask.due)
            finally:
                kept.lane.drop(ask)
            return _results(kept, asked, reply, version, self._metrics)

    async def explain(self, request: Request) -> Response:
        """A page on what the answer to one row comes from, kept for a while under a name that cannot be guessed."""
        async with self._entered(request) as (kept, asked):
            if len(asked.rows) != 1:
                raise Problem(422, f"{len(asked.rows)} rows; expected one to explain.")
            if asked.rows[0] is None:
                raise Problem(422, f"rows[0]: {asked.errors[0]}")
            making = asyncio.ensure_future(self._keeper.explain(kept, asked.rows[0]))
            try:
                reply = await _unless_left(request.receive, making, None)
            finally:
                making.cancel()
        if reply.outcomes[0] != "page":
            status = 422 if reply.outcomes[0] == "error" else 500
            raise Problem(status, reply.blobs[0].decode("utf-8", "replace"))
        name = secrets.token_urlsafe(24)
        self._explanations[name] = reply.blobs[0]
        while len(self._explanations) > MOST_EXPLANATIONS:
            self._explanations.popitem(last=False)
        return _json({"page": f"/v1/explanations/{name}"})

    async def explanation(self, name: str) -> Response:
        """One that was made lately."""
        if name not in self._explanations:
            raise Problem(404, "this explanation is not kept any more; ask for it again.")
        headers = {"content-security-policy": EXPLANATION_POLICY}
        return Response(self._explanations[name], media_type="text/html", headers=headers)

    @asynccontextmanager
    async def _entered(self, request: Request) -> AsyncIterator[tuple[Kept, Wanted]]:
        """The run that is meant and the rows of the body; what can be refused before the body is read, is."""
        kept = self._keeper.named(_run_of(request))
        headers = dict(request.scope["headers"])
        kind = headers.get(b"content-type", b"").decode("latin-1")
        media_type(kind)
        self._bodies.expected(headers)
        client = request.client.host if request.client else ""
        kept.lane.enter(client)
        try:
            try:
                body = await self._bodies.read(headers, request.receive)
                given, most = (body, kind, kept.worker.fields), self._options.max_rows
                if len(body) < PARSED_ASIDE_FROM:
                    asked = wanted(*given, max_rows=most)
                else:
                    asked = await asyncio.to_thread(wanted, *given, max_rows=most)
            finally:
                kept.lane.has_read()
            yield kept, asked
        finally:
            kept.lane.leave(client)

    async def schema(self, request: Request) -> Response:
        """What a row of a run consists of, what it is, and what it answers."""
        kept = self._keeper.named(_run_of(request))
        return _json({**_about(kept), "fields": kept.worker.about.fields, "limits": self._limits()})

    async def runs(self) -> Response:
        """All runs here, the first of them answers where none is named."""
        return _json({"runs": [_about(kept) for kept in self._keeper.kept.values()]})

    async def healthz(self) -> Response:
        """The process lives."""
        return _json({"status": "alive"})

    async def readyz(self) -> Response:
        """Every run is loaded and warm, and the server does not end."""
        ready = self._keeper.is_ready
        states = {name: "ready" if kept.lane.is_ready else "not ready" for name, kept in self._keeper.kept.items()}
        return _json({"status": "ready" if ready else "not ready", "runs": states}, 200 if ready else 503)

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def page(self) -> Response:
        """The page for people."""
        return _file(page.INDEX)

    async def static(self, name: str) -> Response:
        """What the page consists of; the names are those that there are, never a path."""
        if name not in page.FILES:
            raise Problem(404, NOTHING)
        return _file(name)

    async def docs(self) -> Response:
        """The routes and their forms for people."""
        return Response(page.docs(self._document()), media_type="text/html")

    async def openapi(self) -> Response:
        """The same for programs, in OpenAPI 3.1."""
        return _json(self._document())

    def _document(self) -> dict[str, Any]:
        runs = {name: kept.worker for name, kept in self._keeper.kept.items()}
        return openapi.document({name: worker.fields for name, worker in runs.items()}, self._options)

    def _limits(self) -> dict[str, Any]:
        return {"max_rows": self._options.max_rows, "max_body_bytes": self._options.max_body_bytes}


def _run_of(request: Request) -> str:
    """The run that the address names, "" where it names none."""
    return request.query_params.get("run", "") if request.scope["query_string"] else ""


async def _unless_left(receive: Receive, future: asyncio.Future[Any], due: float | None) -> Any:
    """What comes of it. Raises Left where the client goes away first, Problem 504 where its time is over."""
    leaving = asyncio.ensure_future(_left(receive))
    seconds = None if due is None else due - asyncio.get_running_loop().time()
    try:
        await asyncio.wait((future, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
    if future.done():
        return future.result()
    raise Left if leaving.done() else Problem(504, TOO_LATE)


async def _left(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _results(kept: Kept, asked: Wanted, reply: Reply, version: str, metrics: Metrics) -> Response:
    """The rows' answers and errors in their order; 422 where there is no answer at all, 500 if by our fault."""
    found = iter(zip(reply.outcomes, reply.blobs, strict=True))
    parts: list[bytes] = []
    kinds: list[str] = []
    for row, error in zip(asked.rows, asked.errors, strict=True):
        kind, blob = ("error", error.encode("utf-8", "backslashreplace")) if row is None else next(found)
        kinds.append(kind)
        if kind == "answer":
            parts.append(b'{"answer": ' + blob + b"}")
        else:
            text = FAULT if kind == "fault" else blob.decode("utf-8", "replace")
            parts.append(json_text({"error": text}).encode())
    for kind in set(kinds):
        metrics.rows.labels(kept.model.name, kind).inc(kinds.count(kind))
    head = {"run": kept.model.name, "version": version, **({"notes": list(asked.notes)} if asked.notes else {})}
    body = json_text(head).encode()[:-1] + b', "results": [' + b", ".join(parts) + b"]}"
    status = 200 if "answer" in kinds else 422 if "error" in kinds else 500
    return Response(body, status, media_type="application/json")


def _about(kept: Kept) -> dict[str, Any]:
    about = kept.worker.about
    said = {"run": kept.model.name, "task": about.task, "model": about.model, "version": about.version}
    explains = about.explains and kept.model.explainer is not None
    more = {"trouble": kept.trouble} if kept.trouble else {}
    return {**said, "ready": kept.lane.is_ready, "explains": explains, "card": about.card, **more}


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json_text(value), status, media_type="application/json")


def _file(name: str) -> Response:
    content, kind = page.FILES[name]
    return Response(content, media_type=kind, headers={"cache-control": "no-cache"})
