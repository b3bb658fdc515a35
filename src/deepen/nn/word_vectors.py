"""Tables of word vectors as networks: what a pair of words scores, and the vectors that answers are made of."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WordVectors(nn.Module):
    """words [B], others [B] int64 -> scores [B, 1]: v_word . c_other

    vectors   [V, D], the word vectors
    contexts  [V, D], those of words as neighbours, or of the inner nodes of a Huffman tree
    """

    def __init__(self, num_words: int, width: int) -> None:
        super().__init__()
        # to 1 / D as in fastText; word2vec.c goes to half of it, from which CBOW learned a small text less well
        self.vectors = nn.Parameter(torch.empty(num_words, width).uniform_(-1 / width, 1 / width))
        self.contexts = nn.Parameter(torch.zeros(num_words, width))

    def forward(self, words: Tensor, others: Tensor) -> Tensor:
        return (self.vectors[words] * self.contexts[others]).sum(1, keepdim=True)

    def rows(self) -> Tensor:
        """What word vectors are means of: here the vectors themselves."""
        return self.vectors

    def settle(self) -> None:
        """Nothing follows from the tables."""

    @torch.no_grad()
    def begin(self, vectors: Tensor) -> None:
        """Makes these the word vectors, [V, D]."""
        self.vectors.copy_(vectors)


class SubwordVectors(nn.Module):
    """words [B], others [B] int64 -> scores [B, 1]: the mean of the word's pieces . c_other

    pieces    [R, D]: row w of a word's own, behind them those of its n-grams' buckets
    vectors   [V, D]: the means, which follow from the pieces
    contexts  [V, D]
    """

    piece_rows: Tensor
    piece_starts: Tensor
    vectors: Tensor

    def __init__(self, num_words: int, width: int, num_buckets: int) -> None:
        super().__init__()
        self.pieces = nn.Parameter(torch.empty(num_words + num_buckets, width).uniform_(-1 / width, 1 / width))
        self.contexts = nn.Parameter(torch.zeros(num_words, width))
        self.register_buffer("vectors", self.pieces.detach()[:num_words].clone())
        self.register_buffer("piece_rows", torch.arange(num_words), persistent=False)
        self.register_buffer("piece_starts", torch.arange(num_words + 1), persistent=False)

    def set_pieces(self, rows: np.ndarray, starts: np.ndarray) -> None:
        """Says which rows each word is the mean of: rows[starts[w] : starts[w + 1]]."""
        device = self.contexts.device
        self.piece_rows = torch.from_numpy(rows.astype(np.int64)).to(device)
        self.piece_starts = torch.from_numpy(starts.astype(np.int64)).to(device)

    def forward(self, words: Tensor, others: Tensor) -> Tensor:
        lengths = self.piece_starts[words + 1] - self.piece_starts[words]
        begins = lengths.cumsum(0) - lengths
        places = torch.arange(int(lengths.sum()), device=words.device)
        places = places + torch.repeat_interleave(self.piece_starts[words] - begins, lengths)
        means = F.embedding_bag(self.piece_rows[places], self.pieces, begins, mode="mean")
        return (means * self.contexts[others]).sum(1, keepdim=True)

    def rows(self) -> Tensor:
        """What word vectors are means of."""
        return self.pieces

    @torch.no_grad()
    def settle(self) -> None:
        """Takes the word vectors from the pieces."""
        means = F.embedding_bag(self.piece_rows, self.pieces, self.piece_starts[:-1], mode="mean")
        self.vectors.copy_(means)


class PairVectors(nn.Module):
    """words [B], others [B] int64 -> scores [B, 1]: u_word . c_other + a_word + b_other

    centres, contexts            [V, D], drawn alike
    centre_biases, context_biases  [V]
    vectors                      [V, D]: centres + contexts, which follow from both
    """

    vectors: Tensor

    def __init__(self, num_words: int, width: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(num_words, width).uniform_(-0.5 / width, 0.5 / width))
        self.contexts = nn.Parameter(torch.empty(num_words, width).uniform_(-0.5 / width, 0.5 / width))
        self.centre_biases = nn.Parameter(torch.empty(num_words).uniform_(-0.5 / width, 0.5 / width))
        self.context_biases = nn.Parameter(torch.empty(num_words).uniform_(-0.5 / width, 0.5 / width))
        self.register_buffer("vectors", (self.centres + self.contexts).detach().clone())

    def forward(self, words: Tensor, others: Tensor) -> Tensor:
        product = (self.centres[words] * self.contexts[others]).sum(1)
        return (product + self.centre_biases[words] + self.context_biases[others])[:, None]

    def rows(self) -> Tensor:
        """What word vectors are means of."""
        return self.vectors

    @torch.no_grad()
    def settle(self) -> None:
        """Adds both tables."""
        self.vectors.copy_(self.centres + self.contexts)

    @torch.no_grad()
    def begin(self, vectors: Tensor) -> None:
        """Makes these the word vectors, [V, D], half of them in each table."""
        self.centres.copy_(vectors / 2)
        self.contexts.copy_(vectors / 2)
        self.settle()
