"""Rows of unequal length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from deepen.prepare.encoded import Encoded
from deepen.prepare.ragged import Ragged

ROWS = [[3, 5, 7], [], [11], [2, 2, 2, 2, 13], [], [17, 19]]


def test_rows_come_out_as_they_went_in() -> None:
    ragged = Ragged.of(ROWS)
    assert [ragged.row(i).tolist() for i in range(len(ragged))] == ROWS
    assert ragged.lengths.tolist() == [len(row) for row in ROWS] and len(ragged) == 6
    assert ragged.num_bytes() == 4 * 11 + 8 * 7


def test_padding_equals_a_loop_over_random_rows() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        rows = [draw.integers(0, 97, draw.integers(0, 7)).tolist() for _ in range(draw.integers(1, 11))]
        chosen = draw.integers(0, len(rows), draw.integers(1, 13))
        padded, lengths = Ragged.of(rows).padded(chosen, value=-1)
        longest = max(1, *(len(rows[i]) for i in chosen))
        assert padded.dtype == torch.int64
        assert padded.tolist() == [rows[i] + [-1] * (longest - len(rows[i])) for i in chosen]
        assert lengths.tolist() == [len(rows[i]) for i in chosen]
        taken = Ragged.of(rows).take(chosen)
        assert [taken.row(i).tolist() for i in range(len(taken))] == [rows[i] for i in chosen]


def test_rows_of_vectors() -> None:
    ragged = Ragged(torch.arange(10.0).reshape(5, 2), torch.tensor([0, 2, 5]))
    padded, _ = ragged.padded(np.array([1, 0]))
    assert padded.shape == (2, 3, 2) and padded.dtype == torch.float32
    assert padded[1].tolist() == [[0.0, 1.0], [2.0, 3.0], [0.0, 0.0]]


def test_nothing_at_all() -> None:
    assert Ragged.of([]).lengths.tolist() == []
    padded, lengths = Ragged.of([[], []]).padded(np.array([1]))
    assert padded.tolist() == [[0]] and lengths.tolist() == [0]


def test_it_travels_with_the_encoded_table() -> None:
    table = pa.table({"source": [str(i) for i in range(6)]})
    encoded = Encoded({}, table, ragged={"ids": Ragged.of(ROWS)})
    assert encoded.num_bytes() == 4 * 11 + 8 * 7
    assert encoded.to(torch.device("meta")).ragged["ids"].values.device.type == "meta"
