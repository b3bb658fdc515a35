"""Weights of several runs of one architecture averaged into one network: the speed of one, some of the gain of many.

Uniform: the mean of all. Greedy: from the best by validation on, each run is added if the mean then does better there.
Batch norms get their statistics from the training samples anew, since those of a mean of weights are not the mean of
theirs.

Source: Wortsman et al. 2022, Model soups; Izmailov et al. 2018, Averaging Weights (the statistics). The runs should
stem from one start: the mean of runs from different random starts lies between their valleys, and answers badly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from deepen.core.errors import RunError

Norm = nn.modules.batchnorm._BatchNorm


def mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor; of those that are no floats the first."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for name, value in first.items()
    }


def require_alike(states: Sequence[Mapping[str, Tensor]], places: Sequence[str]) -> None:
    """Raises RunError, naming the run, for weights of another shape."""
    first = {name: value.shape for name, value in states[0].items()}
    for state, place in zip(states[1:], places[1:], strict=True):
        if {name: value.shape for name, value in state.items()} != first:
            raise RunError(f"{place}: has another network than {places[0]}, so their weights cannot be averaged.")


def greedy(
    states: Sequence[Mapping[str, Tensor]], judged: Callable[[Mapping[str, Tensor]], float]
) -> tuple[dict[str, Tensor], list[int]]:
    """The mean of those that help, and their numbers in the order of taking them.

    judged  how good a network with such a state is, more is better
    """
    alone = [judged(state) for state in states]
    order = sorted(range(len(states)), key=lambda number: -alone[number])
    taken, best = [order[0]], alone[order[0]]
    for number in order[1:]:
        value = judged(mean([states[each] for each in (*taken, number)]))
        if value >= best:
            taken, best = [*taken, number], value
    return mean([states[each] for each in taken]), taken


@torch.no_grad()
def learn_statistics(network: nn.Module, calls: Sequence[Callable[[nn.Module], object]]) -> None:
    """Sets the statistics of batch norms to the mean over these passes, in place."""
    norms = [module for module in network.modules() if isinstance(module, Norm) and module.running_mean is not None]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    network.train()
    for call in calls:
        call(network)
    network.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
