"""A network with its preparation as a graph: traced once by torch.export, then written as ONNX, `.pt2`, or compiled."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from deepen.core.errors import OptionError
from deepen.core.jsontext import json_text
from deepen.engine.task import Exported
from deepen.nn.onnx_operators import onnx_operators

OPSET = 20
OUTPUT = "outputs"
LARGEST = 1 << 40  # a size that is no limit
EXTRA = "deepen.json"
INSTALL = "pip install 'deepen[export]'"


@dataclass(frozen=True)
class Traced:
    """A program and what it asks of its free dimensions.

    sizes    by the name of a dimension the least and the largest size it was traced for; None: no largest
    symbols  PyTorch's names of the dimensions, and ours
    """

    program: ExportedProgram
    sizes: dict[str, tuple[int, int | None]]
    symbols: dict[str, str]


def traced(exported: Exported, *, place: str, for_onnx: bool = False) -> Traced:
    """The program of a network, its free dimensions free.

    for_onnx  recurrent layers become operators of ONNX, and the program can no longer be run

    Raises OptionError where it cannot be traced, or only for one size of what should be free.
    """
    auto = {
        called: Dim(called, max=exported.most[called]) if called in exported.most else Dim.AUTO
        for called in _called(exported)
    }
    found = _with_sizes(_program(exported, auto, place, for_onnx), exported, place)
    if set(auto) == {"batch"}:
        return found
    # Dim.AUTO finds ranges and passes over what else the trace depends on; stated dimensions are refused for that.
    stated = {called: Dim(called, min=least, max=most) for called, (least, most) in found.sizes.items()}
    return _with_sizes(_program(exported, stated, place, for_onnx), exported, place)


def _called(exported: Exported) -> list[str]:
    """The names of the free dimensions."""
    return list(dict.fromkeys(called for names in exported.free.values() for called in names.values()))


def _program(exported: Exported, dimensions: Mapping[str, Any], place: str, for_onnx: bool) -> ExportedProgram:
    shapes = tuple(
        {axis: dimensions[called] for axis, called in exported.free.get(name, {}).items()} for name in exported.inputs
    )
    try:
        with _quiet(), torch.no_grad(), onnx_operators(for_onnx):
            return torch.export.export(exported.network, tuple(exported.inputs.values()), dynamic_shapes=shapes)
    except Exception as error:  # PyTorch raises many kinds, all of which mean this
        if "Constraints violated" in str(error):
            raise _depends(place, str(error).partition("(")[2].partition(")")[0]) from error
        raise _refused(place, error) from error


def _with_sizes(program: ExportedProgram, exported: Exported, place: str) -> Traced:
    """Reads which sizes the trace holds for. A least size of 2 is PyTorch's way to say 1."""
    sizes: dict[str, tuple[int, int | None]] = {}
    symbols: dict[str, str] = {}
    user = set(program.graph_signature.user_inputs)
    held = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    for node, name in zip(held, exported.inputs, strict=True):
        for dimension, called in exported.free.get(name, {}).items():
            size = node.meta["val"].shape[dimension]
            if isinstance(size, int) or size.node.maybe_as_int() is not None:
                raise _depends(place, called)
            symbol = size.node.expr
            found = program.range_constraints.get(symbol)
            least = 1 if found is None or found.lower <= 2 else int(found.lower)
            most = None if found is None or found.upper > LARGEST else int(found.upper)
            if most != exported.most.get(called):  # a limit that the network was not known to have
                raise _depends(place, called)
            sizes[called] = (max(sizes.get(called, (1, None))[0], least), most)
            symbols[str(symbol)] = called
    return Traced(program, sizes, symbols)


def onnx_model(found: Traced, exported: Exported, *, place: str) -> bytes:
    """An ONNX model of opset 20, checked by ONNX's own checker, all of its tensors inside.

    Raises OptionError where the exporter is not installed or cannot write this network.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if not _is_there(name)]:
        raise OptionError(f"{place}: {' and '.join(missing)} needed to write ONNX, and not installed; {INSTALL}.")
    import onnx

    try:
        with _quiet(), torch.no_grad():
            written = torch.onnx.export(
                found.program,
                tuple(exported.inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(exported.inputs),
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
        assert written is not None
        model = written.model_proto
    except Exception as error:  # as above
        raise _refused(place, error) from error
    del model.metadata_props[:]
    _without_traces(model)
    _named(model, found.symbols)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def pt2_bytes(program: ExportedProgram, description: Mapping[str, Any]) -> bytes:
    """PyTorch's archive of the program, with the description as its extra file `deepen.json`.

    `torch.export.load` can run code from such a file, so this package writes and never loads one.
    """
    held = io.BytesIO()
    with _quiet():
        torch.export.save(program, held, extra_files={EXTRA: json_text(dict(description))})
    return held.getvalue()


def compiled_bytes(program: ExportedProgram, description: Mapping[str, Any], *, place: str) -> bytes:
    """An AOTInductor package: machine code for this kind of processor, with the description as its metadata.

    Raises OptionError where no C++ compiler is installed, or it fails.
    """
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None and shutil.which("clang++") is None:
        raise OptionError(
            f"{place}: --format aoti needs a C++ compiler and there is no {compiler} or clang++; install one "
            "(apt install g++), or export to onnx or pt2."
        )
    with tempfile.TemporaryDirectory(prefix="deepen-aoti-") as folder:
        path = str(Path(folder, "program.pt2"))
        before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            with _quiet():
                configs = {"aot_inductor.metadata": {EXTRA: json_text(dict(description))}}
                torch._inductor.aoti_compile_and_package(program, package_path=path, inductor_configs=configs)
            return Path(path).read_bytes()
        except Exception as error:
            raise _refused(place, error) from error
        finally:
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def _named(model: Any, symbols: Mapping[str, str]) -> None:
    """Gives the free dimensions our names in the place of the tracer's."""
    for each in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        for dimension in each.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = re.sub(
                    r"\w+", lambda found: symbols.get(found.group(), found.group()), dimension.dim_param
                )


class InMemory:
    """A traced program as an engine, for checking what is never loaded from a file."""

    name = "torch.export"

    def __init__(self, program: ExportedProgram, exported: Exported) -> None:
        self._module = program.module()
        self.inputs: Mapping[str, tuple[Any, tuple[int | None, ...]]] = {
            name: (each.numpy().dtype.type, tuple(each.shape)) for name, each in exported.inputs.items()
        }

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The program's output."""
        with torch.no_grad():
            return self._module(*map(torch.from_numpy, arrays)).numpy()


def _without_traces(model: Any) -> None:
    """Takes out what the exporter notes of the source files it came from: paths of this machine."""
    held = [model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info]
    for each in [*held, *model.graph.input, *model.graph.output]:
        del each.metadata_props[:]
        each.doc_string = ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch says while it traces: of packages that are not needed, and of what it does just now."""
    loggers = [
        logging.getLogger(name)
        for name in ("torch.onnx", "torch.export", "torch.__trace", "torch._inductor", "onnxscript")
    ]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _depends(place: str, called: str) -> OptionError:
    return OptionError(
        f"{place}: this network cannot be exported: what is computed changes with the size of {called}, so that a file "
        "would hold for some sizes alone; take another network."
    )


def _is_there(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def _refused(place: str, error: Exception) -> OptionError:
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    said = next((line for line in lines if not line.startswith(("[", "<", "#", "Failed"))), type(error).__name__)
    return OptionError(f"{place}: this network cannot be exported: {said[:200]}")
