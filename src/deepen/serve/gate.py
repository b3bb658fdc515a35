"""What every request passes before it reaches a route: who may ask, how, and what is said and counted about it.

Host           one of the allowed names, else 421, so that no other site's name can lead here (DNS rebinding)
Origin         none, or this server's own, for everything that computes, else 403; there are no CORS headers
token          `Authorization: Bearer ...`, compared in constant time, else 401; not for the page and for health
answers        headers that let a browser load nothing from elsewhere, guess no types, and keep nothing
refusals       429 is held back for a while, so that clients who come again at once cannot take all the time
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deepen.core.clock import Stopwatch
from deepen.core.jsontext import json_text
from deepen.serve.limits import host_of
from deepen.serve.metrics import Metrics
from deepen.serve.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
    (b"cache-control", b"no-store"),
]
PUBLIC = ("/", "/healthz", "/readyz", "/docs")  # the page itself holds nothing that its visitors may not see
PUBLIC_BELOW = ("/static/", "/v1/explanations/")  # the latter have names that cannot be guessed
SHORTEST_HOLD, LONGEST_HOLD = 0.25, 2.0
REFUSALS_A_SECOND = 200
LINGER_SECONDS = 1.0
UNKNOWN = "other"
GONE = 499  # the client left before there was an answer


class Hold:
    """Refusals that wait, the longer the more there are, so that at most 200 a second go out in a storm."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._count = 0

    async def wait(self) -> None:
        """Some time, at least a quarter of a second and at most two."""
        self._count += 1
        self._metrics.held.set(self._count)
        try:
            await asyncio.sleep(min(LONGEST_HOLD, max(SHORTEST_HOLD, self._count / REFUSALS_A_SECOND)))
        finally:
            self._count -= 1
            self._metrics.held.set(self._count)


class Gate:
    """The ASGI application around the routes."""

    def __init__(
        self, app: App, *, hosts: frozenset[str], token: str, routes: frozenset[str], metrics: Metrics
    ) -> None:
        self._app, self._hosts, self._token, self._metrics = app, hosts, token.encode(), metrics
        self._routes = routes
        self._hold = Hold(metrics)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch, said = Stopwatch(), _Said(send)
        scope["state"] = {**scope.get("state", {}), "hold": self._hold}
        try:
            self._check(scope)
            await self._app(scope, receive, said)
        except Problem as problem:
            await told(problem, scope, receive, said)
        except Exception as error:  # a fault of ours: the client gets its number, the log the rest
            print(f"deepen: request {id_of(scope)} failed", file=sys.stderr)
            traceback.print_exception(error, file=sys.stderr)
        finally:
            route = scope["path"] if scope["path"] in self._routes else _below(scope["path"])
            self._metrics.request(route, scope["method"], said.status or GONE, watch.seconds())

    def _check(self, scope: Any) -> None:
        headers = dict(scope["headers"])
        if host_of(headers.get(b"host", b"").decode("latin-1")) not in self._hosts:
            raise Problem(421, "this server is not known by that name; --allowed-hosts adds one.", closes=True)
        if scope["method"] not in ("GET", "HEAD"):
            _check_origin(headers)
        if self._token and not _is_public(scope["path"]):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise Problem(
                    401,
                    "a token is needed: Authorization: Bearer TOKEN.",
                    {"www-authenticate": "Bearer"},
                    closes=scope["method"] not in ("GET", "HEAD"),
                )


def id_of(scope: Any) -> str:
    """What a client and the log call a request that failed, made when it is first asked for."""
    state = scope["state"]
    if "id" not in state:
        state["id"] = secrets.token_hex(8)
    return state["id"]


async def told(problem: Problem, scope: Any, receive: Receive, send: Send) -> None:
    """Answers with the problem as JSON; 429 only after a while.

    Where the connection ends with it, what still comes is thrown away for a moment, so that the client reads the answer
    and not that the connection broke.
    """
    if problem.status == 429:
        await scope["state"]["hold"].wait()
    body = json_text({"error": problem.message, "id": id_of(scope)}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
    if problem.closes:
        headers["connection"] = "close"
    encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": problem.closes})
    if problem.closes:
        await _throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Said:
    """`send` with the headers that every answer has, and what its status was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            message = {**message, "headers": [*given, *(each for each in HEADERS if each[0] not in names)]}
        await self._send(message)


def _check_origin(headers: dict[bytes, bytes]) -> None:
    """Raises Problem for what another site's page sends; programs send no Origin."""
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site", b"none")
    own = headers.get(b"host", b"").lower()
    if origin is not None and origin.lower().partition(b"://")[2] != own:
        raise Problem(403, "requests from pages of other sites are not answered.", closes=True)
    if site not in (b"none", b"same-origin"):
        raise Problem(403, "requests from pages of other sites are not answered.", closes=True)


def _below(path: str) -> str:
    """The label of a route with a name in it."""
    return next((f"{start}NAME" for start in PUBLIC_BELOW if path.startswith(start)), UNKNOWN)


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(PUBLIC_BELOW)


async def _throw_away(receive: Receive) -> None:
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
