"""The numbers and categories of table rows as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.shapes import TableShape

ONE_HOT_LIMIT = 16  # a column with more categories than this is embedded, where embedding is asked for


class TableFeatures(nn.Module):
    """Table rows as vectors: the numbers as they are, then each category column one-hot or embedded.

    `embedding` is the width of an embedded column; columns of up to ONE_HOT_LIMIT categories stay one-hot, and with
    `embedding=0` all of them do. `width` is the length D of a row's vector.

    numbers     [B, F] float
    categories  [B, G] int64, in column g from 0 up to `inputs.categories[g]`
    returns     [B, D]
    """

    def __init__(self, inputs: TableShape, *, embedding: int = 0) -> None:
        super().__init__()
        self.counts = inputs.categories
        self.embedded = tuple(embedding > 0 and count > ONE_HOT_LIMIT for count in inputs.categories)
        widths = [embedding if embedded else count for count, embedded in zip(self.counts, self.embedded, strict=True)]
        self.width = inputs.numbers + sum(widths)
        self.embeddings = nn.ModuleDict(
            {str(g): nn.Embedding(self.counts[g], embedding) for g, embedded in enumerate(self.embedded) if embedded}
        )
        for weight in self.embeddings.parameters():
            nn.init.normal_(weight, std=embedding**-0.5)  # about as long as a one-hot vector

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        columns = [numbers]
        for g, (count, embedded) in enumerate(zip(self.counts, self.embedded, strict=True)):
            ids = categories[:, g]
            columns.append(self.embeddings[str(g)](ids) if embedded else F.one_hot(ids, count).to(numbers.dtype))
        return torch.cat(columns, dim=1)  # [B, D]
