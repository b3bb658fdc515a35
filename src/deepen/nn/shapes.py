"""What goes into a network and what its paper says about its size."""

from __future__ import annotations

from dataclasses import dataclass

from deepen.core.errors import ShapeError


@dataclass(frozen=True)
class ImageShape:
    """One image: `[channels, height, width]`."""

    channels: int
    height: int
    width: int

    @property
    def short_side(self) -> int:
        return min(self.height, self.width)

    @property
    def num_values(self) -> int:
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class TableShape:
    """One row of a table: how many numbers it has, and for each category column how many categories that has.

    The counts include the slot for an unknown category. `rows` is how many there are to train on, 0 if that is not
    known: a network may be finer where there are more.
    """

    numbers: int
    categories: tuple[int, ...] = ()
    rows: int = 0


@dataclass(frozen=True)
class TextShape:
    """A text as ids `[length]`, each below `vocabulary`.

    longest     the most ids that a text has, 0 if that is not known
    characters  how many characters there are, where each id comes with those of its word; 0 where it does not
    pad         the id behind the end of a text; -1 if there is none
    """

    vocabulary: int
    longest: int = 0
    characters: int = 0
    pad: int = 0


@dataclass(frozen=True)
class Paper:
    """The size a paper, or a derivation written beside it, gives for a network at these inputs.

    inputs         `(channels, height, width)` of an image, the numbers of a table row, or the vocabulary of a text
    parameters     trainable ones; running means and variances are not counted
    multiply_adds  of the convolutions and matrix products for one sample, where one is stated
    """

    inputs: tuple[int, ...]
    outputs: int
    parameters: int
    multiply_adds: int | None = None


def require_side(name: str, inputs: ImageShape, minimum: int) -> None:
    """Raises ShapeError if the image is smaller than `minimum` pixels on a side."""
    if inputs.short_side < minimum:
        raise ShapeError(
            f"{name} needs images of at least {minimum}x{minimum} pixels, but these are {inputs.height}x{inputs.width} "
            f"(height x width); resize them to at least {minimum} or choose another model."
        )
