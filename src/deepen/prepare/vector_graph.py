"""Samples as plain vectors (vectors.py) within a graph: from pixels, or from a table's numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepen.prepare import image_graph, table_graph
from deepen.prepare.vectors import LARGEST_PIXELS, of_columns


class Columns(nn.Module):
    """`vectors.of_columns` as a network: numbers [B, F], categories [B, G] -> [B, D]"""

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return of_columns(numbers, categories, self.levels)


class BesideVectors(nn.Module):
    """What makes a vector of up to four inputs, and a network on it: -> outputs and vector, [B, K + D]"""

    def __init__(self, vectors: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.vectors, self.network = vectors, network

    def forward(
        self, first: Tensor, second: Tensor | None = None, third: Tensor | None = None, fourth: Tensor | None = None
    ) -> Tensor:
        found = self.vectors(*(each for each in (first, second, third, fourth) if each is not None))
        return torch.cat([self.network(found), found], dim=1)


def vector_graph(state: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    """What makes vectors as `vectors.vectors_of` does, examples of its inputs by name, and what comes before them.

    state  what `vectors.learn` gave
    """
    if state["kind"] == "images":
        learned = state["image"]
        before = {"kind": "image", "image": image_graph.without_normalization(learned), "max_pixels": LARGEST_PIXELS}
        return image_graph.ImageGraph(nn.Flatten(), learned), image_graph.examples(learned), before
    learned = state["table"]
    before = {"kind": "table", "table": table_graph.without_scaling(learned)}
    return table_graph.TableGraph(Columns(state["levels"]), learned), table_graph.examples(learned), before
