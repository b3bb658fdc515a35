"""DenseNet: every layer reads the maps of all before it (Huang, Liu, van der Maaten and Weinberger 2017, table 1).

    x_l = [x_0, H_1(x_0), ..., H_{l-1}(...)] side by side,    H = norm, relu, conv 1x1, norm, relu, conv 3x3

Between the four blocks a 1x1 convolution halves the number of maps and an average over 2x2 their sides (DenseNet-BC).
densenet161 grows by 48 maps a layer, the others by 32. Parameter names are torchvision's, so its weights load.

From 64 pixels a side the stem is the paper's: 7x7, stride 2, then a 3x3 maximum, stride 2. Below 64 the convolution is
3x3 with stride 1 and the maximum stays, a quarter of what it would cost without; an average that would leave fewer than
2 pixels is left out. So 28x28 goes 28, 14, 7, 3, 3. The smallest image is 8x8.

Multiply-adds in millions, with 10 classes at 1x28x28 and 1000 at 3x224x224: densenet121 172 and 2,834,
densenet169 221 and 3,360, densenet201 271 and 4,291, densenet161 484 and 7,728.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deepen.nn.dropout import Dropout, dropped
from deepen.nn.init import start_convolutions
from deepen.nn.shapes import ImageShape, Paper, require_side
from deepen.nn.staged import State, grid_means, through

CONTRACTS = ("image classifier",)

SMALL_SIDE = 64  # below this many pixels the stem halves the image once instead of twice
SMALLEST_MAP = 2
BOTTLENECK = 4  # maps of the 1x1 convolution, in multiples of the growth


@dataclass(frozen=True)
class Size:
    """Maps that each layer adds, layers in each of the four blocks, maps of the stem."""

    growth: int
    layers: tuple[int, int, int, int]
    stem: int


SIZES = {
    "densenet121": Size(growth=32, layers=(6, 12, 24, 16), stem=64),
    "densenet169": Size(growth=32, layers=(6, 12, 32, 32), stem=64),
    "densenet201": Size(growth=32, layers=(6, 12, 48, 32), stem=64),
    "densenet161": Size(growth=48, layers=(6, 12, 36, 24), stem=96),
}

PAPER = {
    "densenet121": Paper(inputs=(3, 224, 224), outputs=1000, parameters=7_978_856, multiply_adds=2_834_161_664),
    "densenet169": Paper(inputs=(3, 224, 224), outputs=1000, parameters=14_149_480, multiply_adds=3_359_843_328),
    "densenet201": Paper(inputs=(3, 224, 224), outputs=1000, parameters=20_013_928, multiply_adds=4_291_365_888),
    "densenet161": Paper(inputs=(3, 224, 224), outputs=1000, parameters=28_681_000, multiply_adds=7_727_907_072),
}

RECIPE = {
    "epochs": 20,
    "batch_size": 128,
    "optimizer.kind": "sgd",
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
    "optimizer.weight_decay": 5e-4,
    "schedule.kind": "one-cycle",
    "schedule.warm_up": 0.2,
    "schedule.final": 0.0,
    "label_smoothing": 0.1,
    "augment": ("auto",),
}


@dataclass(frozen=True)
class Options:
    """Options of DenseNet."""

    dropout: float = field(
        default=0.0,
        metadata=dropped("what each layer adds"),
    )
    memory_efficient: bool = field(
        default=False,
        metadata={"help": "compute the joined maps again on the way back instead of keeping them: slower, far smaller"},
    )


def build(name: str, inputs: ImageShape, outputs: int, options: Options = Options()) -> nn.Module:
    """The DenseNet of this name. Raises ShapeError for images below 8x8 pixels."""
    require_side("DenseNet", inputs, 8)
    return DenseNet(SIZES[name], inputs, outputs, options)


class DenseNet(nn.Module):
    """images [B, C, H, W] -> logits [B, K]"""

    def __init__(self, size: Size, inputs: ImageShape, outputs: int, options: Options) -> None:
        super().__init__()
        self.num_blocks = len(size.layers)
        small = inputs.short_side < SMALL_SIDE
        kernel_size, stride = (3, 1) if small else (7, 2)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv0"] = nn.Conv2d(
            inputs.channels, size.stem, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        parts["norm0"] = nn.BatchNorm2d(size.stem)
        parts["relu0"] = nn.ReLU(inplace=True)
        parts["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        side = inputs.short_side if small else (inputs.short_side + 1) // 2
        side, width = (side + 1) // 2, size.stem
        for index, num_layers in enumerate(size.layers, start=1):
            parts[f"denseblock{index}"] = DenseBlock(width, num_layers, size.growth, options)
            width += num_layers * size.growth
            if index < len(size.layers):
                halves = side // 2 >= SMALLEST_MAP
                parts[f"transition{index}"] = _transition(width, halves=halves)
                side, width = side // 2 if halves else side, width // 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(width, outputs)
        start_convolutions(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        return through(self, images)

    @property
    def num_stages(self) -> int:
        return self.num_blocks

    def begin(self, images: Tensor) -> State:
        return (self._layers(images, "conv0", "norm0", "relu0", "pool0"),)

    def stage(self, number: int, maps: Tensor) -> State:
        return (self._layers(maps, f"transition{number}", f"denseblock{number + 1}"),)

    def summary(self, maps: Tensor) -> Tensor:
        return grid_means(maps)

    def finish(self, maps: Tensor) -> Tensor:
        maps = F.relu(self._layers(maps, "norm5"), inplace=True)  # [B, D, h, w]
        return self.classifier(maps.mean((2, 3)))

    def _layers(self, maps: Tensor, *names: str) -> Tensor:
        for name, layer in self.features.named_children():
            if name in names:
                maps = layer(maps)
        return maps


class DenseBlock(nn.ModuleDict):
    """Layers that each add `growth` maps to what they read   [B, I, H, W] -> [B, I + layers * growth, H, W]"""

    def __init__(self, width_in: int, num_layers: int, growth: int, options: Options) -> None:
        super().__init__()
        for index in range(num_layers):
            self[f"denselayer{index + 1}"] = DenseLayer(width_in + index * growth, growth, options)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.values():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


class DenseLayer(nn.Module):
    """conv2(relu(norm2(conv1(relu(norm1(all maps so far))))))   [[B, I_1, H, W], ...] -> [B, growth, H, W]"""

    def __init__(self, width_in: int, growth: int, options: Options) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK * growth)
        self.conv2 = nn.Conv2d(BOTTLENECK * growth, growth, 3, padding=1, bias=False)
        self.dropout = Dropout(options.dropout)
        self.is_memory_efficient = options.memory_efficient

    def forward(self, maps: list[Tensor]) -> Tensor:
        if self.is_memory_efficient and self.training and torch.is_grad_enabled():
            x = checkpoint(self._bottleneck, *maps, use_reentrant=False, context_fn=self._contexts)
            assert isinstance(x, Tensor)
        else:
            x = self._bottleneck(*maps)
        return self.dropout(self.conv2(F.relu(self.norm2(x), inplace=True)))

    def _bottleneck(self, *maps: Tensor) -> Tensor:
        return self.conv1(F.relu(self.norm1(torch.cat(maps, 1)), inplace=True))

    def _contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """For the first computation and for its repetition, which must not count the batch a second time."""
        return nullcontext(), _statistics_kept(self.norm1)


@contextmanager
def _statistics_kept(norm: nn.BatchNorm2d) -> Iterator[None]:
    assert norm.num_batches_tracked is not None
    momentum, num_batches = norm.momentum, norm.num_batches_tracked.clone()
    norm.momentum = 0.0  # not track_running_stats: the repetition has to save the same tensors
    try:
        yield
    finally:
        norm.momentum = momentum
        norm.num_batches_tracked.copy_(num_batches)


def _transition(width: int, *, halves: bool) -> nn.Sequential:
    """[B, I, H, W] -> [B, I / 2, H / 2, W / 2], or H, W"""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["norm"] = nn.BatchNorm2d(width)
    parts["relu"] = nn.ReLU(inplace=True)
    parts["conv"] = nn.Conv2d(width, width // 2, 1, bias=False)
    parts["pool"] = nn.AvgPool2d(2) if halves else nn.Identity()
    return nn.Sequential(parts)
