"""Optimizers without what PyTorch wraps around them for torch.compile.

The wrapping imports the whole compiler, 800 modules, when the first optimizer is made: more than a second of every
training, also of those that compile nothing. Here only networks are compiled, never an optimizer's step, so it is
taken off. What is computed is the same.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@functools.cache
def eager(kind: type[torch.optim.Optimizer]) -> Any:
    """The kind of optimizer, not differentiable itself, as a class whose instances import no compiler."""
    own = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    own["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), own)
