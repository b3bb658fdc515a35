"""Requests for one model, gathered into batches.

A batch goes out as soon as the worker is idle and as many rows wait as are worth it, which is found by measuring. More
are waited for only where they can be expected: clients that were answered just now may ask again at once. So after an
answer the next batch waits until as many requests are there as were then waiting or answered, for as long as those that
are there would take, and `batch_delay_ms` at most. A single client, and whoever comes to an idle server, never waits.
While one batch is computed, a second one that is worth it is sent ahead, just in time to be prepared when the first one
ends (serve/pace.py). Where all clients together make no more than one batch, for which the worker would have to wait,
they make two that take turns. The rows of a request are never split over two batches, so that one version of the model
answers all of them.

    queue     a bounded number of rows; who finds it full is told at once for how long (429), before the body is read
    deadline  who waited longer gets 504, and is not computed
    a crash   of the worker: the requests that it held are asked again, each alone; who crashes it alone gets 500
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deepen.core.clock import Stopwatch
from deepen.serve.answering import Row
from deepen.serve.limits import ServeOptions
from deepen.serve.metrics import Metrics
from deepen.serve.pace import Pace
from deepen.serve.problems import Problem, busy
from deepen.serve.process import Ended, Reply, WorkerProcess

AHEAD = 2  # batches that a worker may hold: one to compute, one to prepare
SMOOTHING = 0.2
LEAST_QUEUE, MOST_QUEUE = 16, 1024
QUEUE_SECONDS = 0.5
HUNG_SECONDS = 60.0
NOT_READY = "this run cannot answer now; try again later."
TOO_LATE = "not answered within the deadline; try again when there is less to do."
CRASHED = "the model's process ended over this request."


@dataclass(eq=False)
class Ask:
    """A request's rows on their way.

    places  where in the request each row stands
    due     when its deadline ends, by the loop's clock
    alone   asked again after a crash, with nothing else in the batch
    """

    rows: list[Row]
    places: Sequence[int]
    due: float
    future: asyncio.Future[tuple[Reply, str]]
    alone: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()


@dataclass(eq=False)
class Lane:
    """The way of one model's requests. `on_end` is told of a worker that ended by itself."""

    name: str
    options: ServeOptions
    metrics: Metrics
    on_end: Callable[[Lane, WorkerProcess], None]
    worker: WorkerProcess | None = None
    queue: deque[Ask] = field(default_factory=deque)
    num_waiting: int = 0
    num_reading: int = 0
    num_computing: int = 0
    is_draining: bool = False
    by_client: Counter[str] = field(default_factory=Counter)
    _rate: float = 0.0
    _pace: Pace = field(default_factory=lambda: Pace(1.0))
    _expected: int = 1
    _answered_at: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _sent: set[Ask] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.metrics.waiting.labels(self.name).set_function(lambda: self.num_waiting)

    @property
    def is_ready(self) -> bool:
        """Whether there is a worker, loaded and warm."""
        return self.worker is not None and not self.worker.has_ended

    @property
    def capacity(self) -> int:
        """How many rows may wait."""
        if self.options.queue:
            return self.options.queue
        batch = self.worker.batch_size if self.worker else 1
        return min(MOST_QUEUE, max(LEAST_QUEUE, 2 * batch, int(QUEUE_SECONDS * self._rate)))

    @property
    def num_held(self) -> int:
        """Requests and rows that are about: being read, waiting, being computed."""
        return self.num_reading + self.num_waiting + self.num_computing

    def use(self, worker: WorkerProcess) -> WorkerProcess | None:
        """From now on this worker answers; the one before it."""
        before, self.worker, self._pace = self.worker, worker, Pace(worker.rate)
        self._rate = self._rate or worker.rate
        self.pump()
        return before

    def enter(self, client: str) -> None:
        """A request's head is read and it wants to come in. Raises Problem if there is no room; else `leave` it."""
        if self.is_draining:
            raise Problem(503, "this server is about to end; ask another one.", {"retry-after": "5"}, closes=True)
        if not self.is_ready and self.num_reading + self.num_waiting >= LEAST_QUEUE:
            raise Problem(503, NOT_READY, {"retry-after": "2"})
        if self.num_reading + self.num_waiting >= self.capacity:
            raise busy(self.seconds_ahead)
        if self.options.per_client and self.by_client[client] >= self.options.per_client:
            raise busy(1.0, "too many requests of this address at a time; send fewer.")
        self.by_client[client] += 1
        self.num_reading += 1

    def leave(self, client: str) -> None:
        """The request is over, however it ended."""
        self.by_client[client] -= 1
        if not self.by_client[client]:
            del self.by_client[client]

    def has_read(self) -> None:
        """The body of a request that came in is read, or will never be."""
        self.num_reading -= 1

    @property
    def seconds_ahead(self) -> float:
        """How long what waits now will take."""
        return (self.num_waiting + self.num_computing) / max(self._rate, 1.0)

    def put(self, rows: list[Row], places: Sequence[int] = ()) -> Ask:
        """The rows in the queue. Raises Problem where there is no room for so many.

        places  where in the request each stands; default: in their order
        """
        if self.num_waiting and self.num_waiting + len(rows) > max(self.capacity, 2 * len(rows)):
            raise busy(self.seconds_ahead)
        loop = asyncio.get_running_loop()
        due = loop.time() + self.options.deadline_seconds
        ask = Ask(rows, places or range(len(rows)), due, loop.create_future())
        self.queue.append(ask)
        self.num_waiting += len(rows)
        self.pump()
        return ask

    def drop(self, ask: Ask) -> None:
        """Nobody waits for it any more; it is not computed if that has not begun."""
        if not ask.future.cancel() and not ask.future.cancelled():
            ask.future.exception()  # so that asyncio does not complain that nobody looked at it
        if ask in self.queue:
            self.queue.remove(ask)
            self.num_waiting -= len(ask.rows)

    def pump(self) -> None:
        """Sends what can be sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.worker is not None and not self.worker.has_ended:
            self._shed()
            if not self.queue or self.worker.num_sent >= AHEAD:
                return
            if self.queue[0].alone:
                if self.worker.num_sent:
                    return
            elif (seconds := self._wait(self.worker)) > 0:
                self._timer = asyncio.get_running_loop().call_later(seconds, self.pump)
                return
            self._send(self.worker, self._batch(min(self.worker.batch_size, self._share)))

    def fail_everyone(self, problem: Problem) -> None:
        """Whoever waits, for the queue or for the worker, is told the same."""
        for ask in [*self.queue, *self._sent]:
            if not ask.is_over:
                ask.future.set_exception(problem)
        self.queue.clear()
        self.num_waiting = 0

    def _wait(self, worker: WorkerProcess) -> float:
        """How long to wait for more rows before the next batch goes out."""
        now = asyncio.get_running_loop().time()
        if worker.num_sent and self.num_waiting < min(worker.enough, self._share):
            return 1.0  # it is idle, and asks again, before that
        if worker.num_sent:
            return 0.0 if self.num_waiting >= worker.batch_size else self._pace.seconds_left(self.num_waiting, now)
        if self.num_waiting >= worker.enough or len(self.queue) >= self._expected:
            return 0.0
        worth = self._pace.preparing(self.num_waiting) + self._pace.computing(self.num_waiting)
        return self._answered_at + min(self.options.batch_delay_ms / 1e3, worth) - now

    @property
    def _share(self) -> int:
        """How many of the rows that are about should go together: all, or half of them where two batches take turns."""
        about = self.num_waiting + self.num_computing
        return (about + 1) // 2 if self._pace.wants_halves(about) else max(1, about)

    def _expect(self, num_answered: int) -> None:
        """Requests are answered: so many may come again at once, and join those that are about."""
        self._expected = len(self.queue) + self.num_reading + num_answered
        self._answered_at = asyncio.get_running_loop().time()

    def _shed(self) -> None:
        """Takes those from the head of the queue whom nobody waits for, or whose deadline is over."""
        now = asyncio.get_running_loop().time()
        while self.queue and (self.queue[0].is_over or self.queue[0].due <= now):
            ask = self.queue.popleft()
            self.num_waiting -= len(ask.rows)
            if not ask.is_over:
                ask.future.set_exception(Problem(504, TOO_LATE))

    def _batch(self, most: int) -> list[Ask]:
        found: list[Ask] = []
        count = 0
        now = asyncio.get_running_loop().time()
        while self.queue:
            ask = self.queue[0]
            if ask.is_over or ask.due <= now:
                self._shed()
                continue
            if found and (ask.alone or found[0].alone or count + len(ask.rows) > most):
                break
            found.append(self.queue.popleft())
            count += len(ask.rows)
            self.num_waiting -= len(ask.rows)
        return found

    def _send(self, worker: WorkerProcess, batch: list[Ask]) -> None:
        if not batch:
            return
        count = sum(len(ask.rows) for ask in batch)
        self.num_computing += count
        worker.num_sent += 1
        self._pace.sent(count, asyncio.get_running_loop().time())
        self.metrics.batches.labels(self.name).observe(count)
        task = asyncio.create_task(self._compute(worker, batch, count))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compute(self, worker: WorkerProcess, batch: list[Ask], count: int) -> None:
        watch = Stopwatch()
        rows = [row for ask in batch for row in ask.rows]
        places = [place for ask in batch for place in ask.places]
        self._sent.update(batch)
        try:
            reply = await asyncio.wait_for(worker.ask(rows, places=places), HUNG_SECONDS)
        except (Ended, TimeoutError):
            worker.kill()
            self._again(batch)
            self.on_end(self, worker)
        else:
            self.metrics.computing.labels(self.name).inc(reply.seconds)
            pace = count / max(reply.seconds, watch.seconds() / AHEAD, 1e-6)
            self._rate += SMOOTHING * (pace - self._rate)
            if worker is self.worker:
                self._pace.answered(asyncio.get_running_loop().time(), reply.preparing, reply.seconds)
            self._expect(len(batch))
            _share_out(batch, reply, worker.about.version)
        finally:
            self._sent.difference_update(batch)
            self.num_computing -= count
            worker.num_sent -= 1
            self.pump()

    def _again(self, batch: list[Ask]) -> None:
        """Back into the queue, each to be asked alone; who was alone already is told."""
        for ask in reversed(batch):
            if ask.is_over:
                continue
            if ask.alone or len(batch) == 1:
                ask.future.set_exception(Problem(500, CRASHED))
            else:
                ask.alone = True
                self.queue.appendleft(ask)
                self.num_waiting += len(ask.rows)


def _share_out(batch: list[Ask], reply: Reply, version: str) -> None:
    start = 0
    for ask in batch:
        stop = start + len(ask.rows)
        if not ask.is_over:
            own = Reply(reply.outcomes[start:stop], reply.blobs[start:stop], reply.seconds)
            ask.future.set_result((own, version))
        start = stop
