"""An answer about a line, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen.prepare import text
from deepen.prepare.corpus import EOS
from deepen.prepare.encoded import Batch
from deepen.prepare.language import Words
from deepen.prepare.line_answers import line_answers
from deepen.prepare.text import TextOptions


def test_two_lines_of_a_batch():
    state = text.learn(["a b c c"], TextOptions(level="word"), [], specials=(text.UNKNOWN, EOS))
    words = Words({"text": state, "has_ends": True})
    a, b, c = (words.tokenizer.id_of(each) for each in "abc")
    targets = torch.tensor([[a, b, c, words.end], [c, words.end, 0, 0]])
    batch = Batch({"targets": targets, "first": torch.tensor([0, 0]), "length": torch.tensor([4, 2])}, 6, np.arange(2))
    log_p = torch.tensor([[0.5, 0.01, 0.25, 0.125], [0.1, 1.0, math.nan, math.nan]]).log()
    first, second = line_answers(words, log_p, batch, ["x", "y"])
    assert (first.source, first.text, first.tokens) == ("x", "a b c", 4)
    product = 0.5 * 0.01 * 0.25 * 0.125
    assert first.log10_probability == pytest.approx(math.log10(product), abs=1e-6)
    assert first.perplexity == pytest.approx(product**-0.25, rel=1e-6)
    assert first.least_probable == (("b", 0.01), (EOS, 0.125), ("c", 0.25))
    assert (second.text, second.tokens) == ("c", 2)
    assert second.perplexity == pytest.approx(0.1**-0.5, rel=1e-6)
