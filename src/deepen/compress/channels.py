"""Structured pruning: whole channels removed from a network, with all that hangs on them, so that it gets smaller.

Which channels hang together is found by watching the network run (channel_labels.py): through sums of shortcuts, batch
norms, grouped and depthwise convolutions, concatenations, and from maps to a linear layer. Of every set of channels the
same part goes, the least important first:

    l1    sum over the layers that make the channel of  |w|_1 / the mean of that over their channels
    norm  the same of |gamma| of the batch norms behind them; l1 where there is none

Sources: Li et al. 2017, Pruning Filters for Efficient ConvNets (l1); Liu et al. 2017, Learning Efficient Convolutional
Networks through Network Slimming (norm); Fang et al. 2023, DepGraph (that channels fall into dependent groups).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.compress.channel_labels import watched
from deepen.compress.resize import index, resize
from deepen.core.errors import OptionError

Criterion = Literal["l1", "norm"]
PRODUCERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
Norm = nn.modules.batchnorm._BatchNorm
Member = tuple[str, int, tuple[int, ...]]  # a tensor, a dimension of it, and the places there


@dataclass(frozen=True)
class ChannelSet:
    """Channels that are alike: each of them is removed with one member, some places, of each of the same tensors.

    channels  for each channel its members
    """

    channels: list[list[Member]]

    @property
    def layers(self) -> list[str]:
        """The tensors that make the channels up."""
        return [name for name, dimension, _ in self.channels[0] if dimension == 0]


def prune(
    network: nn.Module,
    part: float,
    *,
    answer: Callable[[nn.Module], Tensor],
    learn: Callable[[nn.Module], Any] | None = None,
    criterion: Criterion = "l1",
) -> dict[str, Any]:
    """Removes this part of the channels of every set, in place; the change.

    answer  a pass in evaluation mode over some samples, which gives the outputs
    learn   a pass in training mode, where it uses layers that answering does not

    Raises OptionError where no channel can be removed, or the network cannot live without what was.
    """
    sets, groups = sets_of(network, answer, learn)
    removed = [_least(network, each, part, criterion) for each in sets]
    kept, counts = _kept(network, removed, groups)
    if not kept:
        raise OptionError(
            f"--channels {part:g}: nothing of this network can be removed: it has no inner channels of which "
            "enough are known to hang on one another; use low-rank, prune or int8."
        )
    change = resize(network, kept, counts)
    _require_whole(network, answer, learn)
    return change


def sets_of(
    network: nn.Module, answer: Callable[[nn.Module], Tensor], learn: Callable[[nn.Module], Any] | None = None
) -> tuple[list[ChannelSet], dict[str, int]]:
    """The sets of channels that may be removed, and the convolutions that have a group for each so many channels."""
    twin = copy.deepcopy(network)  # learning moves the statistics of norms
    watch = watched(twin, answer, learn)
    found: dict[int, list[tuple[str, int, int]]] = {}
    groups: dict[str, int] = {}
    producers = producers_of(twin)
    tensors = [*twin.named_parameters(remove_duplicate=False), *twin.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        if id(tensor) in watch.grouped:
            groups[name.removesuffix(".weight")] = watch.grouped[id(tensor)]
        for dimension, places in enumerate(watch.dims(tensor)):
            for place, label in enumerate(() if places is None else places):
                if not watch.labels.is_fixed(int(label)):
                    found.setdefault(watch.labels.root(int(label)), []).append((name, dimension, place))
    return _sets(found.values(), producers), groups


def _sets(channels: Any, producers: dict[str, int]) -> list[ChannelSet]:
    """Channels with members in the same dimensions, those that a layer makes and another layer reads."""
    found: dict[tuple[Any, ...], list[list[Member]]] = {}
    for each in channels:
        by_tensor: dict[tuple[str, int], list[int]] = {}
        for name, dimension, place in each:
            by_tensor.setdefault((name, dimension), []).append(place)
        made = any(producers.get(name) == dimension for name, dimension in by_tensor)
        read = any(name in producers and producers[name] != dimension for name, dimension in by_tensor)
        if made and read:
            members = [(name, dimension, tuple(places)) for (name, dimension), places in by_tensor.items()]
            found.setdefault(tuple(by_tensor), []).append(members)
    return [ChannelSet(channels) for channels in found.values() if len(channels) > 1]


def producers_of(network: nn.Module) -> dict[str, int]:
    """The weights of layers, and the dimension of each along which the channels lie that the layer makes.

    The first, but of a layer that says which dimensions it adds up over (`incoming`) the last of the others.
    """
    found = {}
    for name, module in network.named_modules():
        weight, incoming = getattr(module, "weight", None), getattr(module, "incoming", None)
        if isinstance(module, PRODUCERS):
            found[f"{name}.weight"] = 0
        elif isinstance(weight, nn.Parameter) and incoming is not None:
            found[f"{name}.weight"] = max(each for each in range(weight.dim()) if each not in incoming)
    return found


def importance(network: nn.Module, each: ChannelSet, criterion: Criterion) -> Tensor:
    """[number of channels] how much each one counts; see the top of this file."""
    state = network.state_dict()
    norms = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, Norm)}
    layers = producers_of(network)
    wanted = dict.fromkeys(norms, 0) if criterion == "norm" and norms & set(each.layers) else layers
    total = torch.zeros(len(each.channels))
    for number, (name, dimension, _) in enumerate(each.channels[0]):
        if wanted.get(name) == dimension:
            strength = state[name].detach().float().abs().movedim(dimension, 0)
            strength = strength.reshape(len(strength), -1).sum(1)
            own = torch.stack([strength[index(list(channel[number][2]))].sum() for channel in each.channels])
            total += own / own.mean().clamp_min(1e-12)
    return total


def _least(network: nn.Module, each: ChannelSet, part: float, criterion: Criterion) -> list[list[Member]]:
    count = min(len(each.channels) - 1, int(part * len(each.channels) + 1e-9))
    order = torch.argsort(importance(network, each, criterion), stable=True)
    return [each.channels[int(place)] for place in order[:count]]


def _kept(
    network: nn.Module, removed: list[list[list[Member]]], groups: dict[str, int]
) -> tuple[dict[str, dict[int, Tensor]], dict[str, int]]:
    """What stays of each tensor, and how many groups convolutions then have."""
    tensors = dict(network.named_parameters(remove_duplicate=False)) | dict(
        network.named_buffers(remove_duplicate=False)
    )
    gone: dict[tuple[str, int], set[int]] = {}
    for channels in removed:
        for channel in channels:
            for name, dimension, places in channel:
                gone.setdefault((name, dimension), set()).update(places)
    kept: dict[str, dict[int, Tensor]] = {}
    for (name, dimension), places in gone.items():
        size = tensors[name].shape[dimension]
        kept.setdefault(name, {})[dimension] = index([place for place in range(size) if place not in places])
    counts = {
        name: len(kept[f"{name}.weight"][0]) // each
        for name, each in groups.items()
        if 0 in kept.get(f"{name}.weight", {})
    }
    return kept, counts


def _require_whole(network: nn.Module, answer: Any, learn: Any) -> None:
    """Raises OptionError if the network no longer runs: some layer has a size written down that nobody could see."""
    twin = copy.deepcopy(network)
    try:
        with torch.no_grad():
            answer(twin.eval())
            if learn is not None:
                learn(twin.train())
    except Exception as error:  # whatever PyTorch or the network says, it means this
        said = str(error).split("\n")[0][:150]
        raise OptionError(
            f"--channels: this network cannot lose channels ({said}); use low-rank, prune or int8."
        ) from error
