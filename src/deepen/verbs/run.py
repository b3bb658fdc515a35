"""A run folder as a Python object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepen.bundle import load, records

if TYPE_CHECKING:
    from deepen.data.dataset import Dataset
    from deepen.verbs.compress import CompressResult
    from deepen.verbs.evaluate import EvaluationResult
    from deepen.verbs.explain import ExplanationResult
    from deepen.verbs.export import ExportResult


class Run:
    """What `train` made.

    >>> run = deepen.train("image-classification", "digits", epochs=3)  # doctest: +SKIP
    >>> run.metrics["accuracy"]  # doctest: +SKIP
    0.97
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path)
        self.header: dict[str, Any] = load.load_header(self.folder)

    @property
    def task(self) -> str:
        """The task's name."""
        return self.header["task"]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.header["model"]

    @property
    def options(self) -> dict[str, Any]:
        """Every option as resolved, by dotted name."""
        return self.header["options"]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures on the test split (on the validation split where there is no test split)."""
        return self.metrics_of(self.header["metrics"].get("of", ""))

    def metrics_of(self, split: str) -> dict[str, float]:
        """The figures on "val" or "test"; empty if there is no such split."""
        return self.header["metrics"].get(split, {})

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per evaluation during training."""
        return records.read_metrics(self.folder)

    def evaluate(self, data: str | Path | Dataset | None = None, **options: Any) -> EvaluationResult:
        """Figures on data, by default on the test split of the data it was trained on."""
        from deepen.verbs.evaluate import evaluate

        return evaluate(self.folder, data, options)

    def predict(self, inputs: str | Path | list[str | Path], **options: Any) -> list[Any]:
        """One answer per sample of these files or folders."""
        from deepen.verbs.predict import predict

        return list(predict(self.folder, inputs, options))

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """What goes on from the prompt, piece by piece: `"".join(run.generate("It was", length=50))`."""
        from deepen.verbs.generate import generate

        return generate(self.folder, prompt, options)

    def explain(
        self,
        inputs: str | Path | Dataset | list[str | Path] = (),  # type: ignore[assignment]
        *,
        out: str | Path | None = None,
        **options: Any,
    ) -> ExplanationResult:
        """What the answers go by, for these inputs or the run's own test split, as a folder and as numbers."""
        from deepen.verbs.explain import explain

        return explain(self.folder, inputs, options, out=out)

    def serve(self, **options: Any) -> None:
        """Answers over HTTP until SIGTERM or Ctrl-C: `run.serve(port=8000)`, options as `deepen serve --help` says."""
        from deepen.verbs.serve import serve

        serve(self.folder, options, say=print, on_ready=lambda told: print(f"serving at {told.address}", flush=True))

    def export(
        self, out: str | Path | None = None, *, data: str | Path | Dataset | None = None, **options: Any
    ) -> ExportResult:
        """The run as one file that answers without PyTorch, checked before it is written."""
        from deepen.verbs.export import export

        return export(self.folder, options, out=out, data=data)

    def compress(
        self,
        out: str | Path | None = None,
        *,
        data: str | Path | Dataset | None = None,
        others: Sequence[str | Path] = (),
        layers: bool = False,
        **options: Any,
    ) -> CompressResult:
        """The run made smaller or faster, as a new run: `run.compress(method=("channels", "int8"), epochs=2)`."""
        from deepen.verbs.compress import compress

        return compress(self.folder, options, out=out, data=data, others=others, layers=layers)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"
