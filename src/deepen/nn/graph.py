"""A network as a graph: what computes on what, found by running it once and watching; and the same with repeats folded.

Layers are seen by hooks, what is computed between them (sums, joins, functions) as PyTorch calls it, and both are
connected by the tensors that go from one to the next. So branches and residual connections are those of the
computation, whatever the modules are called. What moves or casts a tensor without computing is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from deepen.nn.summary import operation_counter

INPUT, OUTPUT = "input", "output"
BEFORE = -1  # where an edge of a box begins that comes from outside of it
LEAST_PARALLEL = 3  # equal nodes side by side from which on one is drawn
_QUIET = {
    "getitem",
    "to",
    "type",
    "float",
    "contiguous",
    "detach",
    "unsqueeze",
    "squeeze",
    "expand",
    "view_as",
    "clone",
}
_SPELLED = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul", "truediv": "div", "itruediv": "div"}


@dataclass(frozen=True)
class Node:
    """One layer, one function, or an input or output of the network.

    name           the layer's path, or the path of the module that calls the function
    kind           the layer's class, the function's name, INPUT or OUTPUT
    detail         what the kind leaves open, such as "3x3, stride 2"
    output         shape for one sample, without the batch
    parameters     of this layer alone; shared ones count where they are first used
    multiply_adds  for one sample: of convolutions and matrix products
    inputs         the nodes whose results it reads, by their place in the graph
    """

    name: str
    kind: str
    detail: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A module that consists of others: the nodes from `start` up to `stop`, which ran within one call of it."""

    name: str
    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Graph:
    """A network: its nodes in the order of computation, and its blocks, each before those within it."""

    nodes: tuple[Node, ...]
    blocks: tuple[Block, ...]


def traced(model: nn.Module, inputs: Sequence[Tensor], names: Sequence[str] = ()) -> Graph:
    """The graph of a network in evaluation.

    inputs  what it is called with, each [1, ...]
    names   what to call them; default: input
    """
    was_training = model.training
    counter = operation_counter()
    tracer = _Tracer(model, counter)
    for index, tensor in enumerate(inputs):
        name = names[index] if index < len(names) else INPUT
        tracer.add(Node(name, INPUT, "", tuple(tensor.shape[1:]), 0, 0, ()), tensor)
    hooks = tracer.hooks()
    try:
        with torch.no_grad(), counter, tracer:
            answer = model.eval()(*inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    tensors = _tensors(answer)
    shape = tuple(tensors[0].shape[1:]) if tensors else ()
    tracer.add(Node("", OUTPUT, "", shape, 0, 0, tracer.sources(answer)))
    return Graph(tuple(tracer.nodes), tuple(block for block in tracer.blocks if block.stop > block.start))


class _Tracer(TorchFunctionMode):
    """Notes which node each tensor comes from. Tensors are known by identity, so each is kept until the end."""

    def __init__(self, model: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()
        self.model, self.counter = model, counter
        self.nodes: list[Node] = []
        self.blocks: list[Block] = []
        self._node_of: dict[int, int] = {}
        self._parameters_of: dict[int, tuple[nn.Parameter, ...]] = {}  # tensors made of parameters alone
        self._kept: list[Tensor] = []
        self._counted: set[int] = set()
        self._depth = 0  # of layers without layers inside; what happens within one is its own affair
        self._open: list[int] = []
        self._flops: list[int] = []

    def add(self, node: Node, *results: Tensor) -> None:
        self.nodes.append(node)
        for tensor in results:
            self._point(tensor, len(self.nodes) - 1)

    def sources(self, *values: Any) -> tuple[int, ...]:
        """The nodes that these values come from, each once, in the order of the values."""
        found = (self._node_of.get(id(tensor)) for tensor in _tensors(values))
        return tuple(dict.fromkeys(place for place in found if place is not None))

    def hooks(self) -> list[Any]:
        found = []
        for name, module in self.model.named_modules():
            enter, leave = self._layer_hooks(name) if not any(module.children()) else self._block_hooks(name)
            if module is not self.model or not any(module.children()):
                found.append(module.register_forward_pre_hook(enter))
                found.append(module.register_forward_hook(leave, with_kwargs=True))
        return found

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = (args, kwargs or {})
        before = self.counter.get_total_flops() if not self._depth else 0
        result = func(*args, **(kwargs or {}))
        results = _tensors(result)
        if self._depth or not results:
            return result
        sources, own = self.sources(given), self._fresh_parameters(given)
        kind = _kind_of(func)
        if not sources:
            for tensor in results:
                self._kept.append(tensor)
                self._parameters_of[id(tensor)] = own
        elif kind in _QUIET and len(sources) == 1:
            for tensor in results:
                self._point(tensor, sources[0])
        else:
            flops = self.counter.get_total_flops() - before
            where = self.blocks[self._open[-1]].name if self._open else ""
            self.add(Node(where, kind, "", _shape(results), self._count(own), flops // 2, sources), *results)
        return result

    def _layer_hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., Any]]:
        def enter(module: nn.Module, args: Any) -> None:
            self._flops.append(self.counter.get_total_flops())
            self._depth += 1

        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
            flops = self.counter.get_total_flops() - self._flops.pop()
            results = _tensors(result)
            is_same = isinstance(result, Tensor) and any(result is tensor for tensor in _tensors((args, kwargs)))
            if is_same and (isinstance(module, nn.Identity | nn.Sequential) or getattr(module, "p", None) == 0):
                self._depth -= 1
                return None
            # A layer that hands on its input, such as dropout here, must not be read by the input's other readers.
            if is_same:
                result = result.view_as(result)
                results = [result]
            self._depth -= 1
            own = self._count(tuple(module.parameters(recurse=False)))
            kind = type(module).__name__
            sources = self.sources(args, kwargs)
            self.add(Node(name, kind, _detail(module), _shape(results), own, flops // 2, sources), *results)
            return result if is_same else None

        return enter, leave

    def _block_hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(module: nn.Module, args: Any) -> None:
            self._open.append(len(self.blocks))
            self.blocks.append(Block(name, type(module).__name__, len(self.nodes), 0))

        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            place = self._open.pop()
            self.blocks[place] = replace(self.blocks[place], stop=len(self.nodes))

        return enter, leave

    def _point(self, tensor: Tensor, place: int) -> None:
        self._kept.append(tensor)
        self._node_of[id(tensor)] = place

    def _fresh_parameters(self, given: Any) -> tuple[nn.Parameter, ...]:
        found: list[nn.Parameter] = []
        for tensor in _tensors(given):
            found += [tensor] if isinstance(tensor, nn.Parameter) else self._parameters_of.get(id(tensor), ())
        return tuple(dict.fromkeys(found))

    def _count(self, parameters: Iterable[nn.Parameter]) -> int:
        fresh = [p for p in parameters if id(p) not in self._counted]
        self._counted |= {id(p) for p in fresh}
        return sum(p.numel() for p in fresh)


@dataclass(frozen=True)
class Box:
    """What a picture of the network shows in one place: a node, or a block with boxes inside, drawn once for several.

    name      its path within the box around it
    children  in the order of computation
    edges     (from, to) among the children by their place; from BEFORE: what the box reads; to len(children): what
              others read of it
    times     how many like this follow each other or stand side by side
    form      how those belong together: "chain", each reads the one before; "dense", each reads all before it, and
              sizes grow; "parallel", all read the same; "" where it stands alone
    """

    name: str
    kind: str
    detail: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    children: tuple[Box, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    times: int = 1
    form: str = ""


def folded(graph: Graph) -> Box:
    """The network as boxes within boxes; equal blocks in a row, dense ones, and equal nodes side by side stand once."""
    readers: list[set[int]] = [set() for _ in graph.nodes]
    for place, node in enumerate(graph.nodes):
        for source in node.inputs:
            readers[source].add(place)
    whole = Block("", "", 0, len(graph.nodes))
    return _Folder(graph, readers).box(whole, list(graph.blocks), "")


@dataclass
class _Folder:
    graph: Graph
    readers: list[set[int]]

    def box(self, block: Block, inner: list[Block], around: str) -> Box:
        """The box of a block, `inner` being the blocks within it."""
        spans, boxes = self._children(block, inner)
        edges = _edges(self.graph.nodes, self.readers, spans, block)
        boxes, edges = _fold(boxes, edges)
        name = _within(block.name, around)
        if len(boxes) == 1 and boxes[0].times == 1 and block.name:
            only = boxes[0]
            return replace(only, name=f"{name}.{only.name}".strip(".") if only.name != name else name)
        own = self.graph.nodes[block.start : block.stop]
        return Box(
            name,
            block.kind,
            "",
            own[-1].output if own else (),
            sum(node.parameters for node in own),
            sum(node.multiply_adds for node in own),
            tuple(boxes),
            tuple(sorted(edges)),
        )

    def _children(self, block: Block, inner: list[Block]) -> tuple[list[tuple[int, int]], list[Box]]:
        spans: list[tuple[int, int]] = []
        boxes: list[Box] = []
        place, rest = block.start, list(inner)
        while place < block.stop:
            if rest and rest[0].start == place:
                child = rest.pop(0)
                own = [each for each in rest if each.stop <= child.stop and each.start < child.stop]
                rest = rest[len(own) :]
                spans.append((child.start, child.stop))
                boxes.append(self.box(child, own, block.name))
                place = child.stop
                continue
            node = self.graph.nodes[place]
            spans.append((place, place + 1))
            boxes.append(
                Box(
                    _within(node.name, block.name),
                    node.kind,
                    node.detail,
                    node.output,
                    node.parameters,
                    node.multiply_adds,
                )
            )
            place += 1
        return spans, boxes


def _edges(
    nodes: Sequence[Node], readers: Sequence[set[int]], spans: Sequence[tuple[int, int]], block: Block
) -> set[tuple[int, int]]:
    """The edges among these spans of a block's nodes, to what is before and behind the block."""
    owner = {place: index for index, (start, stop) in enumerate(spans) for place in range(start, stop)}
    found = set()
    for index, (start, stop) in enumerate(spans):
        for place in range(start, stop):
            found |= {(owner.get(source, BEFORE), index) for source in nodes[place].inputs}
            if any(reader >= block.stop for reader in readers[place]):
                found.add((index, len(spans)))
    return {(source, target) for source, target in found if source != target}


def _fold(boxes: list[Box], edges: set[tuple[int, int]]) -> tuple[list[Box], set[tuple[int, int]]]:
    """The boxes with runs of equal ones drawn once, and the edges among those that are left."""
    place = 0
    while place < len(boxes):
        for form, run in (
            ("chain", _chain(boxes, edges, place)),
            ("dense", _dense(boxes, edges, place)),
            ("parallel", _parallel(boxes, edges, place)),
        ):
            if len(run) > 1:
                boxes, edges = _merged(boxes, edges, run, form)
                break
        place += 1
    return boxes, edges


def _chain(boxes: Sequence[Box], edges: set[tuple[int, int]], first: int) -> list[int]:
    """Equal blocks from `first` on of which each reads the one before, and nobody else does."""
    run = [first]
    while boxes[first].children and run[-1] + 1 < len(boxes):
        last = run[-1]
        following = last + 1
        is_alone = _targets(edges, last) == {following} and _sources(edges, following) == {last}
        if not is_alone or replace(boxes[following], name="") != replace(boxes[first], name=""):
            break
        run.append(following)
    return run


def _dense(boxes: Sequence[Box], edges: set[tuple[int, int]], first: int) -> list[int]:
    """Blocks of one form from `first` on of which each reads what the first reads, and all before it."""
    run = [first]
    entry = _sources(edges, first)
    while boxes[first].children and run[-1] + 1 < len(boxes):
        following = run[-1] + 1
        if _sources(edges, following) != entry | set(run) or _form(boxes[following]) != _form(boxes[first]):
            break
        run.append(following)
    return run if len(run) > 2 else [first]


def _parallel(boxes: Sequence[Box], edges: set[tuple[int, int]], first: int) -> list[int]:
    """Single nodes of one kind that read the same and are read by the same."""
    box = boxes[first]
    if box.children or box.kind in (INPUT, OUTPUT):
        return [first]
    key = (box.kind, _sources(edges, first), _targets(edges, first))
    run = [
        other
        for other in range(first, len(boxes))
        if not boxes[other].children
        and (boxes[other].kind, _sources(edges, other), _targets(edges, other)) == key
        and boxes[other].form == ""
    ]
    return run if len(run) >= LEAST_PARALLEL else [first]


def _merged(
    boxes: list[Box], edges: set[tuple[int, int]], run: Sequence[int], form: str
) -> tuple[list[Box], set[tuple[int, int]]]:
    kept = [place for place in range(len(boxes)) if place not in run[1:]]
    new = {old: index for index, old in enumerate(kept)} | {BEFORE: BEFORE, len(boxes): len(kept)}
    new |= dict.fromkeys(run, new[run[0]])
    moved = {(new[source], new[target]) for source, target in edges}
    of_run = [boxes[place] for place in run]
    merged = replace(boxes[run[0]], times=len(run), form=form)
    if form != "chain":  # one stands for several sizes, so the box says what they are together
        merged = replace(merged, output=of_run[-1].output if form == "dense" else merged.output)
    left = [merged if place == run[0] else boxes[place] for place in kept]
    return left, {(source, target) for source, target in moved if source != target}


def _form(box: Box) -> Any:
    """What two boxes have in common that differ in their sizes alone."""
    return box.kind, box.detail if not box.children else "", tuple(_form(each) for each in box.children)


def _sources(edges: set[tuple[int, int]], place: int) -> set[int]:
    return {source for source, target in edges if target == place}


def _targets(edges: set[tuple[int, int]], place: int) -> set[int]:
    return {target for source, target in edges if source == place}


def _within(name: str, around: str) -> str:
    if name == around:
        return ""
    return name.removeprefix(f"{around}.") if around else name


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in a value, also those in dataclasses, in order."""
    found: list[Tensor] = []
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            found += _tensors([getattr(leaf, each.name) for each in fields(leaf)])
    return found


def _shape(results: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(results[0].shape[1:]) if results else ()


def _kind_of(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__).strip("_")
    return _SPELLED.get(name, name)


def _detail(module: nn.Module) -> str:
    parts = []
    kernel = getattr(module, "kernel_size", None)
    if kernel is not None:
        parts.append(_sides(kernel))
        stride = getattr(module, "stride", 1)
        if set(_pair(stride)) != {1}:
            parts.append(f"stride {_one(stride)}")
        if set(_pair(getattr(module, "dilation", 1))) != {1}:
            parts.append(f"dilation {_one(module.dilation)}")
        if getattr(module, "groups", 1) != 1:
            parts.append(f"{module.groups} groups")
    elif hasattr(module, "output_size"):
        parts.append(f"to {_sides(module.output_size)}")
    elif isinstance(module, nn.Linear):
        parts.append(f"{module.in_features} to {module.out_features}")
    elif isinstance(module, nn.Embedding):
        parts.append(f"{module.num_embeddings} x {module.embedding_dim}")
    elif isinstance(getattr(module, "p", None), float):
        parts.append(f"{module.p:g}")
    return ", ".join(parts)


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _one(value: Any) -> str:
    pair = _pair(value)
    return str(pair[0]) if len(set(pair)) == 1 else "x".join(map(str, pair))


def _sides(value: Any) -> str:
    return "x".join(map(str, _pair(value)))
