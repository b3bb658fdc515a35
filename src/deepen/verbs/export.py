"""`export`: a run as one file that answers alone, written only after it was found to answer as the run does."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from deepen.bundle.header import WEIGHTS_FILE
from deepen.compress import changes
from deepen.core import names
from deepen.core import options as option_rules
from deepen.core.errors import OptionError, RunError
from deepen.core.files import sha256_file, write_bytes
from deepen.core.jsontext import finite
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.engine.events import Events, progress_of
from deepen.engine.task import Exported, Exports
from deepen.export import graph
from deepen.export.check import Checked, checked, latency
from deepen.nn.exits import WithExits
from deepen.runtime import engines, onnx_file
from deepen.runtime.program import Program
from deepen.runtime.trial import tried
from deepen.verbs import environment
from deepen.verbs.evaluate import samples_for
from deepen.verbs.loaded import Loaded, loaded, schema_of
from deepen.verbs.options import task_module

Format = Literal["onnx", "pt2", "aoti"]
ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "aoti": ".aoti.pt2"}
SOME = 64  # samples that other engines are tried on
TOLERANCE = 1e-4
TOLERANCE_OF_ROUNDED = 0.1  # what lies between two places of a grid may be rounded either way
MORE_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportOptions:
    """The exported file"""

    format: Format = field(
        default="onnx",
        metadata={"help": "onnx; pt2: PyTorch's own program; aoti: machine code for this kind of processor"},
    )
    tolerance: float | None = field(
        default=None,
        metadata={
            "help": "largest difference between a probability of the run and of the file (of a number: in its "
            "deviations); the export fails beyond it; default: 0.0001, or 0.1 for a run in whole numbers",
            "above": 0.0,
        },
    )
    overwrite: bool = field(default=False, metadata={"help": "replace a file that is there"})


@dataclass(frozen=True)
class ExportResult:
    """A file that was written, and what was found before.

    before, after  the run's figures and the file's on the same samples
    apart          the largest difference of a probability, or of a number in its deviations
    latency        milliseconds by what computed and by batch size: {"eager": {"1": ..., "32": ...}, ...}
    """

    path: Path
    format: str
    num_bytes: int
    opset: int | None
    count: int
    split: str
    before: dict[str, float | None]
    after: dict[str, float | None]
    apart: float
    tolerance: float
    latency: dict[str, dict[str, float]]
    notes: tuple[str, ...]


def export(
    run: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    data: str | Path | Dataset | None = None,
    flags: bool = False,
    events: Events | None = None,
) -> ExportResult:
    """A run as a file: the network, its preparation, and what its outputs mean.

    given  options by name, as `deepen export --help` lists them
    out    default: beside the run folder, with its name and the format's ending
    data   what the file is checked on; default: the run's own test split

    Raises OptionError where the run's task or network cannot be exported, RunError where the file would not answer as
    the run does: then nothing is written.
    """
    options = option_rules.build(
        ExportOptions, option_rules.resolve(option_rules.fields_of(ExportOptions), given or {}, flags=flags)
    )
    model = loaded(run, device="cpu")
    path = _free(out or f"{str(run).rstrip(os.sep)}{ENDINGS[options.format]}", options)
    if not isinstance(model.task, Exports):
        instead = getattr(model.task, "instead_of_export", "")
        why = f": {instead}" if instead else f"; those of {_exporting()} can."
        raise OptionError(f"{run}: runs of {model.header['task']} cannot be exported{why}")
    if isinstance(model.model, WithExits):
        raise OptionError(
            f"{run}: answers early where it is sure, which a graph cannot; export the run that it was made from."
        )
    return exported_to(path, model, model.task.exported(model.model), options, data=data, events=events)


def exported_to(
    path: Path,
    model: Loaded,
    exported: Exported,
    options: ExportOptions,
    *,
    data: str | Path | Dataset | None = None,
    events: Events | None = None,
) -> ExportResult:
    """The same for a network that a task, or whoever changed it, has put together."""
    tolerance = _tolerance(options, model)
    samples = samples_for([model], data, {})
    program = graph.traced(exported, place=str(model.folder), for_onnx=options.format == "onnx")
    known = description_of(model, exported) | {"sizes": program.sizes}
    if options.format == "onnx":
        content = graph.onnx_model(program, exported, place=str(model.folder))
        onnx_file.refuse_harm(path, content)
        engine: engines.Engine = engines.opened(
            content, place=str(path), engine="onnxruntime", threads=torch.get_num_threads()
        )
    else:
        content, engine = b"", graph.InMemory(program.program, exported)
    ready = Program(path, known, engine)
    faults = list(samples.faults)
    with progress_of(events) as progress:
        found = checked(
            model.task, model.model, exported, ready, samples.table, samples.split, faults, progress=progress
        )
    _refuse_difference(path, found, tolerance)
    arrays = _some(ready, samples.table)
    times = latency(exported, engine, arrays)
    known["checked"] = _said(found, samples.split, tolerance)
    if options.format == "onnx":
        known["checked"]["engines"] = [engine.name, *_others(content, ready, arrays, tolerance, times)]
        content = onnx_file.sealed(content, known)
    elif options.format == "pt2":
        content = graph.pt2_bytes(program.program, known)
    else:
        content = graph.compiled_bytes(program.program, known, place=str(model.folder))
    write_bytes(path, content)
    return ExportResult(
        path=path,
        format=options.format,
        num_bytes=len(content),
        opset=graph.OPSET if options.format == "onnx" else None,
        count=found.count,
        split=samples.split,
        before=_numbers(found.before),
        after=_numbers(found.after),
        apart=found.apart,
        tolerance=tolerance,
        latency=times,
        notes=model.notes,
    )


def description_of(model: Loaded, exported: Exported) -> dict[str, Any]:
    """What a file says of itself (runtime/onnx_file.py), but for `checked`."""
    schema = schema_of(model)
    metrics = model.header["metrics"]
    reading = {name: model.options.flat[name] for name in option_rules.fields_of(ReadOptions)}
    return {
        "format_version": onnx_file.FORMAT_VERSION,
        "opset": graph.OPSET,
        "task": model.header["task"],
        "model": model.header["model"],
        "options": model.header["options"],
        "schema": dataclasses.asdict(schema),
        "reading": {name: value for name, value in reading.items() if name not in ("labels", "group", "hashes")},
        "preparation": dict(exported.preparation),
        "answer": dict(exported.answer),
        "run": {
            "name": model.folder.resolve().name,
            "weights_sha256": sha256_file(model.folder / WEIGHTS_FILE),
            "metrics": metrics.get(metrics.get("of", ""), {}),
        },
        "checked": {},
        "versions": environment.versions() | {name: _version(name) for name in MORE_PACKAGES},
    }


def _tolerance(options: ExportOptions, model: Loaded) -> float:
    if options.tolerance is not None:
        return options.tolerance
    return TOLERANCE_OF_ROUNDED if changes.rounds(changes.of_header(model.header)) else TOLERANCE


def _free(path: str | Path, options: ExportOptions) -> Path:
    path = Path(path)
    ending = ENDINGS[options.format]
    if not path.name.endswith(ending) or path.name == ending:
        raise OptionError(f"--out {path}: expected a name that ends in {ending}, as --format is {options.format}.")
    if path.is_dir():
        raise OptionError(f"--out {path}: expected a file, but is a folder.")
    if path.exists() and not options.overwrite:
        raise OptionError(f"{path}: exists; name another file with --out, or pass --overwrite.")
    return path


def _exporting() -> str:
    """The tasks whose runs can be exported."""
    found = [name for name in names.tasks() if hasattr(task_module(name).Task, "exported")]
    return f"{', '.join(found[:-1])} and {found[-1]}"


def _refuse_difference(path: Path, found: Checked, tolerance: float) -> None:
    if found.apart <= tolerance:
        return
    raise RunError(
        f"{path}: not written: over {found.count:,} samples the file's answers differ from the run's by up to "
        f"{found.apart:.3g}, and --tolerance allows {tolerance:g}; state a larger one if that is good enough."
    )


def _some(program: Program, table: pa.Table) -> dict[str, np.ndarray]:
    """The inputs of the graph's first call for some samples."""
    prepared = program.prepared(table.slice(0, 4 * SOME), "predict", [])
    return dict(program.first_call(prepared.arrays(np.arange(min(SOME, len(prepared.kept))))))


def _others(
    content: bytes,
    program: Program,
    arrays: Mapping[str, np.ndarray],
    tolerance: float,
    times: dict[str, dict[str, float]],
) -> list[str]:
    """The other engines that answer rightly, each tried in a process of its own; their times are added."""
    own = program.call(arrays)
    right = []
    for name in (each for each in engines.NAMES if each != program.engine.name):
        trial = tried(name, content, arrays, threads=torch.get_num_threads())
        if trial is not None and program.answering.apart(own, trial.outputs, arrays) <= tolerance:
            right.append(name)
            times[name] = trial.milliseconds
    return right


def _said(found: Checked, split: str, tolerance: float) -> dict[str, Any]:
    return {
        "split": split,
        "count": found.count,
        "before": finite(found.before),
        "after": finite(found.after),
        "largest_difference": found.apart,
        "tolerance": tolerance,
    }


def _numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
