"""metrics.jsonl and timing.jsonl: one JSON object a line, never half a line.

What the clock says goes to timing.jsonl, so that metrics.jsonl of a killed and resumed run equals that of one never
killed, bit for bit. The files are small (one line an evaluation), so each addition rewrites the file in one step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from deepen.bundle.header import METRICS_FILE, TIMING_FILE
from deepen.core.errors import RunError
from deepen.core.files import read_bytes, write_bytes
from deepen.core.jsontext import finite, json_text, parse_json

MAX_BYTES = 256_000_000


def append_metrics(folder: Path | str, record: Mapping[str, object]) -> None:
    """Adds a line to metrics.jsonl. NaN and infinities become null."""
    _append(Path(folder, METRICS_FILE), record)


def append_timing(folder: Path | str, record: Mapping[str, object]) -> None:
    """Adds a line to timing.jsonl."""
    _append(Path(folder, TIMING_FILE), record)


def read_metrics(folder: Path | str) -> list[dict[str, object]]:
    """The lines of metrics.jsonl, none if there is no such file. Raises RunError for a damaged one."""
    return _records(Path(folder, METRICS_FILE))


def read_timing(folder: Path | str) -> list[dict[str, object]]:
    """The lines of timing.jsonl, none if there is no such file. Raises RunError for a damaged one."""
    return _records(Path(folder, TIMING_FILE))


def truncate_metrics(folder: Path | str, num_lines: int) -> None:
    """Keeps the first `num_lines` of metrics.jsonl. Raises RunError if there are fewer."""
    _truncate(Path(folder, METRICS_FILE), num_lines)


def truncate_timing(folder: Path | str, num_lines: int) -> None:
    """Keeps the first `num_lines` of timing.jsonl. Raises RunError if there are fewer."""
    _truncate(Path(folder, TIMING_FILE), num_lines)


def digest(folder: Path | str, num_lines: int | None = None) -> tuple[int, str]:
    """How many lines of metrics.jsonl there are (or `num_lines`, where given), and the SHA-256 of these first ones."""
    lines = _lines(Path(folder, METRICS_FILE))[:num_lines]
    return len(lines), hashlib.sha256(b"".join(lines)).hexdigest()


def _append(path: Path, record: Mapping[str, object]) -> None:
    line = json_text(finite(dict(record))).encode() + b"\n"
    write_bytes(path, _content(path) + line)


def _truncate(path: Path, num_lines: int) -> None:
    lines = _lines(path)
    if len(lines) < num_lines:
        raise RunError(f"{path}: expected at least {num_lines:,} lines, but has {len(lines):,}; the file was cut.")
    if len(lines) > num_lines:
        write_bytes(path, b"".join(lines[:num_lines]))


def _records(path: Path) -> list[dict[str, object]]:
    found = []
    for number, line in enumerate(_lines(path), start=1):
        value = parse_json(line, place=f"{path}, record {number}", error=RunError)
        if not isinstance(value, dict):
            raise RunError(f"{path}, record {number}: expected a JSON object, but is {line[:40]!r}.")
        found.append(value)
    return found


def _content(path: Path) -> bytes:
    return b"".join(_lines(path))


def _lines(path: Path) -> list[bytes]:
    """The whole lines of a file; what stands after the last line's end (which we never write) does not count."""
    if not path.exists():
        return []
    lines = read_bytes(path, max_bytes=MAX_BYTES, error=RunError).split(b"\n")
    return [line + b"\n" for line in lines[:-1]]
