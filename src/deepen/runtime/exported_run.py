"""An exported file as a Python object, with what it shares with a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepen.runtime.engines import EngineName
from deepen.runtime.program import load

if TYPE_CHECKING:
    from deepen.data.dataset import Dataset
    from deepen.runtime.evaluation import EvaluationResult


class ExportedRun:
    """A run as one file, which answers and is scored without PyTorch.

    >>> run = deepen.load("photos.onnx")  # doctest: +SKIP
    >>> run.predict("cat.jpg")[0].label  # doctest: +SKIP
    'cat'

    engine   what computes it: auto, onnxruntime or openvino
    threads  of the engine; default: OMP_NUM_THREADS, else all processors
    """

    def __init__(self, path: str | Path, *, engine: EngineName = "auto", threads: int | None = None) -> None:
        self.path = Path(path)
        self.program = load(self.path, engine=engine, threads=threads)

    @property
    def task(self) -> str:
        """The task's name."""
        return self.program.task

    @property
    def model(self) -> str:
        """The model's name."""
        return self.program.description["model"]

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the run that it came from, by dotted name."""
        return self.program.description["options"]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the run that it came from."""
        return self.program.description["run"]["metrics"]

    def evaluate(self, data: str | Path | Dataset, *, skip_bad: bool = False, **options: Any) -> EvaluationResult:
        """Figures on data, which must be named: the file holds none."""
        return self.program.evaluate(data, options, skip_bad=skip_bad)

    def predict(
        self, inputs: str | Path | Sequence[str | Path], *, skip_bad: bool = False, **options: Any
    ) -> list[Any]:
        """One answer per sample of these files or folders."""
        return list(self.program.predict(inputs, options, skip_bad=skip_bad))

    def __repr__(self) -> str:
        return f"ExportedRun({str(self.path)!r}, engine={self.program.engine.name!r})"
