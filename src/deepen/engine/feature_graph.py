"""The features of an exported run as a network of their own, for the export of what is built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.features import OwnFeatures, last_read, pooled
from deepen.engine.task import Exports


class FeatureGraph(nn.Module):
    """What `features_of` gives, from the inputs that the run's exported graph reads: up to four -> [B, D]

    inputs, free, most, preparation  those of the run's export (engine/task.Exported), without inputs of zeros

    Raises OptionError where the run cannot be exported, or has features that its exported graph does not give.
    """

    def __init__(self, task: Any, model: nn.Module, *, place: str) -> None:
        super().__init__()
        if not isinstance(task, Exports):
            raise OptionError(f"{place}: the run whose features it clusters cannot be exported, so neither can this.")
        exported = task.exported(model)
        self.model, self.network = model, exported.network
        self.width = int(exported.answer["size"]) if exported.answer["kind"] == "features" else 0
        if isinstance(task, OwnFeatures) and not self.width:
            raise OptionError(f"{place}: the features of the run that it clusters are in no exported graph.")
        self.zeros: Mapping[str, Any] = exported.preparation.get("zeros", {})
        self.inputs = {name: each for name, each in exported.inputs.items() if name not in self.zeros}
        self.free = {name: exported.free[name] for name in self.inputs}
        self.most = exported.most
        self.preparation = {**exported.preparation, **({"zeros": {}} if self.zeros else {})}
        self._layer = None if self.width else self._used_last(list(exported.inputs.values()))

    def forward(self, first: Tensor, *others: Tensor | None) -> Tensor:
        """The features."""
        given = [first, *(other for other in others if other is not None)]
        zeros = [first.new_zeros((first.shape[0], *shape), dtype=torch.float32) for shape in self.zeros.values()]
        if self.width:
            return self.network(*given, *zeros)[:, : self.width]
        read = last_read(self.model, lambda: self.network(*given), only=self._layer)[1]
        return pooled(read, dict(zip(self.inputs, given, strict=False)).get("mask"))

    def _used_last(self, examples: list[Tensor]) -> nn.Module:
        """Found without tracing: a traced network may use other layers than one that answers."""
        with torch.no_grad():
            return last_read(self.model, lambda: self.network(*examples))[0]
