"""Formats of files of answers that belong to a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deepen.bundle.header import RUN_FILE
from deepen.core.files import read_json
from deepen.verbs.ensemble import runs_in
from deepen.verbs.options import task_module

MAX_BYTES = 50_000_000


def formats(run: str | Path) -> dict[str, Callable[[Iterable[Any]], str]]:
    """By the ending of a file, what makes its text of a run's answers; none of a run that does not say its task."""
    header = read_json(runs_in(run)[0] / RUN_FILE, max_bytes=MAX_BYTES)
    task = header.get("task") if isinstance(header, dict) else None
    return dict(getattr(task_module(task), "FORMATS", {})) if isinstance(task, str) else {}
