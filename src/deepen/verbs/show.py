"""`show`: a network by name at its paper's size, or a run."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepen.bundle import load
from deepen.core import names
from deepen.core.errors import OptionError
from deepen.nn.graph import traced
from deepen.nn.shapes import ImageShape, TableShape
from deepen.nn.summary import Layer, layers, num_parameters
from deepen.prepare import tabular
from deepen.report import graph as pictures
from deepen.verbs.loaded import Loaded, loaded

TABLE_SHAPE = TableShape(numbers=6, categories=(9, 16, 7, 15, 6, 5, 2, 42))  # the columns of the Adult table
IMAGE_SHAPE = ImageShape(3, 224, 224)
OUTPUTS = 10
INPUT_NAMES = ("numbers", "categories")


def show(
    what: str | Path,
    *,
    input_shape: tuple[int, ...] = (),
    outputs: int | None = None,
    graph: str | Path | None = None,
) -> dict[str, Any]:
    """What `deepen show` prints: {"name", "summary", "input", "outputs", "parameters", "multiply_adds", "layers"}.

    what         a model from `deepen list`, or a run folder
    input_shape  (channels, height, width) for image networks; default: the paper's
    outputs      default: the paper's
    graph        a file, .svg or .html, for a picture of the network; its name is then in the result too

    Raises OptionError for an unknown name, RunError for a folder that is no run.
    """
    if graph is not None:
        pictures.require_picture(graph)
    if str(what) in names.models():
        return _model(names.models()[str(what)], input_shape, outputs, graph)
    if Path(what).is_dir():
        return _run(Path(what), graph)
    raise OptionError(f"{what}: no such model or run folder{names.did_you_mean(str(what), names.models())}")


def _model(
    named: names.Named, input_shape: tuple[int, ...], outputs: int | None, graph: str | Path | None
) -> dict[str, Any]:
    module = importlib.import_module(named.module)
    paper = getattr(module, "PAPER", {}).get(named.name)
    num_outputs: int = outputs or (paper.outputs if paper else OUTPUTS)
    shape = _shape(named, input_shape or (tuple(paper.inputs) if paper else ()))
    model = module.build(named.name, shape, num_outputs)
    takes_vectors = _takes_vectors(named)
    said = _described(model, shape, num_outputs, takes_vectors=takes_vectors)
    drawn = _drawn(model, _inputs(shape, takes_vectors=takes_vectors), graph, named.name, named.summary)
    return {"name": named.name, "summary": named.summary, **said, **drawn}


def _run(folder: Path, graph: str | Path | None) -> dict[str, Any]:
    run = loaded(folder, device="cpu")
    inputs = _inputs_of_run(run)
    if graph is not None and inputs is None:
        raise OptionError(f"--graph {graph}: what {run.header['model']} reads is not known from {folder} alone.")
    rows = layers(run.model, inputs) if inputs else []
    summary = f"{run.header['task']} with {run.header['model']} on {run.header['data']['name']}"
    return {
        "name": str(folder),
        "summary": summary,
        "status": run.header["status"],
        "metrics": run.header["metrics"],
        "options": run.header["options"],
        "parameters": num_parameters(run.model),
        "multiply_adds": sum(row.multiply_adds for row in rows) if rows else None,
        "layers": _jsonable(rows) if rows else layers_of_run(run),
        **_drawn(run.model, inputs or [], graph, folder.name, summary),
    }


def _inputs_of_run(run: Loaded) -> list[Tensor] | None:
    """One sample of zeros as the run's network reads it, from what preparing learned; None where that is not said."""
    state: dict[str, Any] = load.load_prepare(run.folder)
    contracts = names.models()[run.header["model"]].contracts
    if "image" in state and any(contract.startswith("image ") for contract in contracts):
        height, width = state["image"]["size"]
        return _inputs(ImageShape(state["image"]["channels"], height, width))
    if "columns" in state and {"table classifier", "table regressor"} & set(contracts):
        return _inputs(TableShape(*tabular.shape_of(state)))
    return None


def _drawn(
    model: torch.nn.Module, inputs: list[Tensor], graph: str | Path | None, title: str, note: str
) -> dict[str, str]:
    """Writes the picture where one is wanted."""
    if graph is None:
        return {}
    found = traced(model, inputs, INPUT_NAMES if len(inputs) > 1 else ())
    return {"graph": str(pictures.write(graph, found, title=title, note=note))}


def layers_of_run(run: Any) -> list[dict[str, Any]]:
    """The layers of a run's network that hold parameters, without shapes: what it reads is not known."""
    return [
        {"name": name, "kind": type(module).__name__, "parameters": sum(p.numel() for p in module.parameters(False))}
        for name, module in run.model.named_modules()
        if any(True for _ in module.parameters(False))
    ]


def _shape(named: names.Named, sizes: tuple[int, ...]) -> ImageShape | TableShape:
    if _takes_vectors(named):
        return TableShape(sizes[0] if sizes else TABLE_SHAPE.numbers)
    if not any(contract.startswith("image ") for contract in named.contracts):
        return TABLE_SHAPE
    if len(sizes) not in (0, 3):
        raise OptionError(f"--input-shape: expected channels,height,width, but is {','.join(map(str, sizes))}.")
    return ImageShape(*sizes) if sizes else IMAGE_SHAPE


def _takes_vectors(named: names.Named) -> bool:
    return any(contract.startswith("vector ") for contract in named.contracts)


def _described(
    model: torch.nn.Module, shape: ImageShape | TableShape, outputs: int, *, takes_vectors: bool = False
) -> dict[str, Any]:
    inputs = _inputs(shape, takes_vectors=takes_vectors)
    said = list(inputs[0].shape[1:]) if len(inputs) == 1 else [part.shape[1] for part in inputs]
    rows = layers(model, inputs)
    return {
        "input": said,
        "outputs": outputs,
        "parameters": num_parameters(model),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "layers": _jsonable(rows),
    }


def _inputs(shape: ImageShape | TableShape, *, takes_vectors: bool = False) -> list[Tensor]:
    """One sample of zeros."""
    if isinstance(shape, ImageShape):
        return [torch.zeros(1, shape.channels, shape.height, shape.width)]
    numbers = torch.zeros(1, shape.numbers)
    return [numbers] if takes_vectors else [numbers, torch.zeros(1, len(shape.categories), dtype=torch.int64)]


def _jsonable(rows: list[Layer]) -> list[dict[str, Any]]:
    return [{**asdict(row), "output": list(row.output)} for row in rows]
