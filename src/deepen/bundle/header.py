"""run.json: what a run is, in a form that notices when a single bit of it changes.

The last line of the file holds the SHA-256 of everything before it, so that numbers in it cannot rot in silence.
`files` holds the SHA-256 of the other files; their names are plain and in a known list, so that no file can name
another place.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from deepen.core.errors import RunError
from deepen.core.files import read_bytes, write_bytes
from deepen.core.jsontext import finite, json_text, parse_json

FORMAT_VERSION = 1
RUN_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"
PREPARE_FILE = "prepare.json"
METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"
CHECKPOINT_FOLDER = "checkpoint"
STATUSES = ("training", "done", "interrupted", "failed")

# Every other file that a run folder may list. "fixed": written once, before training. "grows": rewritten while
# training goes on, so listed only once it has ended. "page": for people, who may edit it; never read by us.
FILES = {
    PREPARE_FILE: "fixed",
    "tokenizer.json": "fixed",
    "split.json": "fixed",
    "skipped.txt": "fixed",
    WEIGHTS_FILE: "grows",
    METRICS_FILE: "grows",
    TIMING_FILE: "grows",
    "report.html": "page",
    "README.md": "page",
}

FIELDS: dict[str, type | tuple[type, ...]] = {
    "format_version": int,
    "task": str,
    "model": str,
    "options": dict,
    "data": dict,
    "seed": int,
    "versions": dict,
    "command": (str, list),
    "status": str,
    "metrics": dict,
    "extra": dict,
    "files": dict,
}
DEFAULTS: dict[str, object] = {
    "model": "",
    "options": {},
    "data": {},
    "seed": 0,
    "command": "",
    "status": "training",
    "metrics": {},
    "extra": {},
    "files": {},
}

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SEAL_START = b',\n  "sha256": "'
_SEAL_END = b'"\n}\n'
_SEAL_BYTES = len(_SEAL_START) + 64 + len(_SEAL_END)
MAX_BYTES = 16_000_000


def versions() -> dict[str, str]:
    """The versions a run depends on: python, torch, deepen and platform. No name of the machine or its user."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "deepen": _version("deepen"),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def complete(header: Mapping[str, object]) -> dict[str, object]:
    """The header with its defaults, in the order of FIELDS. An unknown field or a missing task is our own fault."""
    unknown = set(header) - set(FIELDS)
    assert not unknown, f"run.json has no fields {sorted(unknown)}; what is new goes into `extra`"
    assert header.get("task"), "a run has a task"
    known = {**DEFAULTS, "versions": versions(), **header, "format_version": FORMAT_VERSION}
    assert known["status"] in STATUSES
    return {name: known[name] for name in FIELDS}


def write_header(folder: Path, header: Mapping[str, object]) -> None:
    """Puts run.json into the folder, sealed. NaN and infinities become null."""
    body = json_text(finite(dict(header)), indent=2).encode()
    assert body.endswith(b"\n}")
    body = body[:-2]
    seal = hashlib.sha256(body).hexdigest().encode()
    write_bytes(folder / RUN_FILE, body + _SEAL_START + seal + _SEAL_END)


def read_header(folder: Path) -> dict[str, object]:
    """The fields of run.json. Raises RunError for a file that is damaged, edited, of a newer format, or no run.json."""
    path = folder / RUN_FILE
    content = read_bytes(path, max_bytes=MAX_BYTES, error=RunError)
    value = parse_json(content, place=str(path), error=RunError)
    if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
        raise RunError(f"{path}: expected the description of a run with its format_version, but has none.")
    if value["format_version"] > FORMAT_VERSION:
        raise RunError(
            f"{path}: format version {value['format_version']}, but this deepen reads up to {FORMAT_VERSION}; "
            "use the deepen that wrote it, or a newer one."
        )
    _check_seal(path, content)
    del value["sha256"]
    _check_fields(path, value)
    return value


def _check_seal(path: Path, content: bytes) -> None:
    body = content[:-_SEAL_BYTES]
    seal = hashlib.sha256(body).hexdigest().encode()
    if content[-_SEAL_BYTES:] != _SEAL_START + seal + _SEAL_END:
        raise RunError(
            f"{path}: damaged or edited: its content does not match the sha256 in its last line; "
            "restore it from a copy."
        )


def _check_fields(path: Path, header: dict[str, object]) -> None:
    for name, kind in FIELDS.items():
        if not isinstance(header.get(name), kind) or isinstance(header[name], bool):
            raise RunError(
                f"{path}: the field {name!r} is missing or of the wrong type: {str(header.get(name))[:80]!r}."
            )
    for name in header:
        if name not in FIELDS:
            raise RunError(
                f"{path}: no such field {name[:80]!r} in a run of format version {header['format_version']}."
            )
    if header["status"] not in STATUSES:
        raise RunError(f"{path}: status {header['status']!r} is none of {', '.join(STATUSES)}.")
    for name, digest in header["files"].items():  # type: ignore[union-attr]
        if name not in FILES:
            raise RunError(f"{path}: lists the file {name[:80]!r}, which is none that a run folder has.")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise RunError(f"{path}: the sha256 of {name} is not one: {str(digest)[:80]!r}.")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
