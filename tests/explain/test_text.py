"""Explaining a network over texts through the task's contract alone, with functions whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.core.figures import Gallery, MarkedText, Matrix, Sample
from deepen.engine.task import Terms
from deepen.explain import text_attention
from deepen.explain.explaining import ExplainOptions, Request, Unfit
from deepen.explain.text import TextExplainer
from deepen.explain.text_gates import Side
from deepen.nn.attention import MultiHeadAttention
from deepen.nn.attention_record import recording
from deepen.prepare.encoded import Batch, Encoded
from deepen.prepare.ragged import Ragged

WORDS = ["<pad>", "<unk>", "good", "bad", "not", "film", "the"]
TEXTS = ["the film not bad", "", "good good film", "the"]
LABELS = ("no", "yes")
VALUES = torch.tensor([0.0, 0.0, 2.0, -3.0, -0.5, 0.25, 0.0])


class Sum(nn.Module):
    """logits (0, sum of the words' values) of each text; with `twist`, its tanh; with attention, attention first."""

    def __init__(self, twist=False, attends=False):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 2)
        self.embedding.weight = nn.Parameter(torch.stack([VALUES, VALUES * 0 + 1], 1))
        self.attention = MultiHeadAttention(2, 2) if attends else None
        self.twist = twist

    def forward(self, ids, mask):
        x = self.embedding(ids) * mask[:, :, None]
        if self.attention is not None:
            x = x + self.attention(x, x, x, mask)
        total = x[:, :, 0].sum(1)
        return torch.stack([total * 0, torch.tanh(total) * 5 if self.twist else total], 1)


class Tagger(nn.Module):
    """Of each word (0, its value plus half the value of the word before)."""

    def __init__(self):
        super().__init__()
        self.embedding = Sum().embedding

    def forward(self, ids, mask):
        x = self.embedding(ids)[:, :, 0] * mask
        score = x + 0.5 * torch.nn.functional.pad(x, (1, 0))[:, :-1]
        return torch.stack([score * 0, score], 2)


@dataclass
class TextTask:
    """What the explainer asks of a task."""

    kind: str
    terms: Terms

    def batch(self, encoded, rows, draws):
        ids, lengths = encoded.ragged["ids"].padded(rows)
        tensors = {**encoded.take(rows), "ids": ids, "mask": torch.arange(ids.shape[1]) < lengths[:, None]}
        if "truth" in encoded.ragged:
            tensors["truth"] = encoded.ragged["truth"].padded(rows)[0]
        return Batch(tensors, len(rows), rows)

    def outputs(self, model, batch):
        found = model(batch["ids"], batch["mask"])
        return found[:, 1] if self.kind == "number" else found


def made(model, kind="class", rows=(0, 2), *, has_targets=True, **options):
    task = TextTask(kind, Terms("label", () if kind == "number" else LABELS))
    ids = Ragged.of([[WORDS.index(word) for word in text.split()] for text in TEXTS])
    truth = {
        "class": torch.tensor([1, 0, 1, 0]),
        "number": torch.tensor([1.5, 0.0, 4.0, -1.0]),
        "label set": torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    }
    ragged = {"ids": ids}
    if kind == "tags":
        ragged["truth"] = Ragged.of([[0, 1, 1, 0], [], [1, 1, 5], [0]])
    tensors = {"truth": truth[kind]} if kind in truth else {}
    table = pa.table({"source": [f"t.txt, line {n}" for n in range(1, 5)], "text": TEXTS})
    encoded = Encoded(tensors, table, ragged=ragged)
    progress: list[float] = []
    request = Request(
        task, model.eval(), torch.device("cpu"), encoded, np.array(rows), has_targets, None,
        ExplainOptions(**options), progress.append,
    )  # fmt: skip
    explainer = TextExplainer(
        sides=(Side("ids", "mask", "text"),),
        tokens=lambda encoded, row, side: encoded.table.column(side.column)[row].as_py().split(),
        kind=kind,
        outputs=task.outputs,
        target="label",
        labels=task.terms.labels,
    )
    return explainer, request, progress


@pytest.mark.parametrize("method", ["gradient-x-input", "integrated-gradients", "occlusion"])
def test_of_a_sum_each_word_has_its_own_value(method):
    explainer, request, progress = made(Sum(), "number")
    found = explainer.methods[method].call(request)
    assert [share for _, share in found.by_row[0]["tokens"]["text"]] == pytest.approx([0, 0.25, -0.5, -3], abs=1e-5)
    assert found.by_row[2]["tokens"]["text"] == [["good", 2.0], ["good", 2.0], ["film", 0.25]]
    (panel,) = found.panels[0]
    assert isinstance(panel, MarkedText) and panel.parts == TEXTS[0].split()
    assert panel.weights == pytest.approx([0, 0.25 / 3, -0.5 / 3, -1], abs=1e-5) and progress[-1] == 1


def test_integrated_gradients_are_complete_and_say_so():
    explainer, request, _ = made(Sum(twist=True), of_class="yes")
    found = explainer.methods["integrated-gradients"].call(request)
    for row, total in ((0, -3.25), (2, 4.25)):
        told = found.by_row[row]
        assert told["of"] == "yes" and told["complete"] and told["change"] == pytest.approx(5 * np.tanh(total), 1e-5)
        shares = [share for _, share in told["tokens"]["text"]]
        assert sum(shares) == pytest.approx(told["sum"], abs=1e-4) and abs(told["gap"]) < 0.05 * 5
    assert "2 of 2 do within 5%" in found.notes[0]
    flat = explainer.methods["gradient-x-input"].call(request)  # where it is flat, the slope says next to nothing
    assert abs(flat.by_row[2]["tokens"]["text"][0][1]) < 0.02 < found.by_row[2]["tokens"]["text"][0][1]


def test_too_few_steps_are_said():
    explainer, request, _ = made(Sum(twist=True), of_class="yes", steps=1)
    found = explainer.methods["integrated-gradients"].call(request)
    assert found.by_row[2]["complete"] and found.by_row[2]["steps"] > 1  # more were taken where they were needed


def test_occlusion_is_the_answer_without_the_word():
    explainer, request, _ = made(Sum(), rows=(2,))
    told = explainer.methods["occlusion"].call(request).by_row[2]
    whole = 1 / (1 + np.exp(-4.25))
    assert told["of"] == "yes" and told["value"] == pytest.approx(whole)
    expected = [whole - 1 / (1 + np.exp(-rest)) for rest in (2.25, 2.25, 4.0)]
    assert [share for _, share in told["tokens"]["text"]] == pytest.approx(expected, abs=1e-5)
    assert told["lowest"] == pytest.approx(1 / (1 + np.exp(-2.25)))


def test_labels_of_a_set_have_their_own_probability():
    explainer, request, _ = made(Sum(), "label set", rows=(2,))
    told = explainer.methods["occlusion"].call(request).by_row[2]
    assert told["of"] == "yes" and told["value"] == pytest.approx(1 / (1 + np.exp(-4.25)))
    (sample, said), *_ = explainer.samples(request)
    assert said["answer"] == ["no", "yes"] and said["truth"] == ["yes"]  # a logit of 0 is a probability of 0.5
    assert sample.caption[0] == "truth: yes" and sample.text == TEXTS[2]


def test_tags_are_explained_one_by_one():
    explainer, request, _ = made(Tagger(), "tags", rows=(0, 1), of_class="yes")
    for method in ("integrated-gradients", "occlusion", "gradient-x-input"):
        found = explainer.methods[method].call(request)
        (panel,) = found.panels[0]
        assert isinstance(panel, Matrix) and panel.row_names[3] == "bad: yes" and panel.column_names[2] == "not"
        values = torch.tensor(panel.values)
        assert not values.tril(-2).any() and not values.triu(1).any()  # only itself and the one before
        if method != "occlusion":
            expected = torch.diag(VALUES[[6, 5, 4, 3]]) + torch.diag(VALUES[[6, 5, 4]] / 2, -1)
            assert torch.allclose(values, expected, atol=1e-3)
        else:
            whole, without = (1 / (1 + np.exp(-score)) for score in (-3.25, -3.0))
            assert panel.values[3][2] == pytest.approx(whole - without, abs=1e-3)
        assert found.by_row[0]["tags"][3]["of"] == "yes" and 1 not in found.panels
    (_, said), _ = explainer.samples(request)
    assert said == {"answer": ["no", "yes", "no", "no"], "truth": ["no", "yes", "yes", "no"]}


def test_the_answered_tags_may_come_from_elsewhere():
    explainer, request, _ = made(Tagger(), "tags", rows=(2,))
    explainer._answers = lambda model, batch: torch.ones_like(batch["ids"])
    assert explainer.methods["occlusion"].call(request).panels[2][0].row_names[2] == "film: yes"
    (_, said), *_ = explainer.samples(request)
    assert said["truth"] == ["yes", "yes", "(never learned)"]


def test_samples_say_answer_and_truth():
    explainer, request, _ = made(Sum(), rows=(0, 1))
    (sample, said), (empty, _) = explainer.samples(request)
    assert said == {"answer": "no", "probability": pytest.approx(0.962673), "truth": "yes"}
    assert sample.caption == ["truth: yes", "answer: no (96% sure)", "t.txt, line 1"] and empty.text == ""
    explainer, request, _ = made(Sum(), "number", rows=(2,), has_targets=False)
    assert explainer.samples(request)[0][1] == {"answer": 4.25}


def test_an_empty_text_is_passed_over():
    explainer, request, progress = made(Sum(attends=True), rows=(1, 0))
    for method in explainer.methods.values():
        assert list(method.call(request).panels) == [0] and progress[-1] == 1


def test_attention_is_shown_by_layer():
    torch.manual_seed(3)
    explainer, request, _ = made(Sum(attends=True), rows=(0,))
    found = explainer.methods["attention"].call(request)
    matrix, heads = found.panels[0]
    assert (
        isinstance(matrix, Matrix) and matrix.title == "attention of attention" and matrix.note == "mean over 2 heads"
    )
    assert matrix.row_names == TEXTS[0].split() and [sum(row) for row in matrix.values] == pytest.approx(
        [1] * 4, abs=0.01
    )
    assert isinstance(heads, Sample) and heads.png.startswith(b"\x89PNG") and "2 heads" in heads.caption[0]
    assert found.values[0]["attention"].shape == (2, 4, 4)
    explainer, request, _ = made(Sum())
    with pytest.raises(Unfit, match="no attention"):
        explainer.methods["attention"].call(request)


def test_a_network_without_embeddings_has_no_gradients_to_show():
    class Lengths(nn.Module):
        def forward(self, ids, mask):
            return torch.stack([mask.sum(1).float(), mask.sum(1).float() - 2], 1)

    explainer, request, _ = made(Lengths())
    for method in ("integrated-gradients", "gradient-x-input"):
        with pytest.raises(Unfit, match=f"--method {method}: no embedding layer"):
            explainer.methods[method].call(request)
    assert explainer.methods["occlusion"].call(request).panels


def test_a_wrong_class_is_refused_before_anything_takes_long():
    explainer, request, _ = made(Sum(), of_class="yess")
    with pytest.raises(OptionError, match="--of-class yess: no such class; did you mean yes"):
        explainer.samples(request)


def test_places_of_attention_are_named_by_how_many_there_are():
    a, b = ["x", "y", "z"], ["u", "v"]
    assert text_attention.names((3, 2), (a, b)) == (a, b)
    assert text_attention.names((2, 2), (b, ["c", "d"])) == (b, ["c", "d"])
    assert text_attention.names((4, 4), (a,))[0] == ["[first]", *a]
    assert text_attention.names((5, 8), (a, b)) == (
        [*a, *b], ["[first]", *a, "[separator]", *b, "[separator]"]
    )  # fmt: skip
    assert text_attention.names((1, 7), (a,)) == (["1"], list("1234567"))


def test_weights_of_one_query_colour_the_text_and_large_ones_are_a_picture():
    pooled = text_attention.figures("pool", torch.tensor([[[0.2, 0.8]], [[0.6, 0.4]]]), [["x", "y"]], "")
    assert isinstance(pooled[0], MarkedText) and pooled[0].weights == pytest.approx([0.4 / 0.6, 1]) and len(pooled) == 1
    large = text_attention.figures("", torch.rand(1, 50, 50), [[str(n) for n in range(50)]], " ")
    assert isinstance(large[0], Sample) and large[0].png and len(large) == 1


class Scored:
    """Metrics of a network whose worst answers are known."""

    def __init__(self, model, worst=()):
        self.model, self._worst = model, list(worst)

    def worst(self, number):
        return self._worst[:number]


def test_a_report_shows_the_attention_in_the_worst_mistake_or_else_in_the_first_sample():
    model = Sum(attends=True)
    explainer, request, _ = made(model)
    task, encoded = request.task, request.encoded
    for worst, row, about in (([2, 0], 2, "the worst mistake, t.txt, line 3"), ([], 0, "a sample, t.txt, line 1")):
        matrix, heads = explainer.attention_of_worst(Scored(model, worst), encoded, task.batch)
        with torch.no_grad(), recording(model) as weights:
            task.outputs(model, task.batch(encoded, np.array([row]), None))
        ((_, own),) = weights
        assert isinstance(matrix, Matrix) and matrix.row_names == matrix.column_names == TEXTS[row].split()
        assert np.allclose(matrix.values, own[0].mean(0), atol=6e-4) and matrix.note.startswith(about)
        assert isinstance(heads, Gallery) and heads.note == about


def test_a_report_shows_no_attention_where_there_is_none():
    explainer, request, _ = made(Sum(attends=True))
    batch, encoded = request.task.batch, request.encoded
    assert explainer.attention_of_worst(Scored(None, [0]), encoded, batch) == []
    assert explainer.attention_of_worst(Scored(Sum(), [0]), encoded, batch) == []
    assert explainer.attention_of_worst(Scored(request.model, [1]), encoded, batch) == []  # a text without words
