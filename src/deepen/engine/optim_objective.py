"""The mean loss over the batches of one update, as a function of the weights that can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deepen.core.errors import OptionError
from deepen.parallel.ranks import Ranks
from deepen.prepare.encoded import Batch


class BatchObjective:
    """The sum of losses over this rank's batches, added up over ranks, over the number of targets.

    Random draws depend on the sample and the epoch alone, so each look sees the same function. What a look changes in
    the network's buffers (running statistics) is put back.

    loss     the summed loss of a batch, with its graph
    count    targets over all ranks
    """

    def __init__(
        self,
        loss: Callable[[Batch], Tensor],
        batches: Sequence[Batch],
        parameters: Sequence[Tensor],
        buffers: Sequence[Tensor],
        *,
        ranks: Ranks,
        count: int,
        device: torch.device,
    ) -> None:
        self._loss, self._batches, self._parameters = loss, batches, parameters
        self._buffers, self._ranks, self._count, self._device = buffers, ranks, max(count, 1), device

    def value(self) -> float:
        """The mean loss, added up in double precision."""
        saved = [b.clone() for b in self._buffers]
        total = torch.zeros(1, dtype=torch.float64, device=self._device)
        with torch.no_grad():
            for batch in self._batches:
                total += self._loss(batch).double()
        self._put_back(saved)
        self._ranks.sum_([total])
        return float(total) / self._count

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian of the mean loss times a vector: the gradient of the gradient's inner product with it.

        Raises OptionError where a layer cannot be differentiated twice.
        """
        saved = [b.clone() for b in self._buffers]
        found = [torch.zeros_like(p) for p in self._parameters]
        with torch.enable_grad():
            for batch in self._batches:
                torch._foreach_add_(found, self._product(batch, vectors))
        self._put_back(saved)
        self._ranks.sum_(found)
        torch._foreach_div_(found, float(self._count))
        return found

    def _product(self, batch: Batch, vectors: Sequence[Tensor]) -> list[Tensor]:
        first = torch.autograd.grad(
            self._loss(batch), self._parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        inner = torch.stack([(g * v).sum() for g, v in zip(first, vectors, strict=True)]).sum()
        if not inner.requires_grad:  # the loss is linear in the weights
            return [torch.zeros_like(p) for p in self._parameters]
        try:
            second = torch.autograd.grad(inner, self._parameters, allow_unused=True, materialize_grads=True)
        except RuntimeError as error:
            if "derivative" not in str(error):
                raise
            raise OptionError(
                "--optimizer.kind newton: a layer of this model cannot be differentiated twice; take another optimizer."
            ) from error
        return list(second)

    def _put_back(self, saved: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for live, before in zip(self._buffers, saved, strict=True):
                live.copy_(before)
