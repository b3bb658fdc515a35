"""What operations that move numbers about say about their places: views, concatenations, reductions and the like.

Each takes (watch, arguments, result), as label_rules.py says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

Places = np.ndarray | None
Dims = tuple[Places, ...]


def transpose_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    dims = list(watch.dims(args[0]))
    if len(args) == 1:
        return [tuple(reversed(dims))]
    a, b = args[1], args[2]
    dims[a], dims[b] = dims[b], dims[a]
    return [tuple(dims)]


def permute_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    dims = watch.dims(args[0])
    return [tuple(dims[axis] for axis in args[1])]


def reduce_rule(watch: Any, args: list[Any], out: Any) -> list[Dims] | None:
    axes = args[1] if len(args) > 1 else None
    if axes is None:
        return None
    dims = watch.dims(args[0])
    axes = {axis % len(dims) for axis in ([axes] if isinstance(axes, int) else axes)}
    for axis in axes:
        watch.fix(dims[axis])
    keeps = len(args) > 2 and args[2] is True
    found = tuple(None if i in axes else d for i, d in enumerate(dims) if keeps or i not in axes)
    return [found, found]


def concatenate_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims] | None:
    axis = (args[1] if len(args) > 1 else 0) % out.dim()
    parts = [each for each in args[0] if each.dim() == out.dim()]
    found: list[Places] = []
    for i in range(out.dim()):
        own = [watch.dims(each)[i] for each in parts]
        if i != axis:
            joined = own[0]
            for other in own[1:]:
                joined = watch.join(joined, other) if joined is not None or other is not None else None
            found.append(joined)
        elif all(each is None for each in own):
            found.append(None)
        else:
            found.append(np.concatenate([_or_fixed(watch, p, e.shape[i]) for p, e in zip(own, parts, strict=True)]))
    return [tuple(found)]


def _or_fixed(watch: Any, places: Places, size: int) -> np.ndarray:
    """Labels for a dimension that has none, and must stay."""
    if places is not None:
        return places
    fresh = watch.labels.fresh(size)
    watch.labels.fix(fresh)
    return fresh


def expand_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    x = args[0]
    dims = (*[None] * (out.dim() - x.dim()), *watch.dims(x))
    sizes = (*[1] * (out.dim() - x.dim()), *x.shape)
    for places, size, new in zip(dims, sizes, out.shape, strict=True):
        if size != new:
            watch.fix(places)
    return [tuple(p if size == new else None for p, size, new in zip(dims, sizes, out.shape, strict=True))]


def view_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims] | None:
    """Runs of old dimensions that become runs of new ones: one with labels among those that are merged keeps them."""
    old, new, dims = list(args[0].shape), list(out.shape), watch.dims(args[0])
    found: list[Places] = []
    i = j = 0
    while i < len(old) or j < len(new):
        a, b, start_i, start_j = 1, 1, i, j
        while True:
            if a <= b and i < len(old) and (a < b or i == start_i):
                a *= old[i]
                i += 1
            elif j < len(new) and (b < a or j == start_j):
                b *= new[j]
                j += 1
            else:
                break
        while i < len(old) and old[i] == 1 and (j >= len(new) or new[j] != 1):
            i += 1
        while j < len(new) and new[j] == 1 and (i >= len(old) or old[i] != 1):
            j += 1
        if a != b:
            return None
        found += _merged(watch, dims[start_i:i], old[start_i:i], new[start_j:j])
    return [tuple(found)]


def _merged(watch: Any, dims: Sequence[Places], old: Sequence[int], new: Sequence[int]) -> list[Places]:
    labelled = [axis for axis, places in enumerate(dims) if places is not None and old[axis] > 1]
    wide = [axis for axis, size in enumerate(new) if size > 1]
    if not labelled:
        return [None] * len(new)
    if len(labelled) == 1 and len(wide) == 1:
        axis = labelled[0]
        shape = [1] * len(old)
        shape[axis] = old[axis]
        places = dims[axis]
        assert places is not None
        whole = np.broadcast_to(places.reshape(shape), old).reshape(-1)
        return [whole if i == wide[0] else None for i in range(len(new))]
    if tuple(old) == tuple(new):
        return list(dims)
    for places in dims:
        watch.fix(places)
    return [None] * len(new)


def slice_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    x = args[0]
    axis, start, end, step = [*args[1:], *[None] * (5 - len(args))][:4]
    axis = axis or 0
    dims = list(watch.dims(x))
    if dims[axis] is not None and out.shape[axis] != x.shape[axis]:
        watch.fix(dims[axis])  # where it is cut is written down somewhere
    if dims[axis] is not None:
        dims[axis] = dims[axis][slice(start, end, step)]
    return [tuple(dims)]


def without_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    """One place of a dimension."""
    axis = args[1] % args[0].dim()
    dims = list(watch.dims(args[0]))
    watch.fix(dims.pop(axis))
    return [tuple(dims)]


def unsqueeze_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    dims = list(watch.dims(args[0]))
    dims.insert(args[1] % out.dim(), None)
    return [tuple(dims)]


def squeeze_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    kept = [d for d, size in zip(watch.dims(args[0]), args[0].shape, strict=True) if size != 1]
    axes = [args[1]] if len(args) > 1 and isinstance(args[1], int) else args[1] if len(args) > 1 else None
    if axes is not None:
        axes = {axis % args[0].dim() for axis in axes}
        shape = args[0].shape
        kept = [d for i, d in enumerate(watch.dims(args[0])) if not (i in axes and shape[i] == 1)]
    return [tuple(kept)]


def embedding_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    rows, columns = watch.dims(args[0])
    watch.fix(rows)
    return [(*[None] * args[1].dim(), columns)]


def pad_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    dims = list(watch.dims(args[0]))
    for i, (before, after) in enumerate(zip(args[0].shape, out.shape, strict=True)):
        if before != after:
            watch.fix(dims[i])
            dims[i] = None
    return [tuple(dims)]


def filled_rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    """New tensors in the shape of another: they hold nothing that depends on it."""
    return [(None,) * out.dim()]
