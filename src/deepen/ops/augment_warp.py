"""Random changes of where pixels are: turned, sheared, moved, and bent like rubber. See `augment` for the rules.

All of them ask for each pixel of the result where it comes from, and sample there bilinearly; beyond the edge is the
nearest pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.ops.augment_pixels import as_pixels, signed

LATTICE = 8  # points across and down at which `elastic` draws


def affine(
    images: Tensor,
    u: Tensor,
    *,
    degrees: float = 10.0,
    scale: float = 0.1,
    shear: float = 0.1,
    translate: float = 0.06,
) -> Tensor:
    """Each image turned, scaled, sheared and moved about its centre, with bilinear sampling; edges are drawn out.

    With r = 2u - 1 in [-1, 1), and p the place of a pixel of the result from the centre, in pixels, x first:

        source(p) = R(degrees * r[0]) S p / (1 + scale)^r[1] - translate * (width * r[3], height * r[4])
        S = [[1, shear * r[2]], [0, 1]],    R(a) = [[cos a, -sin a], [sin a, cos a]]

    u        [B, 5]: angle, scale, shear, horizontal and vertical translation
    """
    height, width = images.shape[-2:]
    r = signed(u)
    angle = r[:, 0] * math.radians(degrees)
    zoom = (1 + scale) ** -r[:, 1]
    cos, sin, slant = angle.cos() * zoom, angle.sin() * zoom, r[:, 2] * shear
    aspect = height / width  # grid_sample measures x in half widths and y in half heights
    top = torch.stack([cos, (cos * slant - sin) * aspect, -2 * translate * r[:, 3]], dim=1)
    bottom = torch.stack([sin / aspect, sin * slant + cos, -2 * translate * r[:, 4]], dim=1)
    return _sampled(images, F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False))


def rotate(images: Tensor, u: Tensor, *, degrees: float = 30.0) -> Tensor:
    """Each image turned about its centre: `affine` with an angle alone.

    u        [B, 1]
    """
    return affine(images, _among(u, 0), degrees=degrees)


def shear(images: Tensor, u: Tensor, *, shear: float = 0.3) -> Tensor:
    """Each image sheared: with r = 2u - 1, source(x, y) = (x + shear r[0] y, y + shear r[1] x) from the centre.

    u        [B, 2]: along x, along y
    """
    r = signed(u) * shear
    aspect = images.shape[-2] / images.shape[-1]
    one, zero = torch.ones_like(r[:, 0]), torch.zeros_like(r[:, 0])
    top = torch.stack([one, r[:, 0] * aspect, zero], dim=1)
    bottom = torch.stack([r[:, 1] / aspect, one, zero], dim=1)
    return _sampled(images, F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False))


def translate(images: Tensor, u: Tensor, *, share: float = 0.2) -> Tensor:
    """Each image moved by up to a share of its width (r[0]) and height (r[1]): `affine` with a translation alone.

    u        [B, 2]
    """
    return affine(images, _among(u, 3, 4), translate=share)


def elastic(images: Tensor, u: Tensor, *, strength: float = 0.06) -> Tensor:
    """Each image bent by a smooth random field of displacements.

        source(x, y) = (x + strength W f(x, y; r[0]), y + strength H f(x, y; r[1])),    r = 2u - 1
        f(x, y; r) = sum over i, j of  k(y, i) k(x, j) r[i, j],    k(p, i) = exp(-(p - p[i])^2 / 2 s^2) / c(p)

    with the 8 x 8 points p[i] at the middles of eighths of the side, s an eighth of the side, and c(p) such that the
    squares of k(p, .) add up to 1: so the field varies as much at the edge as in the middle, and by strength / sqrt(3)
    of the side in the root mean square (1 pixel of 28).

    u        [B, 128]: 8 rows of 8 for x, then as many for y

    Source: Simard, Steinkraus and Platt 2003, Best Practices for Convolutional Neural Networks, section 2. There noise
    at every pixel is smoothed by a Gaussian of 4 of 29 pixels; here it is drawn on a lattice as dense as the Gaussian
    is wide, which such smoothing leaves nothing more of.
    """
    batch, _, height, width = images.shape
    r = signed(u).view(batch, 2, LATTICE, LATTICE)
    field = _along(_along(r, _bumps(height, r), 2), _bumps(width, r), 3)  # [B, 2, H, W]
    identity = torch.eye(2, 3, device=images.device).expand(batch, 2, 3)
    grid = F.affine_grid(identity, list(images.shape), align_corners=False)  # [B, H, W, 2], the side being 2 long
    return _sampled(images, grid + 2 * strength * field.permute(0, 2, 3, 1))


def _sampled(images: Tensor, grid: Tensor) -> Tensor:
    out = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return as_pixels(out, images)


def _among(u: Tensor, *places: int) -> Tensor:
    """[B, 5]: the draws of `affine`, these at their places and 0.5 elsewhere."""
    draws = u.new_full((len(u), 5), 0.5)
    draws[:, list(places)] = u
    return draws


def _bumps(size: int, like: Tensor) -> Tensor:
    """[size, 8]: k(p, i) of `elastic`."""
    pixels = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size
    points = (torch.arange(LATTICE, device=like.device, dtype=like.dtype) + 0.5) / LATTICE
    bumps = torch.exp(-((pixels[:, None] - points) * LATTICE).square() / 2)
    return bumps / bumps.square().sum(1, keepdim=True).sqrt()


def _along(lattice: Tensor, bumps: Tensor, dim: int) -> Tensor:
    """The lattice spread over pixels along one dimension, added up in a fixed order whatever the batch."""
    shape = [1] * lattice.dim()
    shape[dim] = len(bumps)
    total = None
    for i in range(LATTICE):
        part = lattice.narrow(dim, i, 1) * bumps[:, i].view(shape)
        total = part if total is None else total + part
    assert total is not None
    return total
