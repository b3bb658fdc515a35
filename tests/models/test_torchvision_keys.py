"""Names and shapes of our networks' tensors are torchvision's, so that weights that circulate load as they are.

tests/contract/torchvision_keys.json holds what torchvision 0.28.0 builds by `torchvision.models.NAME(weights=None)`,
1000 classes: the number of trainable parameters and of tensors, the first lines "name shape" in alphabetical order, and
the SHA-256 of all lines, each with its line end. `python -m tests.models.test_torchvision_keys` writes it anew where
torchvision is installed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import pytest
import torch

from bench.torchvision_outputs import NETWORKS, torchvision_models
from deepen.core import names
from deepen.nn.shapes import ImageShape

KEYS = Path(__file__).parents[1] / "contract" / "torchvision_keys.json"
STORED = json.loads(KEYS.read_text("utf-8")) if KEYS.is_file() else {}
LINES_SHOWN = 3


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_keys_and_shapes_are_torchvisions(name):
    module = importlib.import_module(names.models()[name].module)
    options = module.Options(auxiliary=True) if name == "googlenet" else module.Options()
    with torch.device("meta"):
        net = module.build(name, ImageShape(3, 224, 224), 1000, options)
    assert described(net) == STORED[NETWORKS[name]]


def test_every_stored_network_is_ours():
    assert set(STORED) == set(NETWORKS.values())


def test_torchvisions_own_are_as_stored():
    theirs, reason = torchvision_models()
    if theirs is None:
        # torchvision is no dependency; its names and shapes are stored, and the tests above compare with these
        pytest.skip(reason)
    with torch.device("meta"):
        found = {name: described(getattr(theirs, name)(weights=None)) for name in ("alexnet", "resnet18")}
    assert found == {name: STORED[name] for name in found}


def described(net):
    lines = sorted(f"{key} {'x'.join(map(str, tensor.shape)) or 'scalar'}" for key, tensor in net.state_dict().items())
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "tensors": len(lines),
        "first": lines[:LINES_SHOWN],
        "sha256": hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest(),
    }


def main():
    theirs, reason = torchvision_models()
    if theirs is None:
        raise SystemExit(f"torchvision cannot be imported here ({reason}).")
    found = {}
    for name in NETWORKS.values():
        options = {"init_weights": False} if name == "googlenet" else {}
        with torch.device("meta"):
            found[name] = described(getattr(theirs, name)(weights=None, **options))
    KEYS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
