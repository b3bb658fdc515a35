"""Which places of which tensors of a network belong together: found by running it once and watching every operation.

Each place along each dimension of a parameter is an unknown of its own. An operation says which of them are one: a
sum of two tensors those at the same place, a matrix product the columns of one and the rows of the other, a batch norm
a channel and its mean. What is one can only be removed together, and can be removed where nothing forbids it: the
network's inputs and outputs do, and so does every operation that is not known here (attention heads, recurrent cells,
layer norms), so that nothing is removed of which it is not known what depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deepen.compress import label_rules
from deepen.compress.label_rules import Dims, Places


class Labels:
    """Unknowns, some of them known to be one (union by find), some fixed: never to be removed."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._fixed: set[int] = set()

    def fresh(self, count: int) -> np.ndarray:
        """As many new ones."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, label: int) -> int:
        """What stands for all that are one with it."""
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]
            label = self._parent[label]
        return label

    def unite(self, first: Iterable[int], second: Iterable[int]) -> None:
        """These and those, one by one, are one."""
        for a, b in zip(first, second, strict=True):
            a, b = self.root(int(a)), self.root(int(b))
            if a != b:
                self._parent[b] = a
                if b in self._fixed:
                    self._fixed.add(a)

    def fix(self, labels: Iterable[int]) -> None:
        """None of these is ever removed."""
        self._fixed.update(self.root(int(label)) for label in labels)

    def is_fixed(self, label: int) -> bool:
        """Whether it must stay."""
        return self.root(label) in self._fixed


class Watch(TorchDispatchMode):
    """Follows labels through every operation while it is on.

    is_strict  a tensor without labels, of full size, joined to one with labels fixes those: it may be a constant whose
               size is written down somewhere. In training it may be a mask of dropout, made in the size that is wanted
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.labels = Labels()
        self.is_strict = True
        self.grouped: dict[
            int, int
        ] = {}  # by the weight of a convolution whose groups are its channels: labels a group
        self._dims: dict[int, tuple[Tensor, Dims]] = {}
        for tensor in {id(each): each for each in _tensors(network)}.values():
            self._dims[id(tensor)] = (tensor, tuple(self.labels.fresh(size) for size in tensor.shape))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        rule = label_rules.rule_of(func)
        given = list(args)
        found = rule(self, given, out) if rule is not None else None
        outs = [each for each in (out if isinstance(out, tuple | list) else (out,)) if isinstance(each, Tensor)]
        if found is None and self._any(given):
            self.fix_all(given)
        for index, each in enumerate(outs):
            dims = found[index] if found is not None and index < len(found) else None
            if dims is not None and any(d is not None for d in dims):
                assert all(d is None or len(d) == size for d, size in zip(dims, each.shape, strict=True)), func
                self._dims[id(each)] = (each, dims)
            elif id(each) not in self._dims or rule is None:
                self._dims[id(each)] = (each, (None,) * each.dim())
        return out

    def dims(self, tensor: Tensor) -> Dims:
        """The labels of a tensor's dimensions; None of a dimension that has none."""
        known = self._dims.get(id(tensor))
        return known[1] if known is not None and known[0] is tensor else (None,) * tensor.dim()

    def fix_all(self, given: Any) -> None:
        """Nothing of these tensors is ever removed."""
        for each in flat_tensors(given):
            for places in self.dims(each):
                self.fix(places)

    def fix(self, places: Places) -> None:
        """Nor of these places."""
        if places is not None:
            self.labels.fix(places)

    def join(self, first: Places, second: Places) -> Places:
        """Two dimensions of one size that are one; without labels the one fixes the other."""
        if first is None or second is None:
            self.fix(first)
            self.fix(second)
            return first if second is None else second
        self.labels.unite(first, second)
        return first

    def _any(self, given: Any) -> bool:
        return any(places is not None for each in flat_tensors(given) for places in self.dims(each))


def flat_tensors(given: Any) -> list[Tensor]:
    """The tensors among arguments, those in lists too."""
    found: list[Tensor] = []
    for each in given:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, tuple | list):
            found += flat_tensors(each)
    return found


def watched(network: nn.Module, answer: Callable[[nn.Module], Any], learn: Callable[[nn.Module], Any] | None) -> Watch:
    """What was found while the network answered, and while it learned, where layers stand for that alone.

    answer  a pass in evaluation mode
    learn   a pass in training mode
    """
    watch = Watch(network)
    with torch.no_grad():
        network.eval()
        with watch:
            watch.fix_all([answer(network)])
        if learn is not None:
            network.train()
            watch.is_strict = False
            with watch:
                learn(network)
    network.eval()
    return watch


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
