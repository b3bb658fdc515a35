"""A server's life: it binds, loads, answers, and at SIGTERM ends what it began.

SIGTERM or Ctrl-C: /readyz says no and new requests get 503 at once; what was begun is answered, for at most
`drain_seconds`; then every one that still waits gets 503, and the server ends with 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import uvicorn
import uvloop

from deepen.core.errors import OptionError, RunError
from deepen.serve.connection import Doorkeeper
from deepen.serve.http import application
from deepen.serve.keeper import Keeper, Model, logged
from deepen.serve.limits import ServeOptions, connections_possible, token_of
from deepen.serve.metrics import Metrics
from deepen.serve.problems import Problem
from deepen.serve.process import NotReady

BACKLOG = 1024
ENDING = "this server ends; ask another one."
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Told:
    """What is said when a server is ready: where it listens, and the token if it was made up here."""

    address: str
    port: int
    token: str = ""


@dataclass
class Server:
    """One server. `run` returns when it has ended; `stop` ends it from any thread."""

    models: Sequence[Model]
    options: ServeOptions
    say: Callable[[str], None]
    on_ready: Callable[[Told], None]
    _loop: asyncio.AbstractEventLoop | None = None
    _http: _Uvicorn | None = None
    _wishes: int = 0
    _keeper: Keeper | None = None
    _draining: asyncio.Task[None] | None = field(default=None)

    def run(self) -> None:
        """Serves. Raises OptionError where it cannot listen there, RunError where a run cannot be loaded."""
        token, is_made_up = token_of(self.options)
        listening = bound(self.options)
        try:
            uvloop.run(self._serve(listening, token, is_made_up))
        finally:
            listening.close()

    def stop(self) -> None:
        """As SIGTERM does."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._wish)

    async def _serve(self, listening: socket.socket, token: str, is_made_up: bool) -> None:
        self._loop = asyncio.get_running_loop()
        metrics = Metrics()
        keeper = self._keeper = Keeper(list(self.models), self.options, metrics, lambda text: self.say(logged(text)))
        opening = asyncio.ensure_future(keeper.open())
        try:
            with self._signals(opening):
                try:
                    await opening
                except NotReady as reason:
                    raise RunError(str(reason)) from None
                except asyncio.CancelledError:
                    return
                await self._answer(listening, keeper, metrics, token, is_made_up)
        finally:
            await keeper.close()

    async def _answer(
        self, listening: socket.socket, keeper: Keeper, metrics: Metrics, token: str, is_made_up: bool
    ) -> None:
        doors = Doorkeeper(self.options, connections_possible(self.options.max_connections))
        config = uvicorn.Config(
            application(keeper, self.options, metrics, token=token),
            http=doors.protocol,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=max(1, round(self.options.idle_seconds)),
            timeout_graceful_shutdown=2,
        )
        _quiet(self.say)
        self._http = _Uvicorn(config)
        told = Told(address_of(listening), listening.getsockname()[1], token if is_made_up else "")
        if self._wishes:
            return
        serving = asyncio.ensure_future(self._http.serve([listening]))
        while not self._http.started and not serving.done():
            await asyncio.sleep(0.005)
        self.on_ready(told)
        await serving

    @contextlib.contextmanager
    def _signals(self, opening: asyncio.Future[None]) -> Generator[None, None, None]:
        """Signals come here while the server lives, where this thread may have them."""
        loop = asyncio.get_running_loop()
        is_main = threading.current_thread() is threading.main_thread()

        def asked() -> None:
            if not opening.done():
                opening.cancel()
            self._wish()

        for number in SIGNALS if is_main else ():
            loop.add_signal_handler(number, asked)
        try:
            yield
        finally:
            for number in SIGNALS if is_main else ():
                loop.remove_signal_handler(number)

    def _wish(self) -> None:
        self._wishes += 1
        if self._wishes == 1 and self._keeper is not None:
            self._keeper.drain()
            self._draining = asyncio.ensure_future(self._drain())
        elif self._http is not None:
            self._end()

    async def _drain(self) -> None:
        assert self._keeper is not None
        loop = asyncio.get_running_loop()
        until = loop.time() + self.options.drain_seconds
        while self._keeper.num_held and loop.time() < until:
            await asyncio.sleep(0.02)
        self._end()

    def _end(self) -> None:
        assert self._keeper is not None
        for kept in self._keeper.kept.values():
            kept.lane.fail_everyone(Problem(503, ENDING, {"retry-after": "5"}, closes=True))
        if self._http is not None:
            self._http.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn without signal handlers of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves them to whoever has them."""
        yield


def bound(options: ServeOptions) -> socket.socket:
    """A listening socket. Raises OptionError, naming host and port, where the system does not give it."""
    place = f"--host {options.host} --port {options.port}"
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not an address"
        raise OptionError(f"{place}: no address to listen on ({reason.lower()}); try --host 127.0.0.1.") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        mend = "--port 0 takes a free one." if options.port else "try --host 127.0.0.1."
        reason = (error.strerror or str(error)).lower()
        raise OptionError(f"{place}: cannot listen there ({reason}); {mend}") from None
    return made


def address_of(listening: socket.socket) -> str:
    """Where a browser finds it.

    The address of all interfaces is none that a browser can go to; this machine's own stands for it.
    """
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _quiet(say: Callable[[str], None]) -> None:
    """uvicorn's errors, and only those, as lines of our log."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(logged(record.getMessage()))

    logger = logging.getLogger("uvicorn.error")
    logger.handlers[:] = [Handler(logging.ERROR)]
    logger.setLevel(logging.ERROR)
    logger.propagate = False
