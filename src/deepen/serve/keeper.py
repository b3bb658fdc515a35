"""The models of a server: started, started again after a crash, replaced when their folder is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deepen.core.faults import printable
from deepen.serve.batcher import Lane
from deepen.serve.limits import ServeOptions
from deepen.serve.metrics import Metrics
from deepen.serve.problems import Problem, busy
from deepen.serve.process import Command, Ended, NotReady, Reply, WorkerProcess, start

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
CALM_SECONDS = 60.0
EXPLAINER_IDLE_SECONDS = 300.0
EXPLAIN_SECONDS = 120.0
MOST_EXPLAINING = 4
Sign = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Model:
    """A model to serve.

    folder     what is watched: its files' times and sizes
    files      their names
    command    starts a worker that answers
    explainer  starts one that explains, or None
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    command: Command
    explainer: Command | None = None


@dataclass(eq=False)
class Kept:
    """A model with its lane, and what is known of its last reload."""

    model: Model
    lane: Lane
    trouble: str = ""
    sign: Sign | None = None
    explainer: WorkerProcess | None = None
    explaining: asyncio.Lock = field(default_factory=asyncio.Lock)
    num_explaining: int = 0
    num_idle_looks: int = 0
    restarting: asyncio.Task[None] | None = None
    pause: float = FIRST_PAUSE
    last_end: float = 0.0

    @property
    def worker(self) -> WorkerProcess:
        """What answers now. Raises Problem 503 before there was any."""
        if self.lane.worker is None:
            raise Problem(503, "this run is being loaded; try again in a moment.", {"retry-after": "2"})
        return self.lane.worker


class Keeper:
    """All models by name."""

    def __init__(
        self, models: list[Model], options: ServeOptions, metrics: Metrics, say: Callable[[str], None]
    ) -> None:
        self.options, self.metrics, self._say = options, metrics, say
        self.kept: Mapping[str, Kept] = {
            model.name: Kept(model, Lane(model.name, options, metrics, self._ended)) for model in models
        }
        self.is_draining = False
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts every model. Raises NotReady with the first reason why one cannot be."""
        await asyncio.gather(*(self._first(each) for each in self.kept.values()))
        if self.options.reload_seconds:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Ends all workers."""
        self.is_draining = True
        tasks = [self._watching, *(each.restarting for each in self.kept.values())]
        for task in tasks:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        workers = [worker for each in self.kept.values() for worker in (each.lane.worker, each.explainer) if worker]
        await asyncio.gather(*(worker.close() for worker in workers))

    @property
    def is_ready(self) -> bool:
        """Whether every model can answer."""
        return not self.is_draining and all(each.lane.is_ready for each in self.kept.values())

    @property
    def num_held(self) -> int:
        """Requests and rows that are about."""
        return sum(each.lane.num_held for each in self.kept.values())

    def drain(self) -> None:
        """Nobody is let in any more."""
        self.is_draining = True
        for each in self.kept.values():
            each.lane.is_draining = True

    def named(self, name: str) -> Kept:
        """The model of this name, "" for the first. Raises Problem 404."""
        if not name:
            return next(iter(self.kept.values()))
        if name not in self.kept:
            raise Problem(404, f"no such run here; there is: {', '.join(self.kept)}.")
        return self.kept[name]

    async def explain(self, kept: Kept, row: dict) -> Reply:
        """A page about an answer, made by a process of its own that steps back behind the others."""
        if kept.model.explainer is None or not kept.worker.about.explains:
            raise Problem(404, "answers of this run cannot be explained.")
        if kept.num_explaining >= MOST_EXPLAINING:
            raise busy(5.0, "too many explanations are being made; try again later.")
        kept.num_explaining += 1
        kept.num_idle_looks = 0
        try:
            async with kept.explaining:
                worker = await self._explainer(kept)
                try:
                    return await asyncio.wait_for(worker.ask([row], "explain"), EXPLAIN_SECONDS)
                except (Ended, TimeoutError):
                    worker.kill()
                    raise Problem(500, "the explanation could not be made.") from None
        finally:
            kept.num_explaining -= 1

    async def _explainer(self, kept: Kept) -> WorkerProcess:
        version = kept.worker.about.version
        if kept.explainer is not None and (kept.explainer.has_ended or kept.explainer.about.version != version):
            await kept.explainer.close()
            kept.explainer = None
        if kept.explainer is None:
            assert kept.model.explainer is not None
            try:
                kept.explainer = await start(kept.model.explainer)
            except NotReady:
                raise Problem(503, "the run cannot be loaded to explain its answers.", {"retry-after": "5"}) from None
        return kept.explainer

    async def _first(self, kept: Kept) -> None:
        kept.sign = sign_of(kept.model)
        try:
            kept.lane.use(await start(kept.model.command))
        except NotReady as reason:
            raise NotReady(f"{kept.model.name}: {reason}") from None
        self.metrics.ready.labels(kept.model.name).set(1)

    def _ended(self, lane: Lane, worker: WorkerProcess) -> None:
        kept = self.kept[lane.name]
        if self.is_draining or lane.worker is not worker or (kept.restarting and not kept.restarting.done()):
            return
        self.metrics.crashes.labels(lane.name).inc()
        self.metrics.ready.labels(lane.name).set(0)
        kept.restarting = asyncio.create_task(self._restart(kept, worker))

    async def _restart(self, kept: Kept, ended: WorkerProcess) -> None:
        """Another worker in its place, after a pause that doubles while they keep ending."""
        loop = asyncio.get_running_loop()
        kept.pause = FIRST_PAUSE if loop.time() - kept.last_end > CALM_SECONDS else kept.pause * 2
        kept.last_end = loop.time()
        code = await ended.close()
        while True:
            self._say(f"{kept.model.name}: the worker ended with {code}; another is started.")
            await asyncio.sleep(min(kept.pause, LONGEST_PAUSE))
            try:
                worker = await start(kept.model.command)
                break
            except NotReady as reason:
                self._say(f"{kept.model.name}: cannot be loaded again: {reason}")
                kept.pause *= 2
        kept.lane.use(worker)
        self.metrics.ready.labels(kept.model.name).set(1)

    async def _watch(self) -> None:
        """Looks now and then whether a model's files were replaced, and waits until they are the same twice."""
        seen = {name: kept.sign for name, kept in self.kept.items()}
        while True:
            await asyncio.sleep(self.options.reload_seconds)
            for name, kept in self.kept.items():
                sign = await asyncio.to_thread(sign_of, kept.model)
                if sign != kept.sign and sign == seen[name]:
                    kept.sign = sign
                    await self._reload(kept)
                seen[name] = sign
                await self._rest(kept)

    async def _reload(self, kept: Kept) -> None:
        """The new model in the place of the old one, which answers until then, and goes on if the new one is none."""
        before = kept.lane.worker
        try:
            worker = await start(kept.model.command)
            if before is not None and worker.about.task != before.about.task:
                await worker.close()
                raise NotReady(f"is a run of {worker.about.task} now; it was one of {before.about.task}.")
        except NotReady as reason:
            kept.trouble = "its replacement cannot be used; the run before it goes on answering."
            self.metrics.reloads.labels(kept.model.name, "failed").inc()
            self._say(f"{kept.model.name}: not replaced: {reason}")
            return
        kept.trouble = ""
        replaced = kept.lane.use(worker)
        self.metrics.reloads.labels(kept.model.name, "done").inc()
        self.metrics.ready.labels(kept.model.name).set(1)
        self._say(f"{kept.model.name}: replaced, version {worker.about.version}.")
        if replaced is not None:
            while replaced.num_sent and not replaced.has_ended:
                await asyncio.sleep(0.02)
            await replaced.close()

    async def _rest(self, kept: Kept) -> None:
        """An explainer that nobody has asked for some minutes ends."""
        worker = kept.explainer
        if worker is None or kept.explaining.locked():
            return
        kept.num_idle_looks += 1
        if kept.num_idle_looks * self.options.reload_seconds > EXPLAINER_IDLE_SECONDS:
            kept.explainer = None
            await worker.close()


def sign_of(model: Model) -> Sign | None:
    """What changes when a model's files are replaced; None while one is missing."""
    try:
        found = [(model.folder / name).stat() for name in model.files]
    except OSError:
        return None
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def logged(text: str) -> str:
    """One line of a log: nothing in it moves a cursor, and it is no longer than 1,000 characters."""
    return printable(text)[:1000]
