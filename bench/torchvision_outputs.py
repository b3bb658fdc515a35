"""Whether our networks answer as torchvision's do with the same weights: `python -m bench.torchvision_outputs`.

Each network of torchvision is drawn at random, shown one batch so that its batch norms know their statistics, and its
weights are loaded into ours; both then answer the same images of 3x224x224. Exit code 0 if no output differs by more
than TOLERANCE, times the largest output where that is over 1; 1 if one does, or if nothing could be compared.

torchvision has to be importable; its compiled operators need not be, as none of these networks uses them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from deepen.core import names
from deepen.nn.shapes import ImageShape

TOLERANCE = 1e-5
SHAPE = ImageShape(3, 224, 224)
CLASSES = 1000
MISSING = "torchvision cannot be imported here, so nothing was compared ({0}); install it beside torch."

# ours, torchvision's
NETWORKS = {
    "alexnet": "alexnet",
    **{f"vgg{depth}": f"vgg{depth}" for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}-bn": f"vgg{depth}_bn" for depth in (11, 13, 16, 19)},
    "googlenet": "googlenet",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "wide-resnet50": "wide_resnet50_2",
    "wide-resnet101": "wide_resnet101_2",
}


def main() -> int:
    """Compares the networks that were named, by default all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=f"some of {', '.join(NETWORKS)}; default: all")
    parser.add_argument("--images", type=int, default=2, help="images per network")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NETWORKS))
    if unknown:
        parser.error(f"{unknown[0]!r}: no such network here{names.did_you_mean(unknown[0], NETWORKS)}")
    if arguments.images < 2:
        parser.error("--images: expected at least 2, for batch norms and to see that answers differ.")
    torch.set_num_threads(arguments.threads)
    theirs, reason = torchvision_models()
    if theirs is None:
        print(MISSING.format(reason))
        return 1
    chosen = arguments.names or list(NETWORKS)
    width = max(map(len, chosen))
    failed = 0
    for name in chosen:
        difference, largest = compared(name, theirs, num_images=arguments.images)
        equal = difference <= TOLERANCE * max(1.0, largest)
        failed += not equal
        verdict = "equal" if equal else "DIFFERS"
        print(
            f"{name:{width}}  largest difference {difference:.1e}, largest output {largest:.2f}: {verdict}", flush=True
        )
    print(f"{len(chosen) - failed} of {len(chosen)} networks answer as torchvision's do, to {TOLERANCE:g}.")
    return 1 if failed else 0


def torchvision_models() -> tuple[Any, str]:
    """torchvision.models, or None and why not."""
    try:
        return importlib.import_module("torchvision.models"), ""
    except ImportError as error:
        return None, str(error)
    except RuntimeError as error:  # its compiled operators are missing, and it describes one while it is imported
        if "torchvision::" not in str(error):
            return None, str(error)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(operators)
    try:
        return importlib.import_module("torchvision.models"), ""
    except (ImportError, RuntimeError) as error:
        return None, str(error)


_KEPT: list[torch.library.Library] = []  # operators go when the library that defined them does


@torch.no_grad()
def compared(name: str, theirs: Any, *, num_images: int) -> tuple[float, float]:
    """The largest difference between the two networks' outputs, and the largest output."""
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference: nn.Module = getattr(theirs, NETWORKS[name])(weights=None, num_classes=CLASSES, **options)
    images = torch.randn(num_images, SHAPE.channels, SHAPE.height, SHAPE.width)
    _learn_statistics(reference, images)
    module = importlib.import_module(names.models()[name].module)
    network = module.build(name, SHAPE, CLASSES, _options(name, module))
    network.load_state_dict(reference.state_dict())
    expected: Tensor = reference.eval()(images)
    found: Tensor = network.eval()(images)
    if not expected.std(0).any():
        sys.exit(f"{name}: torchvision's network answers the same to every image, so the comparison would say nothing.")
    return float((found - expected).abs().max()), float(expected.abs().max())


def _options(name: str, module: Any) -> Any:
    return module.Options(auxiliary=True) if name == "googlenet" else module.Options()


def _learn_statistics(network: nn.Module, images: Tensor) -> None:
    """Gives batch norms the statistics of these images, and scales and shifts other than 1 and 0."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0.0, 0.1)
    network.train()(images)


if __name__ == "__main__":
    sys.exit(main())
