"""S06, S12, S24: run folders, files of options and places for runs that are not what they should be.

A case changes a good run folder, or makes something beside it, and says what the refusal must hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.bundle.header import write_header

HUNDRED_MEGABYTES = 100_000_000


@dataclass(frozen=True)
class RunCase:
    """A run folder that `evaluate` must refuse.

    id     the row of the catalogue and a word
    harm   changes a good run folder in place
    words  must all occur in the one sentence on stderr
    """

    id: str
    harm: Callable[[Path], object]
    words: tuple[str, ...]


@dataclass(frozen=True)
class PlaceCase:
    """Something beside a run, made in an empty folder, whose path `train` is given and must refuse.

    option  the option that gets the path
    """

    id: str
    option: str
    build: Callable[[Path], Path]
    words: tuple[str, ...]


def header_with(**changes: object) -> Callable[[Path], None]:
    """The header with other fields, sealed again, as whoever wants to deceive would do."""

    def harm(run: Path) -> None:
        write_header(run, header_of(run) | changes)

    return harm


def option_with(**changes: object) -> Callable[[Path], None]:
    """The header with other options, sealed again."""
    return lambda run: write_header(run, header_of(run) | {"options": header_of(run)["options"] | changes})


def listing(name: str) -> Callable[[Path], None]:
    """The header listing a file under this name, sealed again."""
    return lambda run: write_header(run, header_of(run) | {"files": {name: "0" * 64}})


def header_of(run: Path) -> dict[str, Any]:
    header = json.loads((run / "run.json").read_text("utf-8"))
    del header["sha256"]
    return header


def text(content: str | bytes, name: str = "run.json") -> Callable[[Path], object]:
    """A file of the run with another content."""
    return lambda run: (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def large(path: Path) -> Path:
    """A file of 100 MB that takes no space."""
    with path.open("wb") as file:
        file.truncate(HUNDRED_MEGABYTES)
    return path


def linked(name: str) -> Callable[[Path], None]:
    """A file of the run as a link to its content elsewhere."""

    def harm(run: Path) -> None:
        (run / name).rename(run.parent / "elsewhere")
        (run / name).symlink_to(run.parent / "elsewhere")

    return harm


def twice(run: Path) -> None:
    """A key that stands twice, the second one winning in plain parsers."""
    content = (run / "run.json").read_text("utf-8")
    (run / "run.json").write_text(content.replace('"task"', '"task": "other",\n  "task"', 1), "utf-8")


NESTED = '{"a":' * 100_000 + "1" + "}" * 100_000

RUN_CASES: tuple[RunCase, ...] = (
    RunCase("S06-parent", listing("../../x"), ("run.json", "'../../x'", "none that a run folder has")),
    RunCase("S06-absolute", listing("/etc/passwd"), ("'/etc/passwd'", "none that a run folder has")),
    RunCase("S06-linked header", linked("run.json"), ("run.json", "is a link")),
    RunCase("S06-linked weights", linked("weights.safetensors"), ("weights.safetensors", "is a link")),
    RunCase("S06-duplicate key", twice, ("run.json", "'task' stands twice")),
    RunCase("S06-class path", header_with(task="os.system"), ("run.json", "'os.system'", "none of this deepen")),
    RunCase("S06-near task", header_with(task="tabular-clasification"), ("did you mean tabular-classification",)),
    RunCase("S06-type of option", option_with(batch_size="many"), ("run.json", "batch_size", "'many'", "whole number")),
    RunCase("S06-unknown option", option_with(hook="os.system"), ("run.json", "hook", "no such option")),
    RunCase("S06-other model", option_with(model="../../x"), ("'../../x'"[1:-1], "no such model")),
    RunCase("S06-giant", option_with(**{"network.width": 10**12}), ("run.json", "network that cannot be built")),
    RunCase("S06-wider", option_with(**{"network.width": 10**7}), ("weights.safetensors", "of another shape")),
    RunCase("S06-deep", text(NESTED), ("run.json", "nested deeper than 64 levels")),
    RunCase("S06-large", lambda run: large(run / "run.json"), ("run.json", "100.0 MB", "16.0 MB are read")),
    RunCase("S06-edited", text("{}"), ("run.json", "format_version")),
    RunCase("S06-prepare", text("[]", "prepare.json"), ("prepare.json", "damaged or edited")),
)


def file_of(content: str | bytes, name: str = "options.json") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return build


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "options.json")
    return folder / "options.json"


def taken(folder: Path) -> Path:
    (folder / "taken").mkdir()
    (folder / "taken" / "passwd").write_text("root")
    return folder / "taken"


def planted_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "aim")
    (folder / "aim").mkdir()
    return folder / "link"


def dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere")
    return folder / "link"


PLACE_CASES: tuple[PlaceCase, ...] = (
    PlaceCase("S12-tag", "--config", file_of("!!python/object/apply:os.system ['id']", "o.yaml"), ("o.yaml", ".json")),
    PlaceCase("S12-program", "--config", file_of("import os", "o.py"), ("o.py", ".json")),
    PlaceCase("S12-large", "--config", lambda folder: large(folder / "o.json"), ("o.json", "100.0 MB")),
    PlaceCase("S12-duplicate", "--config", file_of('{"steps": 3, "steps": 4}'), ("'steps' stands twice",)),
    PlaceCase(
        "S12-two spellings", "--config", file_of('{"optimizer.lr": 1, "optimizer": {"lr": 2}}'), ("given twice",)
    ),
    PlaceCase("S12-nan", "--config", file_of('{"optimizer": {"lr": NaN}}'), ("NaN is not a number",)),
    PlaceCase("S12-infinite", "--config", file_of('{"optimizer": {"lr": 1e999}}'), ("too large",)),
    PlaceCase("S12-octal", "--config", file_of('{"steps": 012}'), ("line 1, column 12", "not JSON")),
    PlaceCase("S12-no", "--config", file_of('{"optimizer": {"nesterov": "maybe"}}'), ("nesterov", "'maybe'")),
    PlaceCase("S12-true", "--config", file_of('{"steps": true}'), ("steps", "whole number", "True")),
    PlaceCase("S12-time", "--config", file_of('{"time": "1:30"}'), ("time", "'1:30'")),
    PlaceCase("S12-deep", "--config", file_of(NESTED), ("nested deeper than 64 levels",)),
    PlaceCase("S12-list", "--config", file_of("[1]"), ("expected an object of options",)),
    PlaceCase("S12-header", "--config", file_of('{"format_version": 1}'), ("expected an object of options",)),
    PlaceCase("S12-bytes", "--config", file_of(b"\xff\xfe"), ("not UTF-8",)),
    PlaceCase("S12-pipe", "--config", pipe, ("options.json", "is a pipe")),
    PlaceCase("S12-folder", "--config", lambda folder: folder, ("no such file",)),
    PlaceCase("S24-taken", "--out", taken, ("taken", "holds 'passwd'", "--out")),
    PlaceCase("S24-link", "--out", planted_link, ("link", "is a link", "--out")),
    PlaceCase("S24-dangling", "--out", dangling_link, ("link", "is a link", "--out")),
    PlaceCase("S24-file", "--out", file_of("x", "f"), ("f: expected a folder, but is a file", "--out")),
    PlaceCase("S24-below a file", "--out", lambda folder: file_of("x", "f")(folder) / "run", ("part of this path",)),
)
