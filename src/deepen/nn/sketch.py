"""Networks without memory, to ask them for their shapes and names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def sketched() -> Iterator[None]:
    """Networks that are built within it lie on the meta device, and nothing is drawn for them.

    There is nothing to fill there, and PyTorch's filling of nothing with normal numbers imports its compiler, which
    takes longer than many a training.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves tensors on the meta device as they are where they would be filled with random numbers."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "trunc_normal_", "orthogonal_"):
            tensor = args[0] if args else named["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **named)
