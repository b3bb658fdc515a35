"""What each operation of PyTorch says about the places of the tensors it reads and gives.

A rule takes (watch, arguments, result) and returns the labels of each result's dimensions; None where the operation is
not as expected, which fixes all that it reads. The names are those of PyTorch's own operators (aten).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepen.compress import label_moves
from deepen.compress.label_moves import Dims, Places

Rule = Callable[[Any, list[Any], Any], "list[Dims] | None"]


def rule_of(func: Any) -> Rule | None:
    """The rule of an operator, None where there is none."""
    name = func.name().removeprefix("aten::").split(".")[0].rstrip("_")
    if name in RULES:
        return RULES[name]
    return _pointwise if torch.Tag.pointwise in func.tags else None


def _pointwise(watch: Any, args: list[Any], out: Any) -> list[Dims] | None:
    if not isinstance(out, Tensor):
        return None
    tensors = [each for each in args if isinstance(each, Tensor)]
    found: list[Places] = [None] * out.dim()
    for axis in range(1, out.dim() + 1):
        bare = False
        for each in tensors:
            if each.dim() < axis:
                continue
            places, size = watch.dims(each)[-axis], each.shape[-axis]
            if size == 1 and out.shape[-axis] > 1:
                watch.fix(places)
            elif places is None:
                bare = bare or size > 1
            else:
                found[-axis] = places if found[-axis] is None else watch.join(found[-axis], places)
        if bare and watch.is_strict:
            watch.fix(found[-axis])
    return [tuple(found)]


def _convolution(watch: Any, args: list[Any], out: Tensor) -> list[Dims] | None:
    x, w, b, groups, transposed = args[0], args[1], args[2], args[8], args[6]
    inputs, (outer, inner, *kernel) = watch.dims(x)[1], watch.dims(w)
    for places in (*kernel, *watch.dims(x)[2:]):
        watch.fix(places)
    if transposed:
        if groups != 1:
            return None
        outer, inner = inner, outer
    if groups == 1:
        watch.join(inputs, inner)
    elif outer is None or inner is None or inputs is None:
        return None
    elif w.shape[1] == 1:  # each channel on its own
        watch.fix(inner)
        each = w.shape[0] // groups
        watch.labels.unite(np.repeat(inputs, each), outer)
        watch.grouped[id(w)] = each
    else:  # the places of one group are those of all
        for places, block in ((inputs, inner), (outer, None)):
            per_group = places.reshape(groups, -1)
            for row in per_group[1:]:
                watch.labels.unite(per_group[0], row)
            if block is not None:
                watch.labels.unite(per_group[0], block)
    if b is not None:
        watch.join(outer, watch.dims(b)[0])
    return [(None, outer, *[None] * (out.dim() - 2))]


def _product(watch: Any, a: Tensor, b: Tensor) -> tuple[Places, Places]:
    """Rows of the one and columns of the other, what is between summed over."""
    (*_, rows, inner), (*_, other, columns) = watch.dims(a), watch.dims(b)
    watch.join(inner, other)
    return rows, columns


def _mm(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    return [_product(watch, args[0], args[1])]


def _bmm(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    batch = watch.join(watch.dims(args[0])[0], watch.dims(args[1])[0])
    return [(batch, *_product(watch, args[0], args[1]))]


def _added(inner: Rule) -> Rule:
    """A product to which the first argument is added."""

    def rule(watch: Any, args: list[Any], out: Tensor) -> list[Dims] | None:
        found = inner(watch, args[1:], out)
        assert found is not None
        dims, bias = list(found[0]), args[0]
        for axis in range(1, bias.dim() + 1):
            places = watch.dims(bias)[-axis]
            if bias.shape[-axis] == 1 and out.shape[-axis] > 1:
                watch.fix(places)
            elif places is not None or dims[-axis] is not None:
                dims[-axis] = watch.join(dims[-axis], places)
        return [tuple(dims)]

    return rule


def _linear(watch: Any, args: list[Any], out: Tensor) -> list[Dims]:
    *lead, inner = watch.dims(args[0])
    outer, columns = watch.dims(args[1])
    watch.join(inner, columns)
    if len(args) > 2 and args[2] is not None:
        watch.join(outer, watch.dims(args[2])[0])
    return [(*lead, outer)]


def _batch_norm(watch: Any, args: list[Any], out: Any) -> list[Dims]:
    dims = list(watch.dims(args[0]))
    for each in args[1:5]:
        if isinstance(each, Tensor):
            dims[1] = watch.join(dims[1], watch.dims(each)[0])
    return [tuple(dims)]


def _same(watch: Any, args: list[Any], out: Any) -> list[Dims]:
    return [watch.dims(args[0])]


def _pool(watch: Any, args: list[Any], out: Any) -> list[Dims]:
    dims = watch.dims(args[0])
    first = out[0] if isinstance(out, tuple) else out
    keep = 2 if first.dim() == 4 else first.dim() - 1
    for places in dims[keep:]:
        watch.fix(places)
    kept = (*dims[:keep], *[None] * (first.dim() - keep))
    return [kept, kept]


RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution"), _convolution),
    "mm": _mm,
    "bmm": _bmm,
    "addmm": _added(_mm),
    "baddbmm": _added(_bmm),
    "linear": _linear,
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_with_update",
            "cudnn_batch_norm",
        ),
        _batch_norm,
    ),
    **dict.fromkeys(("clone", "detach", "alias", "_to_copy", "contiguous", "copy", "native_dropout", "to"), _same),
    **dict.fromkeys(
        (
            "max_pool2d_with_indices",
            "avg_pool2d",
            "_adaptive_avg_pool2d",
            "adaptive_max_pool2d",
            "max_pool1d_with_indices",
            "avg_pool1d",
            "upsample_nearest2d",
            "upsample_bilinear2d",
        ),
        _pool,
    ),
    **dict.fromkeys(("t", "transpose"), label_moves.transpose_rule),
    "permute": label_moves.permute_rule,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min"), label_moves.reduce_rule),
    "cat": label_moves.concatenate_rule,
    "expand": label_moves.expand_rule,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), label_moves.view_rule),
    "slice": label_moves.slice_rule,
    "select": label_moves.without_rule,
    "unsqueeze": label_moves.unsqueeze_rule,
    "squeeze": label_moves.squeeze_rule,
    "embedding": label_moves.embedding_rule,
    "constant_pad_nd": label_moves.pad_rule,
    **dict.fromkeys(
        ("zeros_like", "ones_like", "empty_like", "rand_like", "new_zeros", "new_empty", "new_ones"),
        label_moves.filled_rule,
    ),
}
