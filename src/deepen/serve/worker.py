"""A process that answers for one model: reads messages, prepares them on one thread and computes on another.

    {"do": "answer", "id": 7, "rows": [{"text": "..."}, {"image": {"blob": 0}}], "places": [0, 0]}  and the blobs
    {"id": 7, "outcomes": ["answer", "error", "fault"]}                          and one blob of JSON per outcome
    {"do": "explain", "id": 8, "rows": [...]}    ->    {"id": 8, "outcomes": ["page"]}

`places` says where each row stands in its own request: a batch holds rows of several, and an answer's `source` must not
tell how they were put together.

The first message that it sends says what it is, or why it cannot be. It ends when its input does.
While one batch is computed the next is prepared. A row that makes a batch fail is found by halving, so that it fails
alone; only a crash of the whole process takes the others with it, and then the server asks for them one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

from deepen.core.errors import DeepenError
from deepen.core.jsontext import finite, json_text
from deepen.serve import frames
from deepen.serve.answering import Answers, Outcome, Row

OURS = "the model failed on this row"
SIZES = (1, 2, 4, 8, 16, 32, 64)
MEASURING_SECONDS = 3.0
LONGEST_BATCH_SECONDS = 0.5  # larger batches would only make everybody wait
NEARLY = 0.9
SWITCH_SECONDS = 0.0005  # how long the thread that computes may wait for the one that prepares, at each of its steps
WAITING = 0.1  # a process that computes for less of the time waits for something


def work(make: Callable[[], Answers], *, batch_size: int = 0, measures: bool = True) -> None:
    """Serves standard input until it ends, and the process with it.

    make        loads the model; a DeepenError is sent on as the reason why there is none
    batch_size  the rows of a batch; 0: found by measuring
    measures    whether to warm up and measure at all
    """
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand between the messages
    sys.setswitchinterval(SWITCH_SECONDS)

    def kept() -> Answers:
        made = make()
        gc.collect()
        gc.freeze()  # what is loaded stays: collections need not look through it, which takes a tenth of a second
        return made

    serve(kept, source, sink, batch_size=batch_size, measures=measures)
    sys.stderr.flush()
    os._exit(0)  # the server is gone; nobody wants what is still being computed


def serve(
    make: Callable[[], Answers], source: IO[bytes], sink: IO[bytes], *, batch_size: int = 0, measures: bool = True
) -> None:
    """The same for any two files: returns when `source` has ended, or `sink` cannot be written."""
    try:
        answers = make()
    except DeepenError as error:
        _send(sink, {"failed": str(error)})
        return
    pace = measured(answers, batch_size) if measures else {"batch_size": 1, "enough": 1, "rate": 0.0}
    _send(sink, {"about": dataclasses.asdict(answers.about), **pace})
    _serve(answers, source, sink)


def measured(answers: Answers, batch_size: int = 0) -> dict[str, Any]:
    """How many rows to answer together: the size with the most rows a second, on a row made for it.

    batch_size  that size
    enough      the smallest size that reaches nine tenths of its rows a second
    rate        rows a second at `batch_size`, preparing included

    Counted is the process's own time of computing, which other programs on the machine do not disturb; where it mostly
    waits for another device, the time that passes.
    """
    row, best, rates = answers.example(), 0.0, {}
    started = time.perf_counter()
    for size in (batch_size,) if batch_size else SIZES:
        times = []
        for _ in range(4):
            times.append(_seconds(lambda size=size: answers.answer(answers.prepare([row] * size))))
            if len(times) > 1 and sum(times) > MEASURING_SECONDS / 12:
                break
        rates[size] = size / min(times)
        best = max(best, rates[size])
        if min(times) > LONGEST_BATCH_SECONDS or time.perf_counter() - started > MEASURING_SECONDS:
            break
    chosen = next(size for size, rate in rates.items() if rate >= 0.97 * best)
    enough = next(size for size, rate in rates.items() if rate >= NEARLY * best)
    return {"batch_size": chosen, "enough": enough, "rate": rates[chosen]}


def _seconds(work: Callable[[], object]) -> float:
    wall, own = time.perf_counter(), time.process_time()
    work()
    wall, own = time.perf_counter() - wall, time.process_time() - own
    return own if own > WAITING * wall else wall


def _serve(answers: Answers, source: IO[bytes], sink: IO[bytes]) -> None:
    ready: queue.Queue[tuple[dict[str, Any], Any]] = queue.Queue(1)
    threading.Thread(target=_compute_all, args=(answers, ready, sink), daemon=True).start()
    while (message := frames.read(source)) is not None:
        header, blobs = message
        started = time.perf_counter()
        rows = [_row(cells, blobs) for cells in header["rows"]]
        parts = rows[0] if header["do"] == "explain" else prepared(answers, rows)
        ready.put(({**header, "preparing": time.perf_counter() - started}, parts))


def _compute_all(answers: Answers, ready: queue.Queue[tuple[dict[str, Any], Any]], sink: IO[bytes]) -> None:
    while True:
        header, parts = ready.get()
        started = time.perf_counter()
        if header["do"] == "explain":
            outcomes, blobs = _explained(answers, parts)
        else:
            found = computed(answers, parts, len(header["rows"]))
            places = header.get("places") or range(len(found))
            outcomes = [_kind(each) for each in found]
            blobs = [_encoded(each, place) for each, place in zip(found, places, strict=True)]
        seconds = time.perf_counter() - started
        said = {"id": header["id"], "outcomes": outcomes, "seconds": seconds, "preparing": header["preparing"]}
        _send(sink, said, blobs)


def _row(cells: dict[str, Any], blobs: Sequence[bytes]) -> Row:
    return {name: blobs[cell["blob"]] if isinstance(cell, dict) else cell for name, cell in cells.items()}


Part = tuple[list[int], list[Row], Any]


def prepared(answers: Answers, rows: Sequence[Row], places: Sequence[int] | None = None) -> list[Part]:
    """Parts of the rows that could be prepared together: (places, rows, what was prepared or the Outcome)."""
    places = list(range(len(rows)) if places is None else places)
    try:
        return [(places, list(rows), answers.prepare(rows))]
    except Exception as error:
        if len(rows) == 1:
            return [(places, list(rows), _failure(error))]
    middle = len(rows) // 2
    return [
        *prepared(answers, rows[:middle], places[:middle]),
        *prepared(answers, rows[middle:], places[middle:]),
    ]


def computed(answers: Answers, parts: Sequence[Part], count: int) -> list[Outcome]:
    """The outcome of each of `count` rows."""
    found: list[Outcome] = [Outcome(error=OURS, is_ours=True)] * count
    for places, rows, ready in parts:
        for place, outcome in zip(places, _computed(answers, rows, ready), strict=True):
            found[place] = outcome
    return found


def _computed(answers: Answers, rows: list[Row], ready: Any) -> list[Outcome]:
    if isinstance(ready, Outcome):
        return [ready]
    try:
        return answers.answer(ready)
    except Exception as error:
        if len(rows) == 1:
            return [_failure(error)]
    middle = len(rows) // 2
    halves = prepared(answers, rows[:middle]), prepared(answers, rows[middle:])
    return [*computed(answers, halves[0], middle), *computed(answers, halves[1], len(rows) - middle)]


def _failure(error: Exception) -> Outcome:
    if isinstance(error, DeepenError):
        return Outcome(error=str(error))
    traceback.print_exception(error, file=sys.stderr)
    return Outcome(error=OURS, is_ours=True)


def _kind(outcome: Outcome) -> str:
    return "answer" if outcome.answer is not None else "fault" if outcome.is_ours else "error"


def _encoded(outcome: Outcome, place: int) -> bytes:
    """An answer as JSON; where a number in it is none, it is null, and the key `not_finite` says so.

    place  of the row in its request, which becomes the answer's `source`
    """
    if outcome.answer is None:
        return outcome.error.encode("utf-8", "backslashreplace")
    answer = {**outcome.answer, "source": f"rows[{place}]"} if "source" in outcome.answer else outcome.answer
    try:
        return json_text(answer).encode()
    except ValueError:
        return json_text({**finite(answer), "not_finite": True}).encode()  # type: ignore[dict-item]


def _explained(answers: Answers, row: Row) -> tuple[list[str], list[bytes]]:
    try:
        return ["page"], [answers.explain(row).encode()]
    except Exception as error:
        failure = _failure(error)
        return [_kind(failure)], [failure.error.encode("utf-8", "backslashreplace")]


def _send(sink: IO[bytes], header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody is there any more; the input ends, too
        sink.write(frames.packed(header, blobs))
        sink.flush()
