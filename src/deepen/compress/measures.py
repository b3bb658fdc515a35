"""What a network costs: bytes, parameters, multiply-adds, and milliseconds here, as a whole and by layer."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from deepen.bundle.tensors import sealed
from deepen.compress.magnitude import prunable
from deepen.compress.quantized_layers import Whole, reference_path
from deepen.nn.summary import operation_counter

SECONDS = 0.3
LEAST_CALLS = 7


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    size           bytes of its weights as a file
    parameters     numbers in it, whole ones too, tied ones once; `zeros` the part of the prunable ones that is zero
    multiply_adds  for one sample, of convolutions and matrix products
    latency        milliseconds for one sample, `latency32` for 32 together: the network alone, without preparing
    """

    size: int
    parameters: int
    zeros: float
    multiply_adds: int
    latency: float
    latency32: float

    def as_dict(self) -> dict[str, float]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class LayerCost:
    """What a layer holds and computes for one sample; `bits` of its weights, `milliseconds` of it alone."""

    name: str
    kind: str
    parameters: int
    size: int
    bits: int
    multiply_adds: int
    milliseconds: float


def cost(
    network: nn.Module, calls: Sequence[Callable[[nn.Module], Any]], calls32: Sequence[Callable[[nn.Module], Any]]
) -> Cost:
    """What a network costs. `calls` are passes over one sample each, `calls32` over 32: several where they differ."""
    multiply_adds = round(statistics.mean(multiply_adds_of(network, call)[0] for call in calls))
    weights = prunable(network).values()
    count = sum(weight.numel() for weight in weights)
    empty = sum(int((weight == 0).sum()) for weight in weights) / count if count else 0.0
    return Cost(
        size=len(sealed(network.state_dict())),
        parameters=num_parameters(network),
        zeros=empty,
        multiply_adds=multiply_adds,
        latency=milliseconds(network, *calls),
        latency32=milliseconds(network, *calls32),
    )


def num_parameters(network: nn.Module) -> int:
    """Floats and whole numbers that were learned; tied ones once."""
    held = {id(module.quantized): module.quantized for module in network.modules() if isinstance(module, Whole)}
    return sum(each.numel() for each in held.values()) + sum(parameter.numel() for parameter in network.parameters())


def multiply_adds_of(network: nn.Module, call: Callable[[nn.Module], Any]) -> tuple[int, dict[str, int]]:
    """Of a pass: all, and by the name of a layer without layers inside."""
    counter = operation_counter()
    with torch.no_grad(), reference_path(), counter:
        call(network)
    root = type(network).__name__
    by_name = {name.removeprefix(f"{root}."): sum(n.values()) // 2 for name, n in counter.get_flop_counts().items()}
    return counter.get_total_flops() // 2, by_name


def milliseconds(network: nn.Module, *calls: Callable[[nn.Module], Any], seconds: float | None = None) -> float:
    """Of a pass: the median of as many as fit into this time, after two that do not count; of several their mean."""
    seconds = SECONDS if seconds is None else seconds
    taken: list[list[float]] = [[] for _ in calls]
    with torch.inference_mode():
        for _ in range(2):
            calls[0](network)
        end = time.perf_counter() + seconds
        for call, own in itertools.cycle(zip(calls, taken, strict=True)):
            if time.perf_counter() > end and len(taken[-1]) >= math.ceil(LEAST_CALLS / len(calls)):
                break
            start = time.perf_counter()
            call(network)
            own.append(time.perf_counter() - start)
    return 1000 * statistics.mean(statistics.median_high(own) for own in taken)


def layer_costs(network: nn.Module, call: Callable[[nn.Module], Any]) -> list[LayerCost]:
    """Of each layer that holds numbers or takes time, in the order of use, for one pass."""
    _, macs = multiply_adds_of(network, call)
    names = {module: name for name, module in network.named_modules()}
    spent: dict[str, list[float]] = {}
    begun: dict[str, float] = {}

    def begin(module: nn.Module, given: Any) -> None:
        begun[names[module]] = time.perf_counter()

    def end(module: nn.Module, given: Any, output: Any) -> None:
        spent.setdefault(names[module], []).append(time.perf_counter() - begun[names[module]])

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [leaf.register_forward_pre_hook(begin) for leaf in leaves]
    hooks += [leaf.register_forward_hook(end) for leaf in leaves]
    try:
        with torch.inference_mode():
            for _ in range(LEAST_CALLS):
                call(network)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for leaf in leaves:
        name = names[leaf]
        times = sorted(spent.get(name, [0.0]))
        own = [*leaf.parameters(recurse=False), *leaf.buffers(recurse=False)]
        if name in spent or own:
            bits = leaf.bits if isinstance(leaf, Whole) else 32
            size = sum(t.numel() * t.element_size() for t in own)
            each = len(times) / LEAST_CALLS  # a layer may be used several times
            millis = 1000 * times[len(times) // 2] * each if name in spent else 0.0
            found.append(
                LayerCost(name, type(leaf).__name__, num_parameters(leaf), size, bits, macs.get(name, 0), millis)
            )
    return sorted(found, key=lambda layer: list(spent).index(layer.name) if layer.name in spent else len(spent))
