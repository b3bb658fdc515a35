"""Optimizers without the compiler's wrapping take the same steps, and a training imports no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepen.engine.optim_eager import eager

KINDS = [
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    (torch.optim.Adam, {"fused": True}),
    (torch.optim.AdamW, {"foreach": True}),
    (torch.optim.Adagrad, {"fused": True}),
    (torch.optim.RMSprop, {"foreach": True}),
    (torch.optim.Adadelta, {"foreach": True}),
]


def trained(kind, given):
    """Weights and the optimizer after 13 steps, the last six of them with a memory that was stored and loaded."""
    torch.manual_seed(7)
    layer, rows = torch.nn.Linear(11, 5), torch.randn(17, 11)
    groups = [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias]}]
    optimizer = kind(groups, lr=0.03, **given)
    for step in range(13):
        if step == 7:
            stored = optimizer.state_dict()
            optimizer = kind(groups, lr=0.5, **given)
            optimizer.load_state_dict(stored)
        optimizer.zero_grad()
        layer(rows).square().mean().backward()
        optimizer.step()
    return layer, optimizer


@pytest.mark.parametrize(("kind", "given"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_same_steps(kind, given):
    (ours, our_optimizer), (theirs, their_optimizer) = trained(eager(kind), given), trained(kind, given)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
    assert isinstance(our_optimizer, kind) and our_optimizer.state_dict().keys() == their_optimizer.state_dict().keys()
    assert all(p.requires_grad for p in ours.parameters()) and torch.is_grad_enabled()


def test_a_training_imports_no_compiler(tmp_path):
    """Pictures and texts: what optimizers, and networks without memory, would import takes longer than they do."""
    program = (
        "import sys, deepen\n"
        "deepen.train('image-classification', 'tiny', model='lenet', steps=2, out=sys.argv[1] + '/a')\n"
        "deepen.train('text-classification', 'tiny', steps=2, out=sys.argv[1] + '/b')\n"
        "print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy') if name in sys.modules])"
    )
    source = str(Path(sys.modules["deepen"].__file__ or "").parents[1])
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0 and found.stdout.strip() == "[]", found.stdout + found.stderr
