"""A word as a vector from how it is spelled: convolutions over its characters, and the largest answer of each.

    c[i] = W [e[i - l], ..., e[i + r]] + b,    y = max over the word's characters i of f(c[i])

e[i] is the embedding of character i and 0 outside of the word; l and r make up the width of the window.
Source: Ma and Hovy, End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF, 2016, section 2.1 (one width of 3);
with several widths and highway layers: Kim et al., Character-Aware Neural Language Models, 2016, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepen.nn.recurrent import row_mask


class CharacterCNN(nn.Module):
    """Spelled words to vectors.

    num_characters  with the padding
    embedding_size  E, width of a character's embedding
    filters         how many there are of each window width in `widths`
    highway         layers behind the convolutions
    dropout         of the numbers of the embeddings, the same ones at all characters of a word
    pad             the id that stands behind a word's end

    characters  [B, T, C] int64
    returns     [B, T, F], F = filters times the number of widths; zeros for a place without a character

    Neither C nor T changes what a word gets.
    """

    def __init__(
        self,
        num_characters: int,
        embedding_size: int = 30,
        filters: int = 30,
        widths: Sequence[int] = (3,),
        highway: int = 0,
        dropout: float = 0.0,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad, self.widths, self.width = pad, tuple(widths), filters * len(widths)
        self.embedding = nn.Embedding(num_characters, embedding_size)
        nn.init.uniform_(self.embedding.weight, -math.sqrt(3 / embedding_size), math.sqrt(3 / embedding_size))
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_size, filters, width) for width in widths)
        for layer in self.convolutions:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.highway = nn.ModuleList(Highway(self.width) for _ in range(highway))
        assert 0 <= dropout < 1
        self.dropout = dropout

    def forward(self, characters: Tensor) -> Tensor:
        inside = characters != self.pad  # [B, T, C]
        x = self.embedding(characters)  # [B, T, C, E]
        if self.training and self.dropout > 0:
            x = x * self._mask(x)
        x = x.masked_fill(~inside[..., None], 0.0).flatten(0, 1).mT  # [B T, E, C]
        found = []
        for width, layer in zip(self.widths, self.convolutions, strict=True):
            wide = F.pad(x, ((width - 1) // 2, width // 2))
            found.append(layer(wide))  # [B T, filters, C]
        y = torch.cat(found, 1).masked_fill(~inside.flatten(0, 1)[:, None, :], -math.inf).amax(2)
        has_any = inside.any(2)[..., None]
        y = torch.tanh(y).view(*characters.shape[:2], -1).masked_fill(~has_any, 0.0)  # tanh rises, so it may wait
        for layer in self.highway:
            y = layer(y)
        return y.masked_fill(~has_any, 0.0)

    def _mask(self, x: Tensor) -> Tensor:
        """[B, T, 1, E]: by place and number, so that it does not depend on how long other words are."""
        batch, places, _, width = x.shape
        return row_mask(batch, places * width, self.dropout, x).view(batch, places, 1, width)


class Highway(nn.Module):
    """y = g * relu(W x + b) + (1 - g) * x,  g = sigmoid(V x + c), which begins near x.

    Source: Srivastava, Greff and Schmidhuber, Training Very Deep Networks, 2015, eq. 3; c begins at -2 as they advise.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (self.transform, self.gate):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.transform.bias)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.relu(self.transform(x)) + (1 - gate) * x
