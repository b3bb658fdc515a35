"""Features of a picture from outputs [B, D + 2], or [B, D + 4] where the network bounds a likelihood.

    0 .. D - 1  the features
    D           the mean squared error of what is decoded, pixels counting from 0 to 1
    D + 1       the mean squared distance of the picture from the mean training image
    D + 2       log p(x|z) at z = mu + sigma * draws, in nats
    D + 3       the divergence of q(z|x) from the prior, in nats

Beside `pixels` a graph may read `noise` [B, C, H, W] float32, which is added to them before they are encoded, and
`draws` [B, D] float32. Both are zero for an answer; figures ask the graph again with others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepen.core import rng
from deepen.core.faults import Fault
from deepen.metrics.reconstruction import Reconstruction
from deepen.prepare import labels

NO_LABEL = -1
HALF_STEP = 2.0**-25  # moves uniform draws, multiples of 2^-24, into the middle of their steps
NOISE_USE = "noise of evaluation"
FURTHER = "further {}"
SMALLEST = 1e-6  # unit in which outputs are compared


@dataclass(frozen=True)
class FeatureAnswer:
    """The features of a picture.

    reconstruction_error  mean squared error of what is decoded from them, pixels from 0 to 1: large for odd pictures
    """

    source: str
    features: tuple[float, ...]
    reconstruction_error: float


class Answers:
    """Features as they are.

    state  `size`, how many there are; `labels` that a probe asks for, none where training had none; `noise` with its
           `kind` and `level`, null where there is none; `draws` of the bound, [N, D], none where there is no bound
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.size = int(state["size"])
        self.labels = [str(name) for name in state["labels"]]
        self.noise: Mapping[str, Any] | None = state["noise"]
        self.draws = np.array(state["draws"], np.float32).reshape(-1, self.size)

    def targets(self, table: pa.Table, split: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
        """Label numbers [N] int64, -1 where there is none: no row is left out for that."""
        return label_numbers(table, "label", self.labels, split), np.arange(table.num_rows)

    def metrics(self) -> Reconstruction:
        """Errors, the bound where the network has one, and probes."""
        further = ["denoised"] if self.noise else []
        return Reconstruction(*further, *(["bounds", "divergences"] if len(self.draws) else []))

    def further(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The same pictures with the noise of their rows, and then with each draw of the bound."""
        if self.noise:
            uniform = rng.uniform(0, 0, rows, arrays["noise"][0].size, NOISE_USE).reshape(arrays["noise"].shape)
            clean = arrays["pixels"].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)
            yield {**arrays, "noise": noise_of(clean, self.noise["kind"], float(self.noise["level"]), uniform)}
        for draw in self.draws:
            yield {**arrays, "draws": np.tile(draw, (len(rows), 1))}

    def score(
        self,
        metrics: Reconstruction,
        outputs: np.ndarray,
        targets: np.ndarray,
        arrays: Mapping[str, np.ndarray],
        rows: np.ndarray,
    ) -> None:
        """Adds errors and codes; `arrays` hold what `further` led to."""
        errors, variations = outputs[:, self.size], outputs[:, self.size + 1]
        entries = {"errors": errors, "variations": variations, "labels": targets}
        if self.noise:
            entries["denoised"] = arrays[FURTHER.format(0)][:, self.size]
        if len(self.draws):
            first = 1 if self.noise else 0
            asked = [arrays[FURTHER.format(place)] for place in range(first, first + len(self.draws))]
            likelihood = np.mean([each[:, self.size + 2] for each in asked], axis=0, dtype=np.float64)
            entries["divergences"] = outputs[:, self.size + 3]
            entries["bounds"] = (likelihood - entries["divergences"]).astype(np.float32)
        metrics.add(entries, outputs[:, : self.size], rows)

    def answers(self, outputs: np.ndarray, arrays: Mapping[str, np.ndarray], table: pa.Table) -> list[FeatureAnswer]:
        """The features of each row, and how well it can be decoded."""
        sources = table.column("source").to_pylist()
        rows = zip(sources, outputs[:, : self.size].tolist(), outputs[:, self.size].tolist(), strict=True)
        return [FeatureAnswer(source, tuple(code), error) for source, code, error in rows]

    def apart(self, outputs: np.ndarray, others: np.ndarray, arrays: Mapping[str, np.ndarray]) -> float:
        """The largest difference in root mean squares: of a feature in that of all of them, of an error in that of the
        distance from the mean image, of a term of the bound in that of the likelihood."""
        features, errors, bounds = (slice(self.size), slice(self.size, self.size + 2), slice(self.size + 2, None))
        units = [outputs[:, features], outputs[:, [self.size + 1]], outputs[:, self.size + 2 : self.size + 3]]
        parts = (features, errors, bounds)
        return max(relative(outputs[:, part], others[:, part], unit) for part, unit in zip(parts, units, strict=True))


def label_numbers(table: pa.Table, column: str, names: list[str], split: str) -> np.ndarray:
    """Each row's place among the names, [N] int64; -1 where there is none, or no names or no such column are there."""
    found = np.full(table.num_rows, NO_LABEL, np.int64)
    if names and column in table.column_names:
        numbers, rows = labels.codes(table, column, names, split, [])
        found[rows] = numbers
    return found


def noise_of(clean: np.ndarray, kind: str, level: float, uniform: np.ndarray) -> np.ndarray:
    """What has to be added to values so that they have the noise that `ops.corruption.corrupted` gives them.

    clean, uniform  the same shape, float32
    """
    if kind == "gaussian":
        from scipy.special import ndtri

        return np.float32(level) * ndtri(uniform.astype(np.float64) + HALF_STEP).astype(np.float32)
    one = level / 2 if kind == "salt-and-pepper" else 0.0
    noisy = np.where(uniform < np.float32(level), np.float32(kind == "salt-and-pepper"), clean)
    noisy = np.where(uniform < np.float32(one), np.float32(0), noisy)
    return noisy - clean


def relative(a: np.ndarray, b: np.ndarray, unit: np.ndarray) -> float:
    """The largest |a - b| over the root mean square of `unit`; NaN where one of them is."""
    scale = float(np.sqrt(np.mean(np.square(unit, dtype=np.float64)))) if unit.size else 1.0
    return float(np.abs(a.astype(np.float64) - b).max(initial=0)) / max(scale, SMALLEST)
