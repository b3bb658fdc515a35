"""Explaining a language model through the task's contract alone, with probabilities that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.core.figures import MarkedText, Matrix
from deepen.explain import language
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.language import MOST_SHOWN, LanguageExplainer, token_names
from deepen.nn.attention import MultiHeadAttention
from deepen.prepare.encoded import Batch, Encoded

WORDS = ["<eos>", "<unk>", "a", "b", "\n"]
VALUES = torch.tensor([0.0, 0.25, 1.0, -2.0, 0.5])


class Echo(nn.Module):
    """ln p of a target is -ln 2 - (its own value) - half the value of what is read just before it."""

    def __init__(self, attends=False, window=None):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 2)
        self.embedding.weight = nn.Parameter(torch.stack([VALUES, VALUES * 0], 1))
        self.attention = MultiHeadAttention(2, 1, is_causal=True) if attends else None
        self.window = window

    def forward(self, ids):
        x = self.embedding(ids)
        return x if self.attention is None else x + 0 * self.attention(x, x, x)


def outputs(model, batch):
    x = model(batch["ids"])[:, :, 0]
    logs = -math.log(2) - VALUES[batch["targets"]] - 0.5 * x
    return torch.stack([
        torch.cat([row[first:length], row.new_full((int(first) + len(row) - int(length),), math.nan)])
        for row, first, length in zip(logs, batch["first"], batch["length"], strict=True)
    ])[:, : max(1, int((batch["length"] - batch["first"]).max()))]  # fmt: skip


@dataclass
class Rows:
    """What the explainer asks of a task: ids of each row, and from which place on they are scored."""

    rows: list[tuple[list[int], int]]

    def batch(self, encoded, rows, draws):
        ids, first = self.rows[int(rows[0])]
        read, wanted = torch.tensor([ids[:-1]]), torch.tensor([ids[1:]])
        bounds = {"first": torch.tensor([first]), "length": torch.tensor([len(ids) - 1])}
        return Batch({"ids": read, "targets": wanted, **bounds}, len(ids) - 1, rows)


def made(rows, model=None, hidden=1, **options):
    model = (model or Echo()).eval()
    table = pa.table({"source": [f"t.txt, line {n + 1}" for n in range(len(rows))]})
    seen: list[float] = []
    request = Request(
        Rows(rows), model, torch.device("cpu"), Encoded({}, table), np.arange(len(rows)), True, None,
        ExplainOptions(**options), seen.append,
    )  # fmt: skip
    explainer = LanguageExplainer(outputs=outputs, token=token_names(WORDS), hidden=hidden)
    return explainer, request, seen


SHORT = ([0, 2, 3, 2, 4], 0)


def test_surprise_is_in_bits():
    explainer, request, seen = made([SHORT])
    found = explainer.methods["surprise"].call(request)
    # what is read: <eos> a b a; what is told: a b a and the line break
    nats = [math.log(2) + 1, math.log(2) - 2 + 0.5, math.log(2) + 1 - 1, math.log(2) + 0.5 + 0.5]
    (panel,) = found.panels[0]
    assert isinstance(panel, MarkedText) and panel.parts == ["a", "b", "a", "⏎"] and seen[-1] == 1
    bits = [each / math.log(2) for each in nats]
    assert [each for _, each in found.by_row[0]["bits"]] == pytest.approx(bits, abs=1e-3)
    assert panel.weights == pytest.approx([each / max(bits) for each in bits], abs=1e-5)
    assert found.by_row[0]["most"] == f"a {bits[0]:.1f} bits"


@pytest.mark.parametrize(("method", "kept"), [("occlusion", 0.25), ("gradient-x-input", 0.0)])
def test_each_token_goes_by_the_one_read_just_before(method, kept):
    explainer, request, _ = made([SHORT])
    found = explainer.methods[method].call(request)
    # hidden, a token counts as <unk> with its value of 0.25; the slope says what it adds to nothing
    shares = [-0.5 * (float(VALUES[read]) - kept) for read in SHORT[0][:-1]]
    assert torch.allclose(found.values[0][""], torch.diag(torch.tensor(shares)), atol=1e-5)
    (panel,) = found.panels[0]
    assert isinstance(panel, Matrix) and panel.row_names == ["<eos> → a", "a → b", "b → a", "a → ⏎"]
    assert panel.column_names == ["<eos>", "a", "b", "a"]
    assert found.by_row[0]["most"].startswith("a: b ")


def test_what_is_read_before_is_not_explained():
    explainer, request, _ = made([(SHORT[0], 2)])
    ((sample, told),) = explainer.samples(request)
    assert sample.text == "a ⏎" and sample.caption[1] == "after 2 tokens that are not shown"
    nats = [math.log(2) + 1 - 1, math.log(2) + 0.5 + 0.5]
    assert told["answer"] == pytest.approx(math.exp(sum(nats) / 2), abs=1e-3)
    for method in ("occlusion", "gradient-x-input"):
        assert explainer.methods[method].call(request).values[0][""].shape == (2, 2)


def test_of_a_long_row_the_most_surprising_part_is_explained_as_the_whole_is_read():
    draw = np.random.default_rng(0)
    ids = [0, *draw.choice([3, 4], 211).tolist()]
    ids[120 : 120 + MOST_SHOWN] = [2] * MOST_SHOWN
    explainer, request, _ = made([(ids, 7)])
    found = explainer.methods["surprise"].call(request)
    assert found.panels[0][0].parts == ["a"] * MOST_SHOWN
    whole = outputs(Echo(), request.task.batch(request.encoded, np.array([0]), None))[0]
    start = 119 - 7  # the target at place p is ids[p + 1]
    wanted = -whole[start : start + MOST_SHOWN] / math.log(2)
    assert torch.allclose(found.values[0][""], wanted, atol=1e-5)


def test_a_network_with_a_window_reads_no_more_than_that():
    model = Echo(attends=True, window=11)
    explainer, request, _ = made([([0] + [2, 3] * 20, 5)], model)
    seen = []
    model.register_forward_pre_hook(lambda _module, given: seen.append(given[0].shape[1]))
    found = explainer.methods["attention"].call(request)
    assert seen[-1] <= 11 and found.values[0]["attention"].shape == (1, 11, 11)
    assert torch.allclose(found.values[0]["attention"].sum(2), torch.ones(1, 11), atol=1e-5)


def test_attention_is_shown_from_place_to_place():
    explainer, request, _ = made([SHORT], Echo(attends=True))
    found = explainer.methods["attention"].call(request)
    (panel,) = found.panels[0]
    assert isinstance(panel, Matrix) and panel.row_names == panel.column_names == ["<eos>", "a", "b", "a"]
    assert all(panel.values[i][j] == 0 for i in range(4) for j in range(i + 1, 4))


def test_rows_without_a_prediction_are_passed_over():
    explainer, request, _ = made([([0], 0), SHORT])
    assert list(explainer.methods["surprise"].call(request).panels) == [1]
    (empty, told), _ = explainer.samples(request)
    assert told == {"answer": None} and empty.caption[0] == "nothing is predicted here"


def test_the_worst_rows_are_those_with_the_largest_loss_a_token():
    nats = np.array([[1.0, 1.0, np.nan], [5.0, np.nan, np.nan], [2.0, 2.0, 2.0]], np.float32)
    explainer, _, _ = made([SHORT])
    assert explainer.worst(SimpleNamespace(by_token=lambda: (np.array([3, 5, 7]), nats)), 2) == [5, 7]


def test_what_cannot_be_is_refused():
    explainer, request, _ = made([SHORT], of_class="a")
    with pytest.raises(OptionError, match="--of-class a"):
        explainer.samples(request)
    explainer, request, _ = made([SHORT])
    with pytest.raises(Unfit, match="no attention"):
        explainer.methods["attention"].call(request)

    class Counts(nn.Module):
        def forward(self, ids):
            return torch.stack([VALUES[ids], VALUES[ids]], 2)

    explainer, request, _ = made([SHORT], Counts())
    with pytest.raises(Unfit, match="no embedding layer"):
        explainer.methods["gradient-x-input"].call(request)


def test_ids_outside_of_the_vocabulary_have_their_numbers():
    name = token_names(WORDS)
    assert (name(2), name(5), name(-1)) == ("a", "5", "-1") and language.BLANKS["\n"] == "⏎"
