"""A network's features: what its last layer sees of a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepen.core.errors import OptionError
from deepen.engine.task import Task
from deepen.nn.pooling import masked_mean
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
    with the mean over its places, a sequence [B, T, D] beside a `mask` [B, T] with the mean over those that there are;
    the features of the members of a network stand beside each other.

    The network is not trained and the batch needs no targets. Raises OptionError if no layer has a weight matrix.
    """
    if isinstance(task, OwnFeatures):
        return task.features(model, batch).flatten(1)
    with torch.no_grad():
        read = last_read(model, lambda: task.answer(model, batch, [""] * len(batch.rows)))[1]
        return pooled(read, batch.tensors.get("mask"))


def pooled(read: Tensor, mask: Tensor | None) -> Tensor:
    """What a layer reads as one vector for each sample, [B, D].

    read  [B, D], maps [B, C, H, W], or a sequence [B, T, D] of which `mask` [B, T] says what there is
    """
    if read.dim() == 4:
        return read.mean(dim=(2, 3))
    if read.dim() == 3 and mask is not None and mask.shape == read.shape[:2]:
        return masked_mean(read, mask)
    return read.flatten(1)


def last_read(
    model: nn.Module, call: Callable[[], object], *, only: nn.Module | None = None
) -> tuple[nn.Module, Tensor]:
    """Of a call of the network the layer with a weight matrix that is used last, and what it reads, [B, ...] float.

    only  the one layer that is looked at, where it is known

    Raises OptionError if none is used.
    """
    seen: list[tuple[nn.Module, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[:] = [(layer, part.detach()) for part in given if isinstance(part, Tensor)][:1]

    layers = [layer for layer in model.modules() if _has_matrix(layer)]
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
    return seen[0][0], seen[0][1].float()


def _has_matrix(layer: nn.Module) -> bool:
    """Whether a layer has weights of its own in more than one dimension, those of a compressed one `quantized`."""
    whole = getattr(layer, "quantized", None)
    own = [*layer.parameters(recurse=False), *([whole] if isinstance(whole, Tensor) else [])]
    return any(each.dim() > 1 for each in own)
