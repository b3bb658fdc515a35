"""`show`: a network by name at its paper's size, or a run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepen.core import names
from deepen.core import options as option_rules
from deepen.core.errors import OptionError
from deepen.engine.task import Sampled
from deepen.nn.contracts import CONTRACTS, Contract
from deepen.nn.graph import traced
from deepen.nn.sketch import sketched
from deepen.nn.summary import Layer, layers, num_parameters
from deepen.report import graph as pictures
from deepen.verbs.loaded import loaded
from deepen.verbs.options import network_group, task_module

OUTPUTS = 10


def show(
    what: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    flags: bool = False,
    input_shape: tuple[int, ...] = (),
    outputs: int | None = None,
    graph: str | Path | None = None,
) -> dict[str, Any]:
    """What `deepen show` prints: {"name", "summary", "input", "outputs", "parameters", "multiply_adds", "layers"}.

    what         a model from `deepen list`, or a run folder
    given        options of a model where they are not its defaults, such as {"network.dropout": 0.1}
    flags        whether sentences spell options as flags
    input_shape  (channels, height, width) for image networks; default: the paper's
    outputs      default: the paper's
    graph        a file, .svg or .html, for a picture of the network; its name is then in the result too

    Raises OptionError for an unknown name or option, RunError for a folder that is no run.
    """
    if graph is not None:
        pictures.require_picture(graph)
    if str(what) in names.models():
        named = names.models()[str(what)]
        return _model(named, _options(named, given or {}, flags), input_shape, outputs, graph)
    if given:
        raise OptionError(f"{next(iter(option_rules.flat(given)))}: is an option of a model, and {what} is none.")
    if Path(what).is_dir():
        return _run(Path(what), graph)
    raise OptionError(f"{what}: no such model or run folder{names.did_you_mean(str(what), names.models())}")


def _options(named: names.Named, given: Mapping[str, Any], flags: bool) -> Any:
    """The network's own options."""
    group: Any = network_group(named.contracts[0], named.name)
    values = option_rules.resolve(option_rules.fields_of(group), option_rules.flat(given), flags=flags)
    return option_rules.build(group, values).network


def _model(
    named: names.Named, options: Any, input_shape: tuple[int, ...], outputs: int | None, graph: str | Path | None
) -> dict[str, Any]:
    module = importlib.import_module(named.module)
    paper = getattr(module, "PAPER", {}).get(named.name)
    num_outputs: int = outputs or (paper.outputs if paper else OUTPUTS)
    contract = CONTRACTS.get(named.contracts[0])
    if contract is None or getattr(module, "COUNTED", False):
        raise OptionError(f"{named.name}: what it holds depends on what it has read; name a run of it.")
    shape = _shape(contract, input_shape, paper)
    inputs = contract.sample(shape)

    def shown(model: torch.nn.Module, inputs: list[Tensor]) -> dict[str, Any]:
        said = _described(model, inputs, num_outputs)
        drawn = _drawn(model, inputs, contract.names, graph, named.name, named.summary)
        return {"name": named.name, "summary": named.summary, **said, **drawn}

    with sketched():
        sketch = module.build(named.name, shape, num_outputs, options)
    try:
        return shown(sketch, [tensor.to("meta") for tensor in inputs])
    except RuntimeError:  # a network that goes by its numbers, such as a tree that leads rows to its leaves, needs some
        return shown(module.build(named.name, shape, num_outputs, options), inputs)


def _run(folder: Path, graph: str | Path | None) -> dict[str, Any]:
    run = loaded(folder, device="cpu")
    inputs = run.task.sample() if isinstance(run.task, Sampled) else None
    contract = CONTRACTS.get(task_module(run.header["task"]).CONTRACT)
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
        **_drawn(run.model, inputs or [], contract.names if contract else (), graph, folder.name, summary),
    }


def _drawn(
    model: torch.nn.Module,
    inputs: list[Tensor],
    input_names: tuple[str, ...],
    graph: str | Path | None,
    title: str,
    note: str,
) -> dict[str, str]:
    """Writes the picture where one is wanted."""
    if graph is None:
        return {}
    found = traced(model, inputs, input_names if len(inputs) == len(input_names) else ())
    return {"graph": str(pictures.write(graph, found, title=title, note=note))}


def layers_of_run(run: Any) -> list[dict[str, Any]]:
    """The layers of a run's network that hold parameters, without shapes: what it reads is not known."""
    return [
        {"name": name, "kind": type(module).__name__, "parameters": sum(p.numel() for p in module.parameters(False))}
        for name, module in run.model.named_modules()
        if any(True for _ in module.parameters(False))
    ]


def _shape(contract: Contract, stated: tuple[int, ...], paper: Any) -> Any:
    """The shape that the user states, else the paper's, else what is usual."""
    return contract.shape_of(stated or (tuple(paper.inputs) if paper else ()))


def _described(model: torch.nn.Module, inputs: list[Tensor], outputs: int) -> dict[str, Any]:
    said = list(inputs[0].shape[1:]) if len(inputs) == 1 else [part.shape[1] for part in inputs]
    rows = layers(model, inputs)
    return {
        "input": said,
        "outputs": outputs,
        "parameters": num_parameters(model),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "layers": _jsonable(rows),
    }


def _jsonable(rows: list[Layer]) -> list[dict[str, Any]]:
    return [{**asdict(row), "output": list(row.output)} for row in rows]
