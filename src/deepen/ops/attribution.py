"""Which parts of an input an answer comes from: gradients, integrated gradients, Grad-CAM and occlusion.

Everything here works on a function from inputs [B, ...] to outputs [B, K] whose rows do not disturb each other (a
network that answers). `targets` [B] int64 says which output of each row is to be explained. Nothing gets a gradient but
the inputs: parameters are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_CHANGE = 0.02  # of a logit: what nobody would explain in parts
Function = Callable[[Tensor], Tensor]


def gradients(function: Function, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each row's target output by its input.

        g[b] = d function(x)[b, targets[b]] / d x[b]

    inputs   [B, ...] float
    returns  [B, ...]
    """
    with torch.enable_grad():
        x = inputs.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(picked(function(x), targets).sum(), x)
    return gradient


def saliency(function: Function, images: Tensor, targets: Tensor) -> Tensor:
    """How strongly each pixel moves the target output: the largest |gradient| over the channels.

    images   [B, C, H, W]
    returns  [B, H, W], at least 0

    Source: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks, 2013, section 3.1.
    """
    return gradients(function, images, targets).abs().amax(1)


def smooth_gradients(function: Function, inputs: Tensor, targets: Tensor, noises: Iterable[Tensor]) -> Tensor:
    """The mean gradient over noisy copies of the inputs.

        g[b] = mean over n of  d function(x + n)[b, targets[b]] / d x[b]

    noises   each [B, ...] like the inputs, already scaled; at least one
    returns  [B, ...]

    Source: Smilkov et al., SmoothGrad, 2017.
    """
    total, count = torch.zeros_like(inputs, dtype=torch.float64), 0
    for noise in noises:
        total += gradients(function, inputs + noise, targets)
        count += 1
    assert count, "at least one noise is needed"
    return (total / count).to(inputs.dtype)


@dataclass(frozen=True)
class PathAttribution:
    """Integrated gradients, and how far they are from being complete.

    values  [B, ...] like the inputs
    change  [B] function(inputs) - function(baseline), float64
    gap     [B] change - sum of the values, float64: 0 up to the error of the integral
    steps   [B] int64: points of the path that were used
    """

    values: Tensor
    change: Tensor
    gap: Tensor
    steps: Tensor


def integrated_gradients(
    function: Function,
    inputs: Tensor,
    targets: Tensor,
    baseline: Tensor,
    *,
    steps: int = 64,
    batch_size: int = 64,
    tolerance: float | None = None,
    most_steps: int = 1024,
) -> PathAttribution:
    """The gradient averaged over the straight path from a baseline, times the way.

        a[b] = (x[b] - x'[b]) * integral over t in [0, 1] of  d function(x' + t (x - x'))[b, targets[b]] / d x

    The integral is a mean over the middles of `steps` equal pieces. With a tolerance, rows whose gap is larger than
    that share of |change| (`allowed_gap`) are done again with twice the steps, up to `most_steps`.

    inputs      [B, ...] float
    baseline    [B, ...], or what broadcasts to it
    batch_size  rows that go through the function at once

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, 2017, eq. 1; completeness is their
    proposition 1, and a gap of 5 % of the change their advice for the number of steps.
    """
    baseline = baseline.expand_as(inputs)
    with torch.no_grad():
        change = (picked(function(inputs), targets) - picked(function(baseline), targets)).double()
    values, gap = torch.empty_like(inputs), torch.empty_like(change)
    used = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    rows = torch.arange(len(inputs), device=inputs.device)
    while len(rows):
        means = _path_means(function, inputs[rows], targets[rows], baseline[rows], steps, batch_size)
        exact = means * (inputs[rows] - baseline[rows]).double()
        values[rows], used[rows] = exact.to(inputs.dtype), steps
        gap[rows] = change[rows] - exact.flatten(1).sum(1)
        steps *= 2
        if tolerance is None or steps > most_steps:
            break
        rows = rows[gap[rows].abs() > allowed_gap(change[rows], tolerance)]
    return PathAttribution(values, change, gap, used)


def allowed_gap(change: Tensor, tolerance: float) -> Tensor:
    """How far a sum of attributions may be from the change that it explains: that share of it, or of LEAST_CHANGE where
    the change is smaller."""
    return tolerance * change.abs().clamp_min(LEAST_CHANGE)


def grad_cam(maps: Tensor, map_gradients: Tensor) -> Tensor:
    """Where the maps of a layer speak for the target: the maps weighted by their mean gradient, what is against cut.

        L[b] = relu(sum over k of  w[b, k] A[b, k]),     w[b, k] = mean over places of  d output / d A[b, k]

    maps           [B, C, h, w], the layer's output A
    map_gradients  [B, C, h, w], the target output's gradient by it
    returns        [B, h, w], at least 0

    Source: Selvaraju et al., Grad-CAM, 2017, eq. 1 and 2.
    """
    weights = map_gradients.mean((2, 3), keepdim=True)  # [B, C, 1, 1]
    return torch.relu((weights * maps).sum(1))


@dataclass(frozen=True)
class Occlusion:
    """How much each place matters by what its absence takes.

    drops   [H, W]: the mean fall of the target output over the patches that cover a pixel
    whole   the target output of the whole image
    lowest  the target output under the worst patch
    """

    drops: Tensor
    whole: float
    lowest: float


def occlusion(
    function: Function, image: Tensor, target: int, fill: Tensor, *, patch: int, stride: int, batch_size: int = 64
) -> Occlusion:
    """What the target output of one image loses where a square patch covers it.

    The patch slides by `stride` from the top left; a last place is added at the right and the bottom, so that every
    pixel is covered.

    image       [C, H, W]
    fill        [C, H, W], or what broadcasts to it: what stands under the patch
    patch       its side in pixels, at most the image's
    batch_size  covered images that go through the function at once

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
    """
    height, width = image.shape[1:]
    fill = fill.expand_as(image)
    places = [(y, x) for y in patch_places(height, patch, stride) for x in patch_places(width, patch, stride)]
    with torch.no_grad():
        whole = function(image[None])[0, target].double()
        drops, covered = (torch.zeros(height, width, dtype=torch.float64, device=image.device) for _ in range(2))
        lowest = whole
        for start in range(0, len(places), batch_size):
            some = places[start : start + batch_size]
            images = image.repeat(len(some), 1, 1, 1)
            for index, (y, x) in enumerate(some):
                images[index, :, y : y + patch, x : x + patch] = fill[:, y : y + patch, x : x + patch]
            outputs = function(images)[:, target].double()
            lowest = torch.minimum(lowest, outputs.min())
            for (y, x), output in zip(some, outputs, strict=True):
                drops[y : y + patch, x : x + patch] += whole - output
                covered[y : y + patch, x : x + patch] += 1
    return Occlusion((drops / covered).to(image.dtype), whole.item(), lowest.item())


def patch_places(side: int, patch: int, stride: int) -> list[int]:
    """Where patches start along one side so that all of it is covered.

    >>> patch_places(10, 4, 3), patch_places(11, 4, 3)
    ([0, 3, 6], [0, 3, 6, 7])
    """
    starts = list(range(0, side - patch + 1, stride))
    return starts if starts[-1] + patch == side else [*starts, side - patch]


def picked(outputs: Tensor, targets: Tensor) -> Tensor:
    """Each row's target output: [B, K] and [B] int64 to [B]."""
    return outputs.gather(1, targets[:, None])[:, 0]


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images [B, C, H, W] convolved with a Gaussian of this deviation in pixels, their edges repeated outwards."""
    radius = min(max(1, round(3 * deviation)), min(images.shape[2:]) * 2)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).repeat(images.shape[1], 1, 1, 1)  # [C, 1, 1, 2r + 1]
    wide = F.conv2d(F.pad(images, (radius, radius, 0, 0), "replicate"), kernel, groups=images.shape[1])
    return F.conv2d(F.pad(wide, (0, 0, radius, radius), "replicate"), kernel.mT, groups=images.shape[1])


def _path_means(
    function: Function, inputs: Tensor, targets: Tensor, baseline: Tensor, steps: int, batch_size: int
) -> Tensor:
    """The mean gradient over the middles of the path's pieces, [B, ...] float64."""
    total = torch.zeros(inputs.shape, dtype=torch.float64, device=inputs.device)
    middles = (torch.arange(steps, device=inputs.device, dtype=inputs.dtype) + 0.5) / steps
    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(steps)
    shares = middles.repeat(len(inputs)).view(-1, *[1] * (inputs.dim() - 1))
    for some, share in zip(rows.split(batch_size), shares.split(batch_size), strict=True):
        points = baseline[some] + share * (inputs[some] - baseline[some])
        total.index_add_(0, some, gradients(function, points, targets[some]).double())
    return total / steps
