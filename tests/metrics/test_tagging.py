"""Entity figures by hand, and against a plain count over sets of entities as the script conlleval makes it."""

import numpy as np
import pytest
import torch

from deepen.core.figures import Sample
from deepen.metrics.tagging import Tagging, TagSet
from deepen.metrics.tagging_figures import figures_of
from deepen.prepare import tags as schemes

NAMES = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
PLAIN = TagSet(("DET", "NOUN", "VERB"))


def tag_set(names=NAMES):
    parts = [schemes.split_tag(name) for name in names]
    kinds = {"LOC": 0, "PER": 1}
    codes = [*(schemes.CODES[prefix] for prefix, _ in parts), 1, 2]
    types = [*(kinds.get(kind, -1) for _, kind in parts), 2, 2]
    return TagSet(tuple(names), np.array(codes), np.array(types), ("LOC", "PER", "never learned"), schemes.boundaries)


def add(metrics, truth, answers, rows=None, unknown=None, baseline=None, nats=None):
    """Sentences as lists of tags, padded with junk that must not count."""
    names = [*metrics.tags.names, "B-new", "I-new"]
    longest = max(map(len, truth)) + 2

    def padded(sentences, junk):
        return torch.tensor([[names.index(tag) for tag in row] + [junk] * (longest - len(row)) for row in sentences])

    mask = torch.tensor([[place < len(row) for place in range(longest)] for row in truth])
    metrics.add(
        padded(answers, 1),
        padded(truth, 2),
        padded(baseline or answers, 0),
        torch.zeros_like(mask) if unknown is None else unknown,
        mask,
        torch.full((len(truth),), 2.0) if nats is None else torch.tensor(nats),
        np.arange(len(truth)) if rows is None else np.array(rows),
    )
    return metrics


TRUTH = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"], [], ["B-LOC", "B-LOC", "I-LOC"]]
ANSWERS = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC"], [], ["B-LOC", "I-LOC", "I-LOC"]]


def test_entities_by_hand():
    # true: PER 0-2, LOC 3-4; none; none; LOC 0-1, LOC 1-3. answered: PER 0-2 (right), PER 3-4; LOC 1-2; LOC 0-3
    found = add(Tagging(tag_set()), TRUTH, ANSWERS).result()
    assert found["precision"] == pytest.approx(1 / 4) and found["recall"] == pytest.approx(1 / 4)
    assert found["f1"] == pytest.approx(2 * 1 / (4 + 4))
    assert found["macro_f1"] == pytest.approx((2 * 1 / (2 + 1) + 0) / 2)
    assert found["accuracy"] == pytest.approx(6 / 9)  # wrong: LOC as PER, O as LOC, B as I
    assert found["sentence_accuracy"] == pytest.approx(1 / 4)  # the empty one
    assert found["cross_entropy"] == pytest.approx(4 * 2.0 / 9)
    assert found["baseline_f1"] == found["f1"] and "unknown_accuracy" not in found


def overall(truth, answers):
    """Precision, recall and F1 over sets of (sentence, first, last, type)."""
    sets = [{(row, each) for row, tags in enumerate(side) for each in schemes.spans(tags)} for side in (truth, answers)]
    right = len(sets[0] & sets[1])
    return right / max(1, len(sets[1])), right / max(1, len(sets[0])), 2 * right / max(1, len(sets[0]) + len(sets[1]))


@pytest.mark.parametrize("seed", range(5))
def test_random_tags_count_as_sets_of_entities_do(seed):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 13, 29)
    truth = [draw.choice(NAMES, length).tolist() for length in lengths]
    answers = [[draw.choice(NAMES) if draw.random() < 0.3 else tag for tag in row] for row in truth]
    metrics = Tagging(tag_set())
    for part in np.array_split(draw.permutation(29), 4):  # in any order and any batches
        add(metrics, [truth[i] for i in part], [answers[i] for i in part], rows=part)
    found = metrics.result()
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(overall(truth, answers))
    by_type = {
        kind: overall(*([[t if t[2:] == kind else "O" for t in row] for row in side] for side in (truth, answers)))[2]
        for kind in ("LOC", "PER")
    }
    assert {name: each.f1() for name, each in metrics.by_type().items()} == pytest.approx(by_type)
    assert found["macro_f1"] == pytest.approx(np.mean(list(by_type.values())))


def test_seqeval_agrees_in_its_default_mode():
    seqeval = pytest.importorskip("seqeval.metrics")
    draw = np.random.default_rng(0)
    truth = [draw.choice(NAMES, 17).tolist() for _ in range(29)]
    answers = [draw.choice(NAMES, 17).tolist() for _ in range(29)]
    found = add(Tagging(tag_set()), truth, answers).result()
    assert found["f1"] == pytest.approx(seqeval.f1_score(truth, answers))


def test_an_entity_that_begins_with_inside_counts_unlike_in_seqevals_strict_mode():
    found = add(Tagging(tag_set()), [["O", "B-PER"]], [["O", "I-PER"]]).result()
    assert found["f1"] == 1 and found["accuracy"] == 0.5


def test_types_that_were_never_learned_are_missed():
    metrics = add(Tagging(tag_set()), [["B-new", "I-new", "B-PER"]], [["B-PER", "I-PER", "B-PER"]], nats=[float("nan")])
    found = metrics.result()
    assert (found["precision"], found["recall"]) == (0.5, 0.5) and "cross_entropy" not in found
    assert metrics.by_type()["never learned"].true.tolist() == [1]


def test_plain_tags_have_no_entities():
    metrics = add(Tagging(PLAIN), [["DET", "NOUN"], ["VERB"]], [["DET", "VERB"], ["VERB"]])
    found = metrics.result()
    assert "f1" not in found and found["accuracy"] == pytest.approx(2 / 3)
    table, names = metrics.confusion()
    assert names == ["DET", "NOUN", "VERB"] and table.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_a_plain_tag_that_was_never_learned_is_wrong():
    metrics = Tagging(TagSet(("DET", "NOUN")))
    truth, mask = torch.tensor([[0, 2]]), torch.ones(1, 2, dtype=torch.bool)
    zero = torch.zeros(1, 2, dtype=torch.int64)
    metrics.add(zero, truth, zero, ~mask, mask, torch.tensor([1.0]), np.array([0]))
    assert metrics.result()["accuracy"] == 0.5
    assert metrics.confusion()[1] == ["DET", "NOUN", "never learned"]


def test_unknown_words_and_the_baseline_have_figures_of_their_own():
    metrics = Tagging(PLAIN)
    unknown = torch.tensor([[True, True, False, False, False]])
    add(
        metrics,
        [["DET", "NOUN", "VERB"]],
        [["DET", "VERB", "VERB"]],
        unknown=unknown,
        baseline=[["DET", "NOUN", "DET"]],
    )
    found = metrics.result()
    assert found["unknown_accuracy"] == 0.5 and found["baseline_accuracy"] == pytest.approx(2 / 3)
    assert metrics.by_novelty() == [("known", 1, 1.0, 0.0), ("unknown", 2, 0.5, 1.0)]


def test_ranks_merge_to_the_same_figures_and_count_a_row_once():
    one, parts = add(Tagging(tag_set()), TRUTH, ANSWERS), []
    for rows in ([2, 0], [], [3, 1, 0]):
        part = Tagging(tag_set())
        if rows:
            add(part, [TRUTH[i] for i in rows], [ANSWERS[i] for i in rows], rows=rows)
        parts.append(part.state())
    merged = Tagging(tag_set())
    merged.merge(parts)
    assert merged.result() == one.result() and merged.intervals() == one.intervals()
    for name, tensor in one.state().items():
        assert torch.equal(merged.state()[name], tensor)
    again = Tagging(tag_set())
    again.merge([])
    assert again.result() == {} and again.state() == {} and again.intervals() == {}


def test_means_over_sentences_give_the_figures():
    metrics = add(Tagging(tag_set()), TRUTH, ANSWERS)
    by_row, found = metrics.per_row(), metrics.result()
    assert {name: each.figure() for name, each in by_row.items()} == pytest.approx({n: found[n] for n in by_row})


def test_intervals_hold_the_figures():
    draw = np.random.default_rng(0)
    truth = [draw.choice(NAMES, 11).tolist() for _ in range(101)]
    answers = [[draw.choice(NAMES) if draw.random() < 0.2 else tag for tag in row] for row in truth]
    metrics = add(Tagging(tag_set()), truth, answers)
    found = metrics.result()
    for name, (low, high) in metrics.intervals().items():
        assert low < found[name] < high and high - low < 0.25


def test_what_a_report_draws():
    metrics = add(Tagging(tag_set()), TRUTH, ANSWERS, nats=[3.0, 1.0, 0.0, 9.0])
    words = [["Ann", "Lee", "in", "Oslo"], ["so", "it"], [], ["Rome", "New", "York"]]
    figures = figures_of(metrics, lambda row: Sample([f"row {row}"], text=" ".join(words[row])), lambda row: words[row])
    titles = [figure.title for figure in figures]
    assert titles == [
        "Beside the baseline",
        "Entities by type",
        "Tokens by type of entity, true and answered",
        "Known and unknown words",
        "Worst sentences",
    ]
    assert figures[1].rows == [["LOC", 0.0, 0.0, 0.0, 3], ["PER", 0.5, 1.0, pytest.approx(2 / 3), 1]]
    assert [sample.caption for sample in figures[-1].samples] == [
        ["New: B-LOC, answered I-LOC", "row 3"],
        ["Oslo: B-LOC, answered B-PER", "row 0"],
        ["it: O, answered B-LOC", "row 1"],
    ]
    assert figures_of(Tagging(PLAIN), lambda row: Sample([]), lambda row: []) == []
