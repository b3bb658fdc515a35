"""Layers whose weights are whole numbers, and whose inputs may be too.

    y = W x + b,    W = s_o Q (Q whole, a step s_o for each output or one for all),    x rounded to the layer's grid

The reference path rounds x and multiplies floats. The fast path multiplies whole numbers in 8 bits by oneDNN
and gives the same up to the order of additions. Where a graph is traced for
export, weights and inputs go through quantize and dequantize operators, which engines turn into integer kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers quantize and dequantize
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.compress.replace import replace
from deepen.compress.rounding import Grid, rounded, spread, straight_through, weight_scales, whole_numbers
from deepen.nn.members import MemberLinear

_REFERENCE = ContextVar("reference path", default=False)
decomposed = torch.ops.quantized_decomposed


@contextmanager
def reference_path():
    """Within it, every layer multiplies floats."""
    token = _REFERENCE.set(True)
    try:
        yield
    finally:
        _REFERENCE.reset(token)


class Whole(nn.Module):
    """Weights as whole numbers with their steps: `quantized`, int8 or int16, and `scales`.

    what is derived from them (floats, packed weights) is made when it is first wanted, and is no part of the state
    """

    quantized: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, bits: int, *, per_channel: bool, power_of_two: bool) -> None:
        super().__init__()
        self.bits, self.power_of_two = bits, power_of_two
        kind = torch.int8 if bits <= 8 else torch.int16
        self.register_buffer("quantized", torch.zeros(weight.shape, dtype=kind, device=weight.device))
        count = weight.shape[0] if per_channel else 1
        self.register_buffer("scales", torch.ones(count, device=weight.device))
        self.per_channel = per_channel
        self._made: dict[Any, Any] = {}

    @torch.no_grad()
    def fill(self, weight: Tensor) -> None:
        """Takes the whole numbers of a weight."""
        scales = weight_scales(weight, self.bits, per_channel=self.per_channel, power_of_two=self.power_of_two)
        self.scales.copy_(scales)
        self.quantized.copy_(whole_numbers(weight, scales, self.bits, power_of_two=self.power_of_two))
        self._made.clear()

    @property
    def weight(self) -> Tensor:
        """The weights as floats."""
        if torch.compiler.is_exporting():
            return self._traced()
        if "weight" not in self._made:
            self._made["weight"] = self.quantized.float() * spread(self.scales, self.quantized.dim())
        return self._made["weight"]

    def _traced(self) -> Tensor:
        q, scales = self.quantized, self.scales
        if self.bits > 8 or not self.per_channel:
            return q.float() * spread(scales, q.dim())
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        return decomposed.dequantize_per_channel(q, scales, zeros, 0, -128, 127, torch.int8)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._made.clear()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._made.clear()
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}


class WholeLayer(Whole):
    """A layer with a bias and a grid for its input, None where the input stays as it is.

    is_fast  whether the fast path is to be taken where there is one
    """

    def __init__(self, layer: Any, spec: Mapping[str, Any]) -> None:
        super().__init__(layer.weight, spec["bits"], per_channel=spec["per_channel"], power_of_two=spec["power_of_two"])
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
        self.grid = None if spec["input"] is None else Grid.of_list(spec["input"])
        self.is_fast = bool(spec["fast"])

    def on_grid(self, x: Tensor) -> Tensor:
        """The input as the layer reads it."""
        grid = self.grid
        if grid is None:
            return x
        if torch.compiler.is_exporting() and (grid.low, grid.high) == (0, 255):
            known = (grid.scale, grid.zero, 0, 255, torch.uint8)
            return decomposed.dequantize_per_tensor(decomposed.quantize_per_tensor(x, *known), *known)
        return straight_through(x, grid) if torch.is_grad_enabled() and x.requires_grad else rounded(x, grid)

    def takes_fast_path(self, x: Tensor) -> bool:
        """Whether it is wanted, and this machine and input have it."""
        learns = torch.is_grad_enabled() and x.requires_grad  # what explains an answer asks for gradients
        return self.is_fast and not learns and x.device.type == "cpu" and not _REFERENCE.get() and has_kernels()


class WholeLinear(WholeLayer):
    """x [..., I] -> [..., O], or only the outputs from `begin` to `end`."""

    def __init__(self, layer: nn.Linear, spec: Mapping[str, Any]) -> None:
        super().__init__(layer, spec)
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def forward(self, x: Tensor, begin: int = 0, end: int | None = None) -> Tensor:
        if torch.compiler.is_exporting() or not self.takes_fast_path(x):
            weight, bias = self.weight, self.bias
            if begin or end is not None:
                weight, bias = weight[begin:end], bias if bias is None else bias[begin:end]
            return F.linear(self.on_grid(x), weight, bias)
        assert self.grid is not None
        if (begin, end) not in self._made:
            packed = torch.ops.onednn.qlinear_prepack(self.quantized[begin:end], None)
            scales = self.scales[begin:end]
            self._made[begin, end] = (packed, scales, torch.zeros(len(scales), dtype=torch.int32))
        packed, scales, zeros = self._made[begin, end]
        flat = whole_input(x.reshape(-1, x.shape[-1]), self.grid)
        bias = None if self.bias is None else self.bias[begin:end]
        rest = (bias, 1.0, 0, torch.float32, "none", [], "")
        call = torch.ops.onednn.qlinear_pointwise
        y = call(flat, self.grid.scale, self.grid.zero, packed, scales, zeros, *rest)
        return y.view(*x.shape[:-1], len(scales))


class WholeConv(WholeLayer):
    """x [B, I, W] or [B, I, H, W] -> [B, O, ...]; the fast path takes one dimension as a height of 1."""

    def __init__(self, layer: Any, spec: Mapping[str, Any]) -> None:
        super().__init__(layer, spec)
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        self.kernel_size, self.groups = layer.kernel_size, layer.groups
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation

    def forward(self, x: Tensor) -> Tensor:
        geometry: Any = (self.stride, self.padding, self.dilation, self.groups)
        is_flat = self.quantized.dim() == 3
        if torch.compiler.is_exporting() or not self.takes_fast_path(x):
            call = F.conv1d if is_flat else F.conv2d
            return call(self.on_grid(x), self.weight, self.bias, *geometry)
        if not is_flat:
            return self._whole(x, self.quantized, geometry)
        geometry = ((1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)
        return self._whole(x[:, :, None], self.quantized[:, :, None], geometry)[:, :, 0]

    def _whole(self, x: Tensor, weight: Tensor, geometry: Any) -> Tensor:
        assert self.grid is not None
        scale, zero = self.grid.scale, self.grid.zero
        if "packed" not in self._made:
            zeros = torch.zeros(len(self.scales), dtype=torch.int32)
            whole = weight.contiguous(memory_format=torch.channels_last)
            packed = torch.ops.onednn.qconv_prepack(whole, self.scales, scale, zero, *geometry, None)
            self._made["packed"] = (packed, zeros)
        packed, zeros = self._made["packed"]
        x = x.contiguous(memory_format=torch.channels_last)
        whole = whole_input(x, self.grid)
        rest = (self.bias, *geometry, 1.0, 0, torch.float32, "none", [], "")
        return torch.ops.onednn.qconv_pointwise(whole, scale, zero, packed, self.scales, zeros, *rest)


def whole_input(x: Tensor, grid: Grid) -> Tensor:
    """x on its grid as uint8, by the arithmetic of `rounding.rounded`."""
    return (x * (1.0 / grid.scale)).round_().add_(grid.zero).clamp_(grid.low, grid.high).to(torch.uint8)


class WholeEmbedding(Whole):
    """ids -> vectors; only those that are asked for become floats."""

    def __init__(self, layer: Any, spec: Mapping[str, Any]) -> None:
        super().__init__(layer.weight, spec["bits"], per_channel=True, power_of_two=spec["power_of_two"])
        self.num_embeddings, self.embedding_dim = layer.num_embeddings, layer.embedding_dim
        self.padding_idx = layer.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.quantized).float() * F.embedding(ids, self.scales[:, None])


class WholeMembers(Whole):
    """x [M, B, D] -> [M, B, H], as nn.members.MemberLinear, whose input stays as it is; a step for each output of each
    member. `quantized` is [M * H, D]."""

    def __init__(self, layer: MemberLinear, spec: Mapping[str, Any]) -> None:
        known = {"per_channel": spec["per_channel"], "power_of_two": spec["power_of_two"]}
        super().__init__(_rows(layer.weight), spec["bits"], **known)
        self.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
        self.members = len(layer.weight)

    def fill(self, weight: Tensor) -> None:
        """Takes the whole numbers of a weight [M, D, H]."""
        super().fill(_rows(weight))

    @property
    def weight(self) -> Tensor:
        """The weights [M, D, H] as floats."""
        return super().weight.view(self.members, -1, self.quantized.shape[1]).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def _rows(weight: Tensor) -> Tensor:
    """[M, D, H] as [M * H, D]"""
    return weight.transpose(1, 2).flatten(0, 1)


def kind_of(layer: nn.Module) -> str | None:
    """Of which kind a layer is, None if it stays as it is."""
    if isinstance(layer, nn.Linear):
        return "linear"
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return "convolution" if plain else None
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    if isinstance(layer, nn.RNNBase):
        return "recurrent"
    return "members" if isinstance(layer, MemberLinear) else None


def emptied(layer: nn.Module, spec: Mapping[str, Any]) -> nn.Module:
    """The layer of whole numbers that stands for one of floats, before it has any. Raises ValueError for other ones."""
    from deepen.compress.quantized_recurrent import WholeRecurrent

    made: Any = {
        "linear": WholeLinear,
        "convolution": WholeConv,
        "embedding": WholeEmbedding,
        "recurrent": WholeRecurrent,
        "members": WholeMembers,
    }
    kind = kind_of(layer)
    if kind is None or kind != spec["kind"] or not 2 <= spec["bits"] <= 16:
        raise ValueError(f"{type(layer).__name__} is not {spec['kind']} of {spec['bits']} bits")
    return made[kind](layer, spec)


def rebuild(network: nn.Module, change: Mapping[str, Any]) -> None:
    """Puts empty layers of whole numbers in the place of the named ones; the values come with the weights."""
    for name, spec in change["layers"].items():
        replace(network, name, emptied(network.get_submodule(name), spec))
    share(network, change.get("tied", {}))


def share(network: nn.Module, tied: Mapping[str, str]) -> None:
    """Layers whose weights were one parameter hold the same whole numbers, where they have the same steps."""
    for name, other in tied.items():
        own, held = network.get_submodule(name), network.get_submodule(other)
        assert isinstance(own, Whole) and isinstance(held, Whole)
        if own.scales.shape == held.scales.shape:
            own.quantized, own.scales = held.quantized, held.scales


@functools.cache
def has_kernels() -> bool:
    """Whether 8 bits are multiplied without overflow here (VNNI), by kernels that this PyTorch has."""
    supported: Any = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    has = all(hasattr(torch.ops.onednn, name) for name in ("qconv_pointwise", "qlinear_pointwise"))
    return bool(supported()) and has
