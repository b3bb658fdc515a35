"""`show`: a network by name at its paper's size, or a run."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from deepen.core import names
from deepen.core.errors import OptionError
from deepen.nn.shapes import ImageShape, TableShape
from deepen.nn.summary import layers, num_parameters
from deepen.verbs.loaded import loaded

TABLE_SHAPE = TableShape(numbers=6, categories=(9, 16, 7, 15, 6, 5, 2, 42))  # the columns of the Adult table
IMAGE_SHAPE = ImageShape(3, 224, 224)
OUTPUTS = 10


def show(what: str | Path, *, input_shape: tuple[int, ...] = (), outputs: int | None = None) -> dict[str, Any]:
    """What `deepen show` prints: {"name", "summary", "input", "outputs", "parameters", "multiply_adds", "layers"}.

    what         a model from `deepen list`, or a run folder
    input_shape  (channels, height, width) for image networks; default: the paper's
    outputs      default: the paper's

    Raises OptionError for an unknown name, RunError for a folder that is no run.
    """
    if str(what) in names.models():
        return _model(names.models()[str(what)], input_shape, outputs)
    if Path(what).is_dir():
        return _run(Path(what))
    raise OptionError(f"{what}: no such model or run folder{names.did_you_mean(str(what), names.models())}")


def _model(named: names.Named, input_shape: tuple[int, ...], outputs: int | None) -> dict[str, Any]:
    module = importlib.import_module(named.module)
    paper = getattr(module, "PAPER", {}).get(named.name)
    num_outputs: int = outputs or (paper.outputs if paper else OUTPUTS)
    shape = _shape(named, input_shape or (tuple(paper.inputs) if paper else ()))
    model = module.build(named.name, shape, num_outputs)
    return {"name": named.name, "summary": named.summary, **_described(model, shape, num_outputs)}


def _run(folder: Path) -> dict[str, Any]:
    run = loaded(folder)
    rows = layers_of_run(run)
    return {
        "name": str(folder),
        "summary": f"{run.header['task']} with {run.header['model']} on {run.header['data']['name']}",
        "status": run.header["status"],
        "metrics": run.header["metrics"],
        "options": run.header["options"],
        "parameters": num_parameters(run.model),
        "multiply_adds": None,
        "layers": rows,
    }


def layers_of_run(run: Any) -> list[dict[str, Any]]:
    """The layers of a run's network that hold parameters, without shapes: no sample is at hand."""
    return [
        {"name": name, "kind": type(module).__name__, "parameters": sum(p.numel() for p in module.parameters(False))}
        for name, module in run.model.named_modules()
        if any(True for _ in module.parameters(False))
    ]


def _shape(named: names.Named, sizes: tuple[int, ...]) -> ImageShape | TableShape:
    if "image classifier" not in named.contracts:
        return TABLE_SHAPE
    if len(sizes) not in (0, 3):
        raise OptionError(f"--input-shape: expected channels,height,width, but is {','.join(map(str, sizes))}.")
    return ImageShape(*sizes) if sizes else IMAGE_SHAPE


def _described(model: torch.nn.Module, shape: ImageShape | TableShape, outputs: int) -> dict[str, Any]:
    if isinstance(shape, ImageShape):
        inputs = [torch.zeros(1, shape.channels, shape.height, shape.width)]
        said = [shape.channels, shape.height, shape.width]
    else:
        inputs = [torch.zeros(1, shape.numbers), torch.zeros(1, len(shape.categories), dtype=torch.int64)]
        said = [shape.numbers, len(shape.categories)]
    rows = layers(model, inputs)
    return {
        "input": said,
        "outputs": outputs,
        "parameters": num_parameters(model),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "layers": [{**asdict(row), "output": list(row.output)} for row in rows],
    }
