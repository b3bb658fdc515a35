"""Contenders timed in turns: whatever else the machine does, or how warm it is, meets all of them alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One way of doing the same work.

    run  does a fixed piece of it, with whatever warm-up it needs, and returns the seconds of the piece alone
    """

    name: str
    run: Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """How many times as long as the first contender another one took, taken round by round."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def interleaved(contenders: Sequence[Contender], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; each round begins with another one. One round before is not counted."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        first = number % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            taken = contender.run()
            if number > 0:
                times[contender.name].append(taken)
    return times


def ratio(times: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Median, least and most of times / reference over the rounds.

    >>> ratio([2.0, 3.0, 8.0], [1.0, 2.0, 2.0])
    Ratio(median=2.0, least=1.5, most=4.0)
    """
    each = [time / other for time, other in zip(times, reference, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in Markdown, every column as wide as its widest cell.

    >>> print(table(["name", "ratio"], [["bare", "1.02"]]))
    | name | ratio |
    |------|-------|
    | bare | 1.02  |
    """
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    head = "| " + " | ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)) + " |"
    return "\n".join([head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines])


def machine() -> dict[str, Any]:
    """What the figures depend on: the processor, its cores that may be used, torch and its threads."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def say_machine() -> None:
    """One line that says under what conditions the figures below it were taken."""
    print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)


def append(path: str | None, record: dict[str, Any]) -> None:
    """Adds a record, with the machine, as one line of JSON to a file; nothing without a path."""
    if path is None:
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps({**record, "machine": machine()}) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
