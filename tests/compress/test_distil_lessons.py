"""What language models and taggers learn from a teacher: losses by hand, states handed on, padding that nobody sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.compress import lesson_next_token
from deepen.compress.lesson_next_token import NextTokenLesson
from deepen.compress.lesson_tags import TagLesson, log_probabilities
from deepen.models import convolutional_tagger, recurrent_language_model
from deepen.nn.crf import LinearChainCRF
from deepen.nn.language_network import with_output_layer
from deepen.nn.ngram_tables import CountedOutput, NGramNetwork
from deepen.nn.output_layers import OutputOptions
from deepen.nn.shapes import TextShape
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Batch

WORDS, WIDTH = 13, 5


def language_model(cell: str, kind: str, hidden: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    options = recurrent_language_model.Options(hidden_size=hidden, dropout=0.0)
    network = recurrent_language_model.build(cell, TextShape(WORDS, longest=7, pad=-1), WIDTH, options)
    counts = [200 // (1 + place) for place in range(WORDS)]
    whole = with_output_layer(network, WIDTH, counts, OutputOptions(kind=kind), tied=False)  # type: ignore[arg-type]
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=0.7)
    return whole


def windows(rows: list[int], length: int = 7) -> Batch:
    """Rows of one stream, cut at each `length` ids."""
    stream = torch.randint(WORDS, (1 + 6 * length,), generator=torch.Generator().manual_seed(3))
    ids = torch.stack([stream[row * length : (row + 1) * length] for row in rows])
    targets = torch.stack([stream[row * length + 1 : (row + 1) * length + 1] for row in rows])
    return Batch({"ids": ids, "targets": targets}, ids.numel(), np.array(rows))


def all_logs(network, ids, state=None):
    return network.output_layer.log_probabilities(network(ids, state)[0].flatten(0, 1))


@pytest.mark.parametrize(("taught_by", "learns_with"), [("full", "class"), ("huffman", "adaptive"), ("nce", "sampled")])
def test_the_loss_of_a_language_model_by_hand(taught_by, learns_with):
    teacher, student = language_model("lstm", taught_by, 11, 0), language_model("gru", learns_with, 3, 1)
    batch = windows([0, 3, 4])
    found = NextTokenLesson(teacher, 2.0, None).loss(student, batch, 0.3)
    log_q, log_p = all_logs(teacher, batch["ids"]), all_logs(student, batch["ids"])
    q, p = ((log / 2).exp() / (log / 2).exp().sum(1, keepdim=True) for log in (log_q, log_p))
    own = -log_p[torch.arange(21), batch["targets"].flatten()].sum()
    by_hand = 0.7 * own + 0.3 * 4 * (q * (q / p).log()).sum()
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-5)
    smooth = NextTokenLesson(teacher, 2.0, None, label_smoothing=0.2).loss(student, batch, 0.3) - found
    assert smooth.item() == pytest.approx(0.7 * 0.2 * (-log_p.mean(1).sum() - own).item(), rel=1e-4)
    assert {name for name, each in student.named_parameters() if each.grad is not None} == set()


def test_slices_change_nothing(monkeypatch):
    teacher, student = language_model("lstm", "full", 11, 0), language_model("gru", "adaptive", 3, 1)
    batch, lesson, gradients = windows([0, 2, 3]), NextTokenLesson(teacher, 1.0, None), []
    for at_once in (10_000, 4):
        monkeypatch.setattr(lesson_next_token, "positions_at_once", lambda _, most=at_once: most)
        student.zero_grad()
        loss = lesson.loss(student, batch, 0.6)
        loss.backward()
        gradients.append([loss.detach(), *(each.grad.clone() for each in student.parameters())])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))
    assert all(each.grad is None for each in teacher.parameters())


def test_who_knows_what_the_teacher_knows_learns_nothing():
    teacher, same = language_model("gru", "full", 11, 0), language_model("gru", "full", 11, 0)
    loss = NextTokenLesson(teacher, 3.0, None).loss(same, windows([1, 2]), 1.0)
    loss.backward()
    assert abs(loss.item()) < 1e-4
    assert max(float(each.grad.abs().max()) for each in same.parameters()) < 1e-4


def test_the_states_of_both_are_handed_on():
    """Windows one after the other cost what one long text costs, and states are of the step before alone."""
    teacher, student = language_model("lstm", "full", 11, 0), language_model("gru", "full", 3, 1)
    lesson = NextTokenLesson(teacher, 1.0, student)
    assert lesson.carried is not None
    parts = []
    for row in (0, 1, 2):
        parts.append(lesson.loss(student, windows([row]), 0.5).item())
        lesson.carried.step(Alone())
    whole = NextTokenLesson(teacher, 1.0, None).loss(student, windows([0], length=21), 0.5).item()
    assert sum(parts) == pytest.approx(whole, rel=1e-5)
    fresh = NextTokenLesson(teacher, 1.0, None).loss(student, windows([5]), 0.5).item()
    assert lesson.loss(student, windows([5]), 0.5).item() == pytest.approx(fresh, rel=1e-5)


def test_a_model_of_counts_teaches():
    teacher, student = NGramNetwork(CountedOutput(WORDS), 2), language_model("gru", "full", 3, 1)
    lesson, batch = NextTokenLesson(teacher, 1.0, student), windows([0, 2])
    log_p = all_logs(student, batch["ids"])
    right = (-np.log(WORDS) - log_p).mean(1).sum()  # it has counted nothing: every word has the same probability
    assert lesson.loss(student, batch, 1.0).item() == pytest.approx(right.item(), rel=1e-5)
    lesson.carried.step(Alone())
    follows = lesson.carried.before(np.array([1, 5]), torch.device("cpu"))["teacher.0"]
    (state,) = teacher(batch["ids"][:1], None)[1]
    assert torch.equal(follows[0] + teacher.initial_state(1, torch.device("cpu"))[0][0], state[0].float())
    assert not follows[1].any()


TAGS = 4


def tagger(seed: int, *, crf: bool) -> nn.Module:
    torch.manual_seed(seed)
    options = convolutional_tagger.Options(width=6, hidden=7, filters=0, crf=crf, dropout=0.0)
    network = convolutional_tagger.build("textcnn-tagger", TextShape(WORDS, longest=9), TAGS, options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.eval()


def sentences(lengths: list[int], longest: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randint(1, WORDS, (length,), generator=generator) for length in lengths]
    ids = torch.stack([F.pad(row, (0, max(*lengths, longest) - len(row))) for row in rows])
    mask = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    tensors = {"ids": ids, "mask": mask, "characters": torch.zeros(*ids.shape, 1, dtype=torch.int64)}
    return Batch({**tensors, "truth": ids % TAGS}, int(mask.sum()), np.arange(len(rows)))


def emissions_of(network, batch):
    return network(batch["ids"], batch["mask"], batch["characters"])


def nats_of(network, emissions, batch):
    if network.crf is not None:
        return network.crf.loss(emissions, batch["truth"], batch["mask"])
    return F.cross_entropy(emissions.mT, batch["truth"], reduction="none").masked_fill(~batch["mask"], 0).sum(1)


def lesson_of(teacher, temperature=1.0) -> TagLesson:
    return TagLesson(teacher, temperature, emissions_of, nats_of)


@pytest.mark.parametrize("has_field", [False, True])
def test_the_loss_of_a_tagger_by_hand(has_field):
    """From the marginals of a field, and into the softmax of emissions, or the marginals of a field of its own."""
    teacher, student, batch = tagger(0, crf=True), tagger(1, crf=has_field), sentences([5, 2, 7])
    mask, emissions = batch["mask"], emissions_of(student, batch)
    q = teacher.crf.marginals(emissions_of(teacher, batch), mask)[mask]
    p = student.crf.marginals(emissions, mask) if has_field else torch.softmax(emissions, 2)
    divergence = (q * (q / p[mask]).log()).sum()
    by_hand = 0.4 * divergence + 0.6 * nats_of(student, emissions, batch).sum()
    assert lesson_of(teacher).loss(student, batch, 0.4).item() == pytest.approx(by_hand.item(), rel=1e-5)
    without = Batch({name: each for name, each in batch.tensors.items() if name != "truth"}, batch.count, batch.rows)
    found = lesson_of(teacher).loss(student, without, 1.0)
    found.backward()
    assert found.item() == pytest.approx(divergence.item(), rel=1e-5)
    assert not has_field or float(student.crf.transitions.grad.abs().max()) > 0


def test_sentences_do_not_see_their_neighbours():
    teacher, student = tagger(0, crf=True), tagger(1, crf=True)
    batch = sentences([5, 2, 7], longest=9)
    whole = lesson_of(teacher, 2.0).loss(student, batch, 0.5).item()
    alone = 0.0
    for row, length in enumerate((5, 2, 7)):
        own = {name: each[row : row + 1, :length] for name, each in batch.tensors.items()}
        alone += lesson_of(teacher, 2.0).loss(student, Batch(own, length, batch.rows[row : row + 1]), 0.5).item()
    assert whole == pytest.approx(alone, rel=1e-5)


def test_weights_of_sentences_count_for_their_own_tags():
    teacher, student, batch = tagger(0, crf=False), tagger(1, crf=False), sentences([3, 6])
    weight = torch.tensor([2.0, 0.5])
    weighed = Batch({**batch.tensors, "weight": weight}, batch.count, batch.rows)
    own = nats_of(student, emissions_of(student, batch), batch)
    taught = lesson_of(teacher).loss(student, batch, 1.0)
    right = 0.25 * taught + 0.75 * (own @ weight)
    assert lesson_of(teacher).loss(student, weighed, 0.25).item() == pytest.approx(right.item(), rel=1e-5)


def test_what_a_field_forbids_costs_no_infinity():
    teacher, student, batch = tagger(0, crf=False), tagger(1, crf=True), sentences([4, 1])
    allowed = torch.ones(TAGS + 2, TAGS + 2, dtype=torch.bool)
    allowed[TAGS, 1] = False  # no sentence begins with tag 1
    student.crf = LinearChainCRF(TAGS, allowed)
    loss = lesson_of(teacher).loss(student, batch, 1.0)
    loss.backward()
    assert torch.isfinite(loss) and loss.item() < 5 * 70
    assert all(bool(each.grad.isfinite().all()) for each in student.parameters() if each.grad is not None)
    found = log_probabilities(student, emissions_of(student, batch), batch["mask"])
    assert found[0, 0, 1].item() == pytest.approx(np.log(1e-30))
