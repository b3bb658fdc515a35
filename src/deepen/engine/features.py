"""A network's features: what its last layer sees of a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.task import Task
from deepen.prepare.encoded import Batch


@runtime_checkable
class OwnFeatures(Protocol):
    """A task that says itself what its network's features are, such as the code of an autoencoder."""

    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """[B, D]"""
        ...


def features_of(task: Task, model: nn.Module, batch: Batch) -> Tensor:
    """The features of each sample of a batch, [B, D] float.

    A task may say itself what they are (`features(model, batch)`). Otherwise they are the input of the layer with a
    weight matrix that the network uses last: of a classifier, the linear layer to the logits. A map [B, C, H, W] counts
    with the mean over its places; the features of the members of a network stand beside each other.

    The network is not trained and the batch needs no targets. Raises OptionError if no layer has a weight matrix.
    """
    if isinstance(task, OwnFeatures):
        return task.features(model, batch).flatten(1)
    with torch.no_grad():
        return last_read(model, lambda: task.answer(model, batch, [""] * len(batch.rows)))[1]


def last_read(
    model: nn.Module, call: Callable[[], object], *, only: nn.Module | None = None
) -> tuple[nn.Module, Tensor]:
    """Of a call of the network the layer with a weight matrix that is used last, and what it reads, [B, D] float.

    only  the one layer that is looked at, where it is known

    Raises OptionError if none is used.
    """
    seen: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[:] = [(layer, part.detach()) for part in given if isinstance(part, Tensor)][:1]

    layers = [layer for layer in model.modules() if any(p.dim() > 1 for p in layer.parameters(recurse=False))]
    layers = [layer for layer in layers if not isinstance(layer, nn.Embedding)] if only is None else [only]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise OptionError(
            f"--features: {type(model).__name__} has no layer whose input could be taken; name another run."
        )
    layer, read = seen[0][0], seen[0][1].float()
    return layer, read.mean(dim=(2, 3)) if read.dim() == 4 else read.flatten(1)
