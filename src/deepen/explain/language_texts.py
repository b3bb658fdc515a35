"""What a language model makes up, and what an evaluation of one shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from deepen.core.figures import Figure, Gallery, Rows, Sample
from deepen.metrics.perplexity import Perplexity
from deepen.metrics.surprise import Surprise, figures_of
from deepen.nn import next_token
from deepen.nn.next_token import Continuation
from deepen.ops.decoding_options import DecodingOptions, require_one_way
from deepen.prepare import corpus, corpus_batches
from deepen.prepare.encoded import Encoded
from deepen.prepare.language import Words

SAMPLES = ((0.7, 1), (1.0, 2), (1.0, 3))  # temperature and seed of the texts in the report
SAMPLE_LENGTH = 60


def continued(words: Words, model: nn.Module, prompt: str, options: DecodingOptions) -> Iterator[str]:
    """What goes on from a prompt, piece by piece as it comes; the prompt is not repeated.

    A line break is written where the model ends a line. The unknown token is never chosen. Raises OptionError for two
    ways of choosing at once.
    """
    require_one_way(options)
    before, last = words.read(prompt)
    device = next(iter(model.state_dict().values())).device
    with torch.inference_mode():
        begun = Continuation(model.eval(), torch.tensor([[words.start, *before]], device=device))
        ids = next_token.choices(begun, options, never=words.tokenizer.unknown)
        yield from corpus.pieces(words.tokenizer, last, ids, end=words.end if words.has_ends else None)


def figures(words: Words, counts: Sequence[int], metrics: Perplexity, encoded: Encoded) -> list[Figure]:
    """What was counted, where the model is surprised, and texts that it makes up.

    counts  [V], how often each token is predicted in training
    """
    stream = corpus_batches.stream_of(encoded).cpu().numpy().astype(np.int64)
    start = encoded.tensors["start"].cpu().numpy()
    found = Surprise.of(*metrics.by_token(), start, stream)

    def source_of(place: int) -> str:
        return corpus_batches.sources_at(encoded, np.array([place]))[0]

    surprising = figures_of(found, counts, words.tokenizer.text, source_of, end=words.end)
    counted = Rows("What the perplexity was counted over", ["what", "how many"], words.signature(stream).rows())
    return [counted, *surprising, *_made_up(words, metrics.model)]


def _made_up(words: Words, model: Any) -> list[Figure]:
    if model is None:
        return []
    samples = []
    for temperature, seed in SAMPLES:
        options = DecodingOptions(length=SAMPLE_LENGTH, temperature=temperature, seed=seed)
        samples.append(Sample([f"temperature {temperature:g}"], text="".join(continued(words, model, "", options))))
    note = f"{SAMPLE_LENGTH} tokens each, drawn from the model's probabilities."
    return [Gallery("Texts that the model makes up", samples, note=note)]
