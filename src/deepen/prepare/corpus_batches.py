"""Batches of a corpus that is one stream of ids: windows for training, stretches and lines for scoring.

ids      [B, L] int64, what is read
targets  [B, L] int64, what comes after each of them
first    [B] int64, of scoring alone: the first place whose target is scored
length   [B] int64, of scoring alone: the places that count
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from deepen.prepare import corpus
from deepen.prepare.corpus import Parts, Stream, Stretches, nth_source
from deepen.prepare.encoded import Batch, Draws, Encoded
from deepen.prepare.ragged import Ragged

STREAM = "stream"
BEGINS, BLOCKS, SOURCES = "begins", "blocks", "sources"  # where each text stands, for those who name a single token


def encoded_rows(stream: Stream, rows: Stretches, parts: Parts, *, keeps_sources: bool = False) -> Encoded:
    """The rows of a stream, each with the source of the first token that is predicted in it.

    keeps_sources  whether `sources_at` will be asked
    """
    sources = parts.sources_of(stream.part_of(rows.start + 1))
    keys = [f"{row:032x}" for row in range(len(rows))]
    ragged = {STREAM: _one(torch.from_numpy(stream.ids))}
    if keeps_sources:
        ragged |= {
            BEGINS: _one(torch.from_numpy(stream.begins)),
            BLOCKS: _one(torch.from_numpy(parts.block)),
            SOURCES: Ragged.of([list(source.encode()) for source in parts.sources], torch.uint8),
        }
    return Encoded(rows.tensors(), pa.table({"source": sources, "key": keys}), ragged=ragged)


def stream_of(encoded: Encoded) -> Tensor:
    """The ids of the whole stream, [total] int32."""
    return encoded.ragged[STREAM].values


def sources_at(encoded: Encoded, places: np.ndarray) -> list[str]:
    """The source of the text in which each place of the stream stands, where it was kept: its line, or its block."""
    begins, blocks = (encoded.ragged[name].values.cpu().numpy() for name in (BEGINS, BLOCKS))
    texts = Stream(stream_of(encoded).cpu().numpy(), begins).part_of(places)
    firsts = np.searchsorted(blocks, blocks[texts])
    sources = [bytes(encoded.ragged[SOURCES].row(block).tolist()).decode() for block in blocks[texts].tolist()]
    return [nth_source(*each) for each in zip(sources, (texts - firsts).tolist(), strict=True)]


def training_batch(encoded: Encoded, rows: np.ndarray, length: int, draws: Draws) -> Batch:
    """Windows of `length` ids, all of an epoch moved by one offset."""
    stream = stream_of(encoded)
    offset = corpus.offset_of(draws.seed, draws.epoch, length)
    begin = torch.from_numpy(rows * length + offset).to(stream.device)
    read = _read(stream, begin, length + 1)
    return Batch({"ids": read[:, :-1], "targets": read[:, 1:]}, len(rows) * length, rows)


def scored_batch(encoded: Encoded, rows: np.ndarray) -> Batch:
    """Rows as they are scored, L the most that one of them reads."""
    parts = encoded.take(rows)
    most = max(1, int((parts["stop"] - parts["begin"]).max())) if len(rows) else 1  # empty lines have no token to read
    read = _read(stream_of(encoded), parts["begin"], most + 1)
    tensors = {
        "ids": read[:, :-1],
        "targets": read[:, 1:],
        "first": parts["start"] - parts["begin"],
        "length": parts["stop"] - parts["begin"],
    }
    return Batch(tensors, int((parts["stop"] - parts["start"]).sum()), rows)


def scored_targets(batch: Batch, most: int) -> Tensor:
    """The targets that are scored [B, most], -1 behind a row's last."""
    targets, first, length = batch["targets"], batch["first"], batch["length"]
    places = first[:, None] + torch.arange(most, device=targets.device)
    found = targets.gather(1, places.clamp(max=targets.shape[1] - 1))
    return found.masked_fill(places >= length[:, None], -1)


def _one(values: Tensor) -> Ragged:
    return Ragged(values, torch.tensor([0, len(values)]))


def _read(stream: Tensor, begin: Tensor, length: int) -> Tensor:
    """[B, length] int64 from each place on; behind the end of the stream its last id."""
    places = begin[:, None] + torch.arange(length, device=stream.device)
    return stream[places.clamp(max=len(stream) - 1)].long()
