"""The pictures that are explained: as they are, as the network sees them, and such as show nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepen.explain.explaining import ExplainOptions, Unfit
from deepen.ops import attribution, heat
from deepen.prepare import image
from deepen.prepare.encoded import Encoded

VALUES_AT_ONCE = 1 << 22  # numbers in the pictures that go through the network together
WORDS = {"black": "black", "white": "white", "blur": "the picture itself, blurred"}


class Pictures:
    """What a task's pictures are, beside what its normalization makes of them.

    state  what preparing learned of the pictures (prepare/image)
    mean   [C, H, W], the mean of the training pictures, of pixels in 0 to 1, where it stands in the place of their
           mean colour, which a state whose normalization leaves pixels as they are does not hold

    Pictures as they are: [B, C, H, W] float32 in 0 to 255. Nothing here inverts a normalization, which may not be
    possible.
    """

    def __init__(self, state: Mapping[str, Any], mean: Tensor | None = None) -> None:
        self._state = state
        self._mean_words = f"the mean {'colour ' if mean is None else ''}of the training pictures"
        self.normalize = str(state.get("normalize", "mean"))
        known = state.get("mean_colour", state["mean"] if self.normalize == "mean" else None)
        colour = None if known is None else torch.tensor(known, dtype=torch.float32).view(-1, 1, 1)
        self._mean = colour if mean is None else mean

    def originals(self, encoded: Encoded, rows: np.ndarray) -> Tensor:
        """The pictures of these rows as they were decoded, on the encoded table's device."""
        return image.pixels_at(encoded, rows, self._state).permute(0, 3, 1, 2).to(torch.float32)

    def seen(self, pictures: Tensor) -> Tensor:
        """Pictures as the network takes them, by the task's own normalization."""
        return image.normalized(pictures.permute(0, 2, 3, 1), self._state)

    def empty(self, kind: str, like: Tensor) -> Tensor:
        """The picture of this kind that shows nothing, in the shape of `like`, before normalization.

        kind  black, white, mean or blur
        """
        if kind == "blur":
            return attribution.blurred(like, max(like.shape[2:]) / 8)
        if kind != "mean":
            return torch.full_like(like, 255.0 if kind == "white" else 0.0)
        if self._mean is None:
            raise Unfit(
                f"--baseline mean: a run of --normalize {self.normalize} from an earlier version does not know the "
                "mean colour; choose black, white or blur."
            )
        return (self._mean * 255).to(like.device).expand_as(like).contiguous()

    def usual(self, kind: str, usual: str) -> str:
        """The kind that is asked for; where that is "auto" the usual one, or black for a mean that is not known."""
        if kind != "auto":
            return kind
        return "black" if usual == "mean" and self._mean is None else usual

    def words(self, kind: str) -> str:
        """What the picture that shows nothing is."""
        return self._mean_words if kind == "mean" else WORDS[kind]

    def remark(self) -> str:
        """A sentence on what a gradient is by, where the network sees something else than a picture; else nothing."""
        if self.normalize == "mean":
            return ""
        return (
            f" The values are by what the network sees, pictures after --normalize {self.normalize}, to which "
            "a black and a white picture are the same."
        )


def shown(picture: Tensor) -> Tensor:
    """A picture [C, H, W] as pixels [H, W, C] uint8, to be drawn."""
    return picture.detach().cpu().round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def heat_png(picture: Tensor, values: Tensor, *, signed: bool, quantile: float = 0.995, least: float = 0.0) -> bytes:
    """A PNG file of values [H, W] over a picture [C, H, W].

    least  values that stay below this are drawn as nothing
    """
    drawn = heat.scaled(values, quantile) if float(values.abs().max()) > least else torch.zeros_like(values)
    return image.encode_png(heat.over_picture(shown(picture), drawn, is_signed=signed))


def peak_of(values: Tensor) -> list[int]:
    """[y, x] of the largest value of [H, W]."""
    return list(divmod(int(values.argmax()), values.shape[1]))


def patch_of(options: ExplainOptions, like: Tensor) -> tuple[int, int]:
    """The side of an occluding patch, and how far it moves at a time, for pictures [B, C, H, W].

    Raises Unfit for a patch larger than a picture, and for one that passes over pixels.
    """
    side = min(like.shape[2:])
    if options.patch and options.patch > side:
        raise Unfit(f"--patch {options.patch}: the pictures are {side} pixels high or wide; choose at most {side}.")
    patch = options.patch or max(2, round(side / 7))
    stride = options.stride or (max(1, patch // 2) if side <= 64 else patch)
    if stride > patch:
        raise Unfit(f"--stride {stride}: pixels between patches of {patch} would never be covered; at most {patch}.")
    return patch, stride


def batch_size(picture: Tensor) -> int:
    """How many such pictures [B, C, H, W] go through the network at once."""
    return max(1, min(64, VALUES_AT_ONCE // picture[0].numel()))
