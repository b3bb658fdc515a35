"""Early exits for a trained network: heads between its stages, trained together with it, and thresholds by validation.

    loss = mean over the exits and the whole network of the task's own loss of its logits

Thresholds are chosen as a cascade's (compress/cascade.py), an exit being a run that costs what its stages take.
The exits themselves are in nn/exits.py.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.compress.cascade import Operation, Wish, choose
from deepen.core.errors import OptionError
from deepen.nn.exits import WithExits, confidence
from deepen.nn.staged import Staged
from deepen.ops.losses import Loss
from deepen.prepare.encoded import Batch

STEP = "early-exit"


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> nn.Module:
    """The network with its exits; the values come with the weights. Raises TypeError or ValueError."""
    return WithExits(network, change["outputs"], change["places"], change["widths"], change["thresholds"])


def change_for(
    network: nn.Module, inputs: Sequence[Tensor], places: Sequence[int], thresholds: Sequence[float] = ()
) -> dict[str, Any]:
    """The change that puts an exit after each of these stages, counted from 1; without any after all but the last.

    inputs      a batch as the network takes it
    thresholds  of the exits; without, they answer nothing

    Raises OptionError for a network without stages, and for stages that it has not.
    """
    if not isinstance(network, Staged) or network.num_stages < 2:
        raise OptionError(
            "--method early-exit: this network has no stages after which it could answer; wren, resnet, vgg, densenet, "
            "mlp, tabular-resnet, transformer-encoder and dpcnn have."
        )
    last = network.num_stages - 1
    wrong = [place for place in places if not 1 <= place <= last]
    if wrong:
        raise OptionError(
            f"--exits {wrong[0]}: this network has {last + 1} stages, so an exit can stand after 1 to {last}."
        )
    after = sorted({place - 1 for place in places} or range(last))
    widths = []
    with torch.inference_mode():
        state = network.eval().begin(*inputs)
        for number in range(network.num_stages):
            state = network.stage(number, *state)
            if number in after:
                widths.append(network.summary(*state).shape[1])
        outputs = network.finish(*state)
    if outputs.dim() != 2:
        raise OptionError("--method early-exit: this network does not give one logit for each class.")
    return {
        "step": STEP,
        "outputs": outputs.shape[1],
        "places": after,
        "widths": widths,
        "thresholds": list(thresholds) or [1.0] * len(after),
    }


def taught(task: Any) -> Any:
    """The task, with a loss in which every exit counts as much as the whole network."""
    pupil: Any = copy.copy(task)
    plain = task.loss

    def loss(model: WithExits, batch: Batch) -> Loss:
        every = _Every(model)
        losses = [plain(every.answering(number), batch).sum for number in range(len(model.exits) + 1)]
        return Loss(torch.stack(losses).mean())

    pupil.loss = loss
    return pupil


class Only(nn.Module):
    """One exit of a network as a network of its own; the whole network where `which` is the number of exits.

    confidences, seconds  of each batch that it answered: [B], and the time it took for a sample
    """

    def __init__(self, network: WithExits, which: int) -> None:
        super().__init__()
        self.network, self.which = network, which
        self.confidences: list[np.ndarray] = []
        self.seconds: list[float] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        start = time.perf_counter()
        logits = self.network.only(self.which, *inputs)
        self.seconds.append((time.perf_counter() - start) / max(1, len(logits)))
        self.confidences.append(confidence(logits).cpu().numpy())
        return logits


def thresholds_for(exits: Sequence[Only], right: Sequence[np.ndarray], wish: Wish) -> Operation:
    """The thresholds of all but the last of these, by what each said on the same samples.

    exits  after they answered the samples, the whole network last
    right  [n] bool for each of them, whether its answers are the right ones

    Raises OptionError where no thresholds keep to the wish.
    """
    seconds = np.maximum.accumulate([float(np.median(each.seconds)) for each in exits])
    costs = np.maximum(np.diff(seconds, prepend=0.0), 1e-9)
    confidences = np.stack([np.nan_to_num(np.concatenate(each.confidences), nan=0.0) for each in exits[:-1]])
    return choose(confidences, np.stack(right), (costs / costs.sum()).tolist(), wish, whole=1.0)


class _Every(nn.Module):
    """Computes the network once, and then gives the logits of whichever exit is asked for."""

    def __init__(self, network: WithExits) -> None:
        super().__init__()
        self.network = network
        self.which = 0
        self.known: list[Tensor] = []

    def answering(self, which: int) -> _Every:
        self.which = which
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self.known:
            self.known = self.network.every(*inputs)
        return self.known[self.which]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)
