"""From floats to whole numbers: which layers, on which grids by what they read in a calibration, on which path.

    int8          weights and inputs in 8 bits; weights with a step for each output channel, inputs with one a layer
    int8-weights  weights alone, a quarter of the size; what is computed stays in floats
    fixed-point   dynamic fixed point of a chosen width: one power of two for a layer's weights, one for its inputs

Inputs get their grid once, from calibration: a grid found anew in each batch would make a sample's answer depend on
those beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.compress.quantized_layers import (
    Whole,
    WholeLayer,
    WholeMembers,
    emptied,
    has_kernels,
    kind_of,
    reference_path,
    share,
)
from deepen.compress.quantized_recurrent import WholeRecurrent
from deepen.compress.replace import called, replace
from deepen.compress.rounding import affine_grid, fixed_point_grid

Scheme = Literal["int8", "int8-weights", "fixed-point"]
VALUES = 4096  # numbers kept of each layer's input in each batch, to judge errors by
TRIALS = 15
MANY_PLACES, FEW_TRIALS = 1000, 3  # of a recurrent layer
READ = ("embedding", "recurrent", "members")  # kinds whose weights others than the layer itself may read
WEIGHTS_ALONE = ("embedding", "members")  # kinds whose inputs stay as they are
NAMED = 3  # parts of a network that a note names
LEAST_SHARE = 0.0005  # of the weights, of which a note is made


@dataclass
class Seen:
    """What a layer read in the calibration.

    one, many  what it is timed on: what it read of the first sample alone, and of 32 where there were as many
    """

    low: float = 0.0
    high: float = 0.0
    values: list[Tensor] = field(default_factory=list)
    one: Tensor | None = None
    many: Tensor | None = None

    def add(self, x: Tensor) -> None:
        """Takes note of an input."""
        x = x.detach().float()
        flat = x.reshape(-1)
        if not len(flat):
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.values.append(flat[:: max(1, len(flat) // VALUES)][:VALUES].clone())


def layers_of(network: nn.Module, call: Callable[[nn.Module], object], skipped: Sequence[str] = ()) -> dict[str, str]:
    """The layers that can be made of whole numbers, by name their kind.

    Those are the ones that a call uses, and tables, recurrent layers and members too, whose weights others may read.
    `skipped` are names, or beginnings of them that end where a part ends.
    """
    used = set(called(network, call))
    found: dict[str, str] = {}
    for name, module in network.named_modules():
        kind = kind_of(module)
        if kind is None or not name or any(name == each or name.startswith(f"{each}.") for each in skipped):
            continue
        if name in used or kind in READ:
            found[name] = kind
    return found


@torch.no_grad()
def calibrated(
    network: nn.Module,
    names: Iterable[str],
    calls: Iterable[Callable[[nn.Module], object]],
    timed: tuple[Callable[[nn.Module], object], Callable[[nn.Module], object]] | None = None,
) -> dict[str, Seen]:
    """What these layers read in these calls; layers that read nothing are not among them.

    timed  passes over one sample and over 32; without them no layer is timed
    """
    found = {name: Seen() for name in names}
    _noted(network, found, calls, lambda seen, x: seen.add(x))
    for attribute, call in zip(("one", "many"), timed or (), strict=False):
        _noted(network, found, [call], lambda seen, x, attribute=attribute: _keep(seen, attribute, x))
    return {name: seen for name, seen in found.items() if seen.values}


def _keep(seen: Seen, attribute: str, x: Tensor) -> None:
    """The largest input of a pass."""
    held = getattr(seen, attribute)
    if held is None or x.numel() > held.numel():
        setattr(seen, attribute, x.detach().float().clone())


def _noted(
    network: nn.Module,
    found: dict[str, Seen],
    calls: Iterable[Callable[[nn.Module], object]],
    note: Callable[[Seen, Tensor], None],
) -> None:
    """Calls the network, and `note` with what each layer reads."""

    def noting(seen: Seen) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, given: note(seen, given[0]) if given and isinstance(given[0], Tensor) else None

    hooks = []
    for name, seen in found.items():
        module = network.get_submodule(name)
        if isinstance(module, nn.RNNBase):
            hooks += _noting_rows(network, module, lambda x, seen=seen: note(seen, x))
        hooks.append(module.register_forward_pre_hook(noting(seen)))
    try:
        for call in calls:
            call(network)
    finally:
        for hook in hooks:
            hook.remove()


def _noting_rows(network: nn.Module, layer: nn.Module, add: Callable[[Tensor], None]) -> list[Any]:
    """A recurrent layer whose weights its parent reads is not called itself: the parent's input and output are noted,
    between which, or those of the layers beside it, its input lies."""
    parents = [each for each in network.modules() if any(layer in list(held.children()) for held in each.children())]

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        add(given[0])
        if getattr(module, "num_layers", 1) > 1:
            add(output[0])

    return [parent.register_forward_hook(note) for parent in parents[:1]]


def specs(
    kinds: dict[str, str], seen: dict[str, Seen], scheme: Scheme, *, bits: int = 8, search: bool = True
) -> dict[str, dict[str, Any]]:
    """How each layer is to be rounded, JSON-able."""
    fixed = scheme == "fixed-point"
    found: dict[str, dict[str, Any]] = {}
    for name, kind in kinds.items():
        given = None
        if scheme != "int8-weights" and kind not in WEIGHTS_ALONE and name in seen:
            own = seen[name]
            values = torch.cat(own.values)
            if fixed:
                given = fixed_point_grid(values, bits, largest=max(-own.low, own.high)).as_list()
            else:
                given = affine_grid(values, bits, low=own.low, high=own.high, search=search).as_list()
        found[name] = {
            "kind": kind,
            "bits": bits,
            "input": given,
            "fast": False,
            "per_channel": not fixed,
            "power_of_two": fixed,
        }
    return found


def quantize(network: nn.Module, wanted: dict[str, dict[str, Any]], seen: dict[str, Seen]) -> dict[str, Any]:
    """Makes the layers of whole numbers, in place; the change. Each takes the path that is the faster here."""
    done: dict[str, dict[str, Any]] = {}
    ties = _ties(network, wanted)
    for name, spec in wanted.items():
        layer: Any = network.get_submodule(name)
        own = seen.get(name, Seen())
        try:
            made = filled(layer, spec)
        except ValueError:  # a layer of this kind that is built in another way stays as it is
            continue
        if spec["input"] is not None and spec["bits"] == 8 and not spec["power_of_two"] and own.one is not None:
            spec, made = _faster(layer, spec, made, own)
        replace(network, name, made)
        done[name] = spec
    tied = {name: other for name, other in ties.items() if name in done and other in done}
    share(network, tied)
    return {"step": "quantize", "layers": done} | ({"tied": tied} if tied else {})


def _ties(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Of layers that have their weight from an earlier one, that one's name."""
    first: dict[int, str] = {}
    found = {}
    for name in names:
        weight = getattr(network.get_submodule(name), "weight", None)
        if isinstance(weight, nn.Parameter) and first.setdefault(id(weight), name) != name:
            found[name] = first[id(weight)]
    return found


def filled(layer: Any, spec: dict[str, Any]) -> nn.Module:
    """The layer of whole numbers with the values of one of floats. Raises ValueError where its kind has none."""
    made: Any = emptied(layer, spec)
    if isinstance(made, WholeRecurrent):
        made.fill_from(layer)
    else:
        made.fill(layer.weight)
    return made.eval()


def _faster(layer: Any, spec: dict[str, Any], made: nn.Module, seen: Seen) -> tuple[dict[str, Any], nn.Module]:
    """The spec and layer of the faster path, by measuring on one sample and on 32."""
    assert seen.one is not None and seen.many is not None
    examples = (seen.one, seen.many)
    fast_spec = {**spec, "fast": True}
    fast = filled(layer, fast_spec)
    if isinstance(made, WholeRecurrent):
        return _faster_recurrent(layer, spec, fast_spec, fast, examples)
    assert isinstance(fast, WholeLayer)
    if not fast.takes_fast_path(examples[0]):
        return spec, made
    with torch.inference_mode():
        gain = 0.0
        for x in examples:
            with reference_path():
                slow = milliseconds(lambda x=x: made(x))
            gain += slow / max(milliseconds(lambda x=x: fast(x)), 1e-9)
    return (fast_spec, fast) if gain > 2 else (spec, made)


def _faster_recurrent(
    layer: Any, spec: dict[str, Any], fast_spec: dict[str, Any], fast: nn.Module, examples: tuple[Tensor, Tensor]
) -> tuple[dict[str, Any], nn.Module]:
    """Step by step in whole numbers if that is faster for one sample and for 32, which long rows make differ; else
    PyTorch's kernel over weights that are floats again."""
    plain_spec = {**spec, "input": None}
    plain: Any = filled(layer, plain_spec)
    steps: Any = fast
    with torch.inference_mode():
        for x in examples:
            if x.dim() != 3 or x.shape[2] != layer.input_size:  # what its parent read, not the layer
                x = x.new_zeros(*x.shape[:2], layer.input_size)
            if not steps.into.takes_fast_path(x):
                return plain_spec, plain
            state = tuple(x.new_zeros(len(x), layer.hidden_size) for _ in range(2 if plain.kind == "lstm" else 1))
            begin = tuple(each[None] for each in state)
            given = begin if plain.kind == "lstm" else begin[0]
            trials = TRIALS if x.shape[0] * x.shape[1] < MANY_PLACES else FEW_TRIALS
            times = [milliseconds(lambda m=m, x=x, s=given: m(x, s), trials) for m in (plain, steps)]
            if times[1] >= times[0]:
                return plain_spec, plain
    return fast_spec, fast


def milliseconds(call: Callable[[], object], trials: int = TRIALS) -> float:
    """Of a call: the median of some, after two that do not count."""
    for _ in range(2):
        call()
    taken = []
    for _ in range(trials):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * sorted(taken)[len(taken) // 2]


def said(network: nn.Module) -> list[str]:
    """Sentences about what stayed in floats of a network of whole numbers: weights of layers that have none, and inputs
    of members. Of a network without whole numbers nothing is said."""
    if not is_quantized(network):
        return []
    found = []
    share, names = left_in_floats(network)
    if share >= LEAST_SHARE:
        found.append(f"{share:.1%} of the weights stay in float32: {_some(names)}")
    modules = list(network.named_modules())
    members = [name for name, module in modules if isinstance(module, WholeMembers)]
    if members and any(isinstance(module, WholeLayer) and module.grid is not None for _, module in modules):
        found.append(f"of {_some(members)} the weights alone are whole numbers; their inputs stay in float32")
    return found


def said_here(network: nn.Module) -> list[str]:
    """A sentence where this machine cannot make use of a network's whole numbers."""
    whole = any(isinstance(each, WholeLayer) and each.grid is not None and each.bits <= 8 for each in network.modules())
    if not whole or has_kernels():
        return []
    return [
        "this processor cuts the sums of whole products (it has no VNNI), so layers of whole numbers are computed in "
        "floats here: the run is smaller and no faster"
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def left_in_floats(network: nn.Module) -> tuple[float, list[str]]:
    """The share of a network's weights that are floats, and their names, the largest first. Biases do not count."""
    sizes: dict[str, int] = {}
    whole, seen = 0, set()
    for name, module in network.named_modules():
        if isinstance(module, Whole):
            whole += 0 if id(module.quantized) in seen else module.quantized.numel()
            seen.add(id(module.quantized))
            continue
        for own, each in module.named_parameters(prefix=name, recurse=False):
            if each.dim() > 1 and own.rpartition(".")[2] != "bias" and id(each) not in seen:
                seen.add(id(each))
                sizes[own] = each.numel()
    total = whole + sum(sizes.values())
    return sum(sizes.values()) / max(total, 1), sorted(sizes, key=lambda own: -sizes[own])


def is_quantized(network: nn.Module) -> bool:
    """Whether some of a network's layers are of whole numbers already."""
    return any(isinstance(module, Whole) for module in network.modules())
