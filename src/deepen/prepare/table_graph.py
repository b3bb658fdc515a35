"""The scaling of a table's numbers as a part of a network, so that an exported graph takes them as they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.ops.whitening import Spectrum, zca_whitened
from deepen.prepare.packed import unpacked
from deepen.prepare.scaling import EPSILON, LIMIT
from deepen.prepare.tabular import inputs_of, measures_of


class ScaledNumbers(nn.Module):
    """What `tabular.encode` makes of `tabular.values_of`.

    A number x with quantiles p[0] < ... < p[P - 1] and their normals q becomes, in float64,

        q[j] + (q[j + 1] - q[j]) / (p[j + 1] - p[j]) (x - p[j]),    p[j] <= x < p[j + 1], x cut to [p[0], p[P - 1]]

    one without becomes (x - mean) / deviation; both are cut to -4..4.

    R numbers, F inputs, P the most quantiles of a number
    """

    points: Tensor  # [R, P], +infinity behind the last
    normals: Tensor  # [R, P]
    last: Tensor  # [R] int64, the place of the last quantile
    median: Tensor  # [R]
    is_between: Tensor  # [R] bool, whether a number has quantiles
    places: Tensor  # [F] int64, where the inputs stand among R values and R signs

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        inputs = inputs_of(state)
        quantiles = [_quantiles(each) for each in inputs]
        longest = max(len(points) for points, _ in quantiles)
        shape = (len(inputs), longest)
        points, normals = np.full(shape, np.inf), np.zeros(shape)
        for row, (own, theirs) in enumerate(quantiles):
            points[row, : len(own)], normals[row, : len(own)] = own, theirs
        self.register_buffer("points", torch.from_numpy(points))
        self.register_buffer("normals", torch.from_numpy(normals))
        self.register_buffer("last", torch.tensor([len(own) - 1 for own, _ in quantiles]))
        self.register_buffer("median", torch.tensor([each["median"] for each in inputs], dtype=torch.float64))
        self.register_buffer("places", torch.tensor(_places(inputs)))
        self.register_buffer("is_between", torch.tensor(["points" in each for each in inputs]))
        self._whitening(state)

    def forward(self, numbers: Tensor) -> Tensor:
        """[B, R] float64, NaN where missing -> [B, F] float32"""
        missing = torch.isnan(numbers)
        known = torch.where(missing, self.median, numbers)
        ends = torch.stack([self.points[:, 0], self.points.gather(1, self.last[:, None])[:, 0]])
        known = torch.where(self.is_between, known.maximum(ends[0]).minimum(ends[1]), known)
        count = (known[:, :, None] >= self.points).sum(2)  # [B, R]
        before = (count - 1).clamp(min=0).minimum(self.last - 1)
        start = torch.arange(self.points.shape[0], device=numbers.device) * self.points.shape[1]
        left, right = before + start, before + start + 1
        points, normals = self.points.flatten(), self.normals.flatten()
        slope = (normals[right] - normals[left]) / (points[right] - points[left])
        values = (slope * (known - points[left]) + normals[left]).clamp(-LIMIT, LIMIT)
        inputs = torch.cat([values, missing.double()], 1).index_select(1, self.places).float()
        return self._whitened(inputs)

    def _whitening(self, state: dict[str, Any]) -> None:
        self.spectrum: Spectrum | None = None
        if "whitening" in state:
            learned = state["whitening"]
            parts = (torch.from_numpy(unpacked(learned[name])) for name in ("mean", "directions", "variances"))
            self.spectrum = Spectrum(*parts, learned["rest"])  # type: ignore[misc]
            is_measure = measures_of(state)
            order = np.argsort(np.concatenate([np.flatnonzero(is_measure), np.flatnonzero(~is_measure)]))
            self.register_buffer("measures", torch.from_numpy(np.flatnonzero(is_measure)))
            self.register_buffer("others", torch.from_numpy(np.flatnonzero(~is_measure)))
            self.register_buffer("order", torch.from_numpy(order))

    def _whitened(self, inputs: Tensor) -> Tensor:
        if self.spectrum is None:
            return inputs
        found = zca_whitened(inputs.index_select(1, self.measures), self.spectrum, epsilon=EPSILON)  # type: ignore[arg-type]
        both = [found.clamp(-LIMIT, LIMIT), inputs.index_select(1, self.others)]  # type: ignore[arg-type]
        return torch.cat(both, 1).index_select(1, self.order)  # type: ignore[arg-type]


class TableGraph(nn.Module):
    """A network on tables that takes numbers as they stand, and categories by their places.

    forward takes numbers [B, R] float64 and categories [B, G] int64, those of the two that the table has

    finish  what is done with the network's own outputs, if anything
    """

    def __init__(
        self, network: nn.Module, state: dict[str, Any], finish: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.network, self.finish = network, finish
        self.scaled = ScaledNumbers(state) if inputs_of(state) else None

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The outputs."""
        if self.scaled is None:
            numbers, categories = first.new_zeros((first.shape[0], 0), dtype=torch.float32), first
        else:
            none = first.new_zeros((first.shape[0], 0), dtype=torch.int64)
            numbers, categories = self.scaled(first), none if second is None else second
        outputs = self.network(numbers, categories)
        return outputs if self.finish is None else self.finish(outputs)


def examples(state: dict[str, Any]) -> dict[str, Tensor]:
    """Two rows as a graph takes them, by the names of its inputs."""
    has_numbers, has_categories = _there(state)
    found: dict[str, Tensor] = {}
    if has_numbers:
        middle = torch.tensor([each["median"] for each in inputs_of(state)], dtype=torch.float64)
        found["numbers"] = torch.stack([middle, middle])
    if has_categories:
        count = sum(column["kind"] == "category" for column in state["columns"])
        found["categories"] = torch.zeros(2, count, dtype=torch.int64)
    return found


def without_scaling(state: dict[str, Any]) -> dict[str, Any]:
    """What the preparation in front of the graph needs."""
    return {name: value for name, value in state.items() if name in ("target", "columns", "left_out")}


def _there(state: dict[str, Any]) -> tuple[bool, bool]:
    return bool(inputs_of(state)), any(column["kind"] == "category" for column in state["columns"])


def _quantiles(state: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Points and normals; of a number that is only centred and divided two points of the same line."""
    if "points" in state:
        return state["points"], state["normals"]
    return [state["mean"], state["mean"] + state["deviation"]], [0.0, 1.0]


def _places(inputs: list[dict[str, Any]]) -> list[int]:
    """Where the inputs stand among the values of all numbers and then their signs of being missing."""
    places = []
    for place, each in enumerate(inputs):
        places += [place, len(inputs) + place] if each["has_missing"] else [place]
    return places
