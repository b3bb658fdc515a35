"""One problem for all contenders: a network on Fashion-MNIST, its batch size and optimizer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from deepen.engine.options import FitOptions
from deepen.engine.task import Task
from deepen.engine.training import place
from deepen.prepare.encoded import Encoded
from deepen.verbs.options import resolved
from deepen.verbs.prepared import prepare

PLAIN = {"augment": (), "label_smoothing": 0.0, "ema": 0.0}  # what the other contenders do not have


@dataclass(frozen=True)
class Problem:
    """A network and data, as deepen prepared them and as plain tensors.

    options  how deepen trains; the others take the batch size and the optimizer from it
    images   [N, 28, 28] uint8
    floats   [N, 1, 28, 28] float, normalized: what a loop over tensors in memory takes
    labels   [N] int64
    """

    name: str
    task: Task
    train: Encoded
    options: FitOptions
    images: Tensor
    floats: Tensor
    labels: Tensor
    mean: float
    deviation: float

    def network(self) -> nn.Module:
        """A fresh network, in the memory layout in which deepen trains it."""
        return place(self.task.build(), torch.device("cpu")).train()

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The fused optimizer that deepen would use, without its schedule and without groups."""
        said = self.options.optimizer
        if said.kind == "sgd":
            return torch.optim.SGD(
                model.parameters(),
                lr=said.learning_rate,
                momentum=said.momentum,
                nesterov=said.nesterov,
                weight_decay=said.weight_decay,
                fused=True,
            )
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[said.kind]
        return kind(model.parameters(), lr=said.learning_rate, weight_decay=said.weight_decay, fused=True)

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training data."""
        return -(-len(self.labels) // self.options.batch_size)


def problem(data: Path, model: str, *, recipe: bool = False) -> Problem:
    """Fashion-MNIST with one of deepen's networks.

    recipe  keep the recipe's augmentation and its like; without it every contender does the same work
    """
    chosen = resolved("image-classification", {"model": model, "epochs": 1, **({} if recipe else PLAIN)})
    prepared = prepare("image-classification", data, chosen)
    train = prepared.encoded["train"]
    images, state = train.tensors["pixels"], prepared.state["image"]
    mean, deviation = state["mean"][0], state["std"][0]
    floats = (images.permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    return Problem(
        model,
        prepared.task,
        train,
        dataclasses.replace(chosen.fit, device="cpu"),
        images[..., 0],
        floats.contiguous(),
        train.tensors["label"],
        mean,
        deviation,
    )
