import math

import numpy as np
import pytest
import torch

from deepen.core.errors import ShapeError
from deepen.nn.ngram_tables import BackoffTables, CountedOutput, NGramNetwork, as_text
from deepen.ops.brown_clusters import log_within
from deepen.ops.ngram_counts import count_ngrams, marked
from deepen.ops.ngram_scoring import next_log10
from deepen.ops.ngram_smoothing import kneser_ney

WORDS, END, CLASSES, ORDER = 11, 1, 4, 4
OF = np.arange(WORDS) * 7 % CLASSES


def text_of(seed, length=307):
    draw = np.random.default_rng(seed)
    return draw.choice(WORDS, size=length, p=draw.dirichlet(np.ones(WORDS)))


def network(kind="words"):
    text = text_of(0)
    output = CountedOutput(WORDS, CLASSES if kind != "words" else 0)
    output.end = torch.tensor(END)
    output.tables.set(kneser_ney(count_ngrams(marked([text], WORDS, end=END), WORDS, ORDER))[0])
    if output.classes is not None:
        counts = np.bincount(text, minlength=WORDS)
        by_class = count_ngrams(np.append(OF, CLASSES)[marked([text], WORDS, end=END)], CLASSES, ORDER)
        output.classes.set(OF, log_within(counts, OF), kneser_ney(by_class)[0])
        output.share = torch.tensor(0.3 if kind == "mixed" else 0.0, dtype=torch.float64)
    return NGramNetwork(output, ORDER - 1)


def reference(model, context, word):
    """ln p by the backoff models alone."""
    output = model.output_layer
    ids = np.array([WORDS if i == END else i for i in context])
    own = 10 ** next_log10(output.tables.scorer().model, ids)[word]
    if output.classes is None:
        return math.log(own)
    classes = np.append(OF, CLASSES)[ids]
    of_class = 10 ** (next_log10(output.classes.tables.scorer().model, classes)[OF[word]])
    share = float(output.share)
    return math.log(share * own + (1 - share) * of_class * 10 ** float(output.classes.within[word]))


@pytest.mark.parametrize("kind", ["words", "classes", "mixed"])
def test_hidden_states_are_what_the_tables_are_asked_with(kind):
    model = network(kind)
    ids = torch.from_numpy(np.stack([text_of(1, 53), text_of(2, 53)]))
    hidden, _ = model(ids[:, :-1])
    assert hidden.shape == (2, 52, ORDER - 1)
    targets = ids[:, 1:].flatten()
    found = model.output_layer.target_log_probabilities(hidden.flatten(0, 1), targets)
    whole = model.output_layer.log_probabilities(hidden.flatten(0, 1))
    assert torch.allclose(whole.exp().sum(1), torch.ones(104, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(found, whole.gather(1, targets[:, None])[:, 0], atol=1e-9)
    expected = [reference(model, ids[r, : t + 1].tolist(), int(ids[r, t + 1])) for r in range(2) for t in range(52)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_reading_in_parts_is_reading_in_one():
    model = network()
    ids = torch.from_numpy(text_of(1, 53))[None]
    whole, end = model(ids)
    first, state = model(ids[:, :1])
    second, state = model(ids[:, 1:19], state)
    third, state = model(ids[:, 19:], state)
    assert torch.equal(torch.cat([first, second, third], 1), whole)
    assert torch.equal(state[0], end[0])


def test_ignored_targets_cost_nothing_and_order_does_not_matter():
    model = network()
    hidden, _ = model(torch.from_numpy(text_of(3, 31))[None])
    hidden, targets = hidden[0], torch.from_numpy(text_of(4, 31))
    found = model.output_layer.target_log_probabilities(hidden, targets)
    shuffled = torch.randperm(31, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        model.output_layer.target_log_probabilities(hidden[shuffled], targets[shuffled]), found[shuffled], atol=1e-12
    )
    targets[5:9] = -100
    some = model.output_layer.target_log_probabilities(hidden, targets)
    assert (some[5:9] == 0).all() and torch.equal(some[9:], found[9:])
    assert model.output_layer.loss_sum(hidden, targets, torch.zeros(31)) == pytest.approx(-float(some.sum()))


def test_places_in_a_row_are_written_once():
    contexts = np.array([[-1, 2], [2, 3], [3, 9], [8, 8]])
    text, places = as_text(contexts, np.array([3, 1, 4, 5]), end=1, beginning=9)
    assert text.tolist() == [-1, -1, 2, 3, 1, 9, 4, -1, 8, 8, 5]
    assert places.tolist() == [3, 4, 6, 10]
    empty, none = as_text(contexts[:0], np.zeros(0, np.int64), end=1, beginning=9)
    assert len(empty) == len(none) == 0


@pytest.mark.parametrize("kind", ["words", "mixed"])
def test_tables_of_any_size_are_loaded(kind):
    model = network(kind)
    other = NGramNetwork(CountedOutput(WORDS, 2 if kind == "mixed" else 0), 1)
    other.load_state_dict(model.state_dict())
    ids = torch.from_numpy(text_of(1, 53))[None]
    hidden, _ = model(ids)
    again, _ = other(ids)
    assert torch.equal(hidden, again)
    targets = torch.from_numpy(text_of(2, 53))
    assert torch.equal(
        model.output_layer.target_log_probabilities(hidden[0], targets),
        other.output_layer.target_log_probabilities(hidden[0], targets),
    )
    other.load_state_dict(network("words").state_dict() if kind == "words" else model.state_dict())


def test_fresh_tables_say_nothing():
    output = CountedOutput(WORDS)
    found = output.log_probabilities(torch.zeros(3, 2, dtype=torch.int64))
    assert torch.allclose(found, torch.full((3, WORDS), -math.log(WORDS), dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("name", ["words_2", "starts_3", "probability_2", "backoff_1"])
def test_tables_that_contradict_one_another_are_refused(name):
    tables = BackoffTables(WORDS)
    tables.set(network().output_layer.tables.scorer().model)
    state = dict(tables.state_dict())
    state[name] = state[name].clone() + 1 if name in ("words_2", "starts_3") else state[name][:-1]
    tables.load_state_dict(state)
    with pytest.raises(ShapeError, match=r"contradict one another: 11 words"):
        tables.scorer()
