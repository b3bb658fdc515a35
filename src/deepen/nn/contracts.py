"""What networks of each contract read: the shape they are built for, and one sample of it.

A contract is what a model's file states and a task asks for; any task that takes it can use the network. A new one is
an entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepen.core.errors import OptionError
from deepen.nn.shapes import ImageShape, TableShape, TextShape

WORDS = 25  # of a text where nothing says how long it is
LETTERS = 12  # of a word


@dataclass(frozen=True)
class Contract:
    """What a network is called with.

    shape    what stands in where neither a paper nor the user says one
    sizes    the sizes that a user may state instead, in order, and in words
    shaped   the shape of those sizes
    names    of the inputs, where there are several
    sample   one sample of zeros, each [1, ...]
    """

    shape: Any
    sizes: str
    shaped: Callable[..., Any]
    names: tuple[str, ...]
    sample: Callable[[Any], list[Tensor]]

    def shape_of(self, sizes: tuple[int, ...]) -> Any:
        """The shape of sizes that a user or a paper states. Raises OptionError if there are not as many as wanted."""
        if not sizes:
            return self.shape
        try:
            return self.shaped(*sizes)
        except TypeError:
            raise OptionError(f"--input-shape: expected {self.sizes}, but is {','.join(map(str, sizes))}.") from None


def _image(shape: ImageShape) -> list[Tensor]:
    return [torch.zeros(1, shape.channels, shape.height, shape.width)]


def _vector(shape: TableShape) -> list[Tensor]:
    return [torch.zeros(1, shape.numbers)]


def _row(shape: TableShape) -> list[Tensor]:
    return [torch.zeros(1, shape.numbers), torch.zeros(1, len(shape.categories), dtype=torch.int64)]


def _words(shape: TextShape) -> list[Tensor]:
    return [torch.zeros(1, shape.longest or WORDS, dtype=torch.int64)]


def _text(shape: TextShape) -> list[Tensor]:
    (ids,) = _words(shape)
    return [ids, torch.ones_like(ids, dtype=torch.bool)]


def _tokens(shape: TextShape) -> list[Tensor]:
    ids, mask = _text(shape)
    return [ids, mask, torch.zeros(*ids.shape, LETTERS, dtype=torch.int64)]


_ADULT = TableShape(numbers=6, categories=(9, 16, 7, 15, 6, 5, 2, 42))  # the columns of the Adult table
_TEXT = TextShape(10_000)
_PIXELS = ("channels,height,width", ImageShape)
_COLUMNS = ("the number of columns", lambda numbers: TableShape(numbers))
_IDS = ("vocabulary, or vocabulary,words", TextShape)
CONTRACTS = {
    "image classifier": Contract(ImageShape(3, 224, 224), *_PIXELS, (), _image),
    "image autoencoder": Contract(ImageShape(3, 224, 224), *_PIXELS, (), _image),
    "table classifier": Contract(_ADULT, *_COLUMNS, ("numbers", "categories"), _row),
    "table regressor": Contract(_ADULT, *_COLUMNS, ("numbers", "categories"), _row),
    "vector clusterer": Contract(TableShape(6), *_COLUMNS, (), _vector),
    "text classifier": Contract(_TEXT, *_IDS, ("ids", "mask"), _text),
    "text pair model": Contract(
        _TEXT, *_IDS, ("first", "first mask", "second", "second mask"), lambda shape: [*_text(shape), *_text(shape)]
    ),
    "token tagger": Contract(
        TextShape(10_000, characters=100), "vocabulary,words,characters", TextShape, ("ids", "mask", "letters"), _tokens
    ),
    "language model": Contract(TextShape(10_000, pad=-1), *_IDS, (), _words),
}
