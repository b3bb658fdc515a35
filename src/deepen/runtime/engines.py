"""What computes an exported graph on this machine: ONNX Runtime or OpenVINO, the faster of the two by measuring.

Layers of whole numbers are computed in whole numbers where the processor adds their products up rightly, elsewhere in
floats that were rounded to the same values: on a processor without VNNI, integer kernels moved the probabilities of a
small Transformer by up to 0.28.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import numpy as np

from deepen.core import processor
from deepen.core.errors import OptionError, RunError

EngineName = Literal["auto", "onnxruntime", "openvino"]
NAMES = ("onnxruntime", "openvino")
INSTALL = "pip install 'deepen[runtime]'"
MEASURED_ROWS = (1, 32)
LENGTH = 16
MEASURED_SECONDS = 0.15  # per engine and batch size
NEAR = 1e-3  # times the largest output: how far a faster engine may be from the first to be taken
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
}


class Engine(Protocol):
    """A graph that is ready to run.

    name     of the engine
    inputs   the graph's inputs by name, in order, with their type and shape; a free dimension is None
    """

    name: str

    @property
    def inputs(self) -> Mapping[str, tuple[Any, tuple[int | None, ...]]]: ...

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The graph's output for its inputs in their order."""
        ...


def opened(
    content: bytes,
    *,
    place: str,
    engine: EngineName = "auto",
    threads: int | None = None,
    proven: Sequence[str] = NAMES,
    length: int = LENGTH,
) -> Engine:
    """An engine for a graph whose file was found harmless.

    auto     of those that are installed and `proven`, the one that is faster here at 1 and at 32 rows, measured now
    proven   the engines that were found to answer rightly when the file was written; OpenVINO, which rounds float64 to
             float32, crashes on some graphs
    length   of free dimensions but the rows while engines are timed, no more than the graph takes

    Raises OptionError where the engine is not installed, RunError where it cannot make anything of the graph.
    """
    if engine != "auto":
        if engine not in proven:
            raise OptionError(
                f"{place}: {engine} did not answer as the run does when this file was written, or was not there to be "
                f"tried; pass --engine {' or '.join(proven) or 'auto'}, or export anew."
            )
        return _open(engine, content, place, threads)
    first = _open("onnxruntime", content, place, threads) if _is_there("onnxruntime") else None
    if first is None:
        return _open("openvino", content, place, threads)
    if "openvino" not in proven or not _is_there("openvino"):
        return first
    try:
        second = _open("openvino", content, place, threads)
        return _faster(first, second, length)
    except RunError:
        return first


def measured(engine: Engine, arrays: Sequence[np.ndarray], *, seconds: float = MEASURED_SECONDS) -> float:
    """Milliseconds of a call: the median over as many as fit into this time, at least 5, after 2 that do not count."""
    for _ in range(2):
        engine.run(arrays)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        engine.run(arrays)
        taken.append(time.perf_counter() - start)
    return 1000 * float(np.median(taken))


def example(engine: Engine, rows: int, *, length: int = LENGTH) -> list[np.ndarray]:
    """Inputs of the right kind: small numbers, ones where a truth value is wanted; the first free dimension is rows."""
    draw = np.random.default_rng(0)
    found = []
    for kind, shape in engine.inputs.values():
        sizes = [rows if place == 0 else length if size is None else size for place, size in enumerate(shape)]
        if kind is np.bool_:
            found.append(np.ones(sizes, np.bool_))
        elif kind is np.uint8:
            found.append(draw.integers(0, 256, sizes).astype(np.uint8))
        else:
            found.append(draw.integers(0, 2, sizes).astype(kind))
    return found


def threads_here() -> int:
    """How many threads an engine takes if none is said: OMP_NUM_THREADS, else the processors this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else processor.available_cores()


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    name = "onnxruntime"

    def __init__(self, content: bytes, place: str, threads: int | None) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or threads_here()
        options.inter_op_num_threads = 1
        if not processor.adds_whole_products():
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.log_severity_level = 4  # what goes wrong is raised; nothing of it belongs on a terminal
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _unusable(place, self.name, error) from error
        self.inputs = {
            each.name: (_numpy_type(each.type, place), _shape(each.shape)) for each in self._session.get_inputs()
        }
        self._output = self._session.get_outputs()[0].name

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The graph's output."""
        return np.asarray(self._session.run([self._output], dict(zip(self.inputs, arrays, strict=True)))[0])


class OpenVINO:
    """OpenVINO on the CPU, in float32 wherever the graph says so: its own choice may be bfloat16."""

    name = "openvino"

    def __init__(self, content: bytes, place: str, threads: int | None) -> None:
        openvino = _openvino()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or threads_here(),
        }
        if not processor.adds_whole_products():
            settings["LP_TRANSFORMS_MODE"] = False
        try:
            core = openvino.Core()
            model = core.read_model(model=content, weights=b"")
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:
            raise _unusable(place, self.name, error) from error
        self.inputs = {}
        for each in model.inputs:
            sizes = tuple(None if size.is_dynamic else size.get_length() for size in each.get_partial_shape())
            self.inputs[each.get_any_name()] = (each.get_element_type().to_dtype().type, sizes)

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The graph's output."""
        found = self._request.infer(dict(zip(self.inputs, arrays, strict=True)))
        return np.array(next(iter(found.values())))


def _openvino() -> Any:
    """The package without the part of it that can report its use: nothing of ours goes online."""
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))  # an import of it fails; OpenVINO has a stub for that
    return importlib.import_module("openvino")


def _open(name: str, content: bytes, place: str, threads: int | None) -> Engine:
    if not _is_there(name):
        raise OptionError(f"{place}: {name} is needed to run it and is not installed; {INSTALL}.")
    return OnnxRuntime(content, place, threads) if name == "onnxruntime" else OpenVINO(content, place, threads)


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _faster(first: Engine, second: Engine, length: int) -> Engine:
    """The one with the smaller product of times, unless their outputs differ by more than rounding."""
    if list(first.inputs) != list(second.inputs):
        return first
    ratio = 1.0
    for rows in MEASURED_ROWS:
        arrays = example(first, rows, length=length)
        a, b = first.run(arrays), second.run(arrays)
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=NEAR * max(1.0, float(np.abs(a).max(initial=0)))):
            return first
        ratio *= measured(second, arrays) / measured(first, arrays)
    return second if ratio < 1 else first


def _numpy_type(name: str, place: str) -> Any:
    if name not in TYPES:
        raise RunError(f"{place}: has an input of type {name}, which no export of ours has.")
    return TYPES[name]


def _shape(sizes: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in sizes)


def _unusable(place: str, engine: str, error: Exception) -> RunError:
    said = str(error).strip().split("\n")[0][:200]
    return RunError(f"{place}: {engine} cannot run its graph ({said}); write it anew, or pass another --engine.")
