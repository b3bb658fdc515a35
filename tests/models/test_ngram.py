import re

import numpy as np
import pytest
import torch

from deepen.core.errors import DataError, OptionError
from deepen.models import ngram
from deepen.models.ngram import Options, build, fit_counts, next_log_probabilities, save_arpa, score_ids
from deepen.nn.next_token import Continuation, surprise
from deepen.nn.shapes import TextShape
from deepen.nn.sized import size_like
from deepen.ops.mixture import mixed

WORDS, END = 11, 1
NAMES = ["<unk>", "<eos>", *"abcdefghi"]


def text_of(seed, length=601):
    draw = np.random.default_rng(7)
    table = draw.dirichlet(np.full(WORDS - 1, 0.5), size=WORDS - 1)
    draw = np.random.default_rng(seed)
    found = [1]
    for _ in range(length):
        found.append(int(draw.choice(WORDS - 1, p=table[found[-1]])))
    return np.array(found[1:])


def fitted(name="ngram", val=True, end=END, **given):
    options = Options(**given)
    model = build(name, TextShape(WORDS, pad=-1), 32, options)
    notes = fit_counts(model, text_of(0), text_of(1, 307) if val else None, options, end=end, vocabulary=NAMES)
    return model, notes


CASES = [
    ("ngram", {}),
    ("ngram", {"smoothing": "kneser-ney", "order": 3}),
    ("ngram", {"smoothing": "add-k"}),
    ("ngram", {"smoothing": "laplace", "order": 3}),
    ("ngram", {"order": 1}),
    ("ngram", {"prune": (0, 1)}),
    ("ngram", {"across_lines": True}),
    ("class-ngram", {"classes": 4}),
    ("class-ngram", {"classes": 3, "with_words": False}),
]


@pytest.mark.parametrize(("name", "given"), CASES)
def test_scores_are_the_probabilities_of_all_words(name, given):
    model, _ = fitted(name, **given)
    text = text_of(2, 199)
    found = score_ids(model, text)
    for i in range(0, len(text), 5):
        logs = next_log_probabilities(model, text[:i].tolist())
        assert np.exp(logs).sum() == pytest.approx(1, abs=1e-5)
        assert logs[text[i]] == pytest.approx(found[i], abs=1e-9)


@pytest.mark.parametrize(("name", "given"), [case for case in CASES if "across_lines" not in case[1]])
def test_a_task_scores_it_as_any_network(name, given):
    model, _ = fitted(name, **given)
    text = text_of(2, 199)
    ids = torch.from_numpy(np.append(END, text))[None]
    count = torch.tensor([len(text)])
    found = surprise(model, ids[:, :-1], ids[:, 1:], torch.zeros_like(count), count, context=3)
    assert (-found[0]).tolist() == pytest.approx(score_ids(model, text).tolist(), abs=1e-4)
    going_on = Continuation(model, ids[:, :50])
    assert going_on.log_p[0].numpy() == pytest.approx(next_log_probabilities(model, text[:49].tolist()), abs=1e-9)
    going_on.step(ids[:, 50])
    assert going_on.log_p[0].numpy() == pytest.approx(next_log_probabilities(model, text[:50].tolist()), abs=1e-9)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_a_run_is_loaded_at_any_size(name, given):
    model, _ = fitted(name, **given)
    with torch.device("meta"):
        empty = build(name, TextShape(WORDS, pad=-1), 32, Options(**given))
    state = model.state_dict()
    size_like(empty, state)
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in state.items()}
    again = build(name, TextShape(WORDS, pad=-1), 32, Options(**given))
    again.load_state_dict(state)
    text = text_of(2, 97)
    assert np.array_equal(score_ids(again, text), score_ids(model, text))


def test_contexts_begin_anew_behind_a_line_or_go_on():
    by_line, _ = fitted()
    across, _ = fitted(across_lines=True)
    text = np.array([3, END, 4])
    assert score_ids(by_line, text)[2] == pytest.approx(score_ids(by_line, np.array([4]))[0])
    assert score_ids(across, text)[2] != pytest.approx(score_ids(across, np.array([4]))[0])


def test_line_breaks_as_they_stand_are_gone_over_by_default():
    names = [*NAMES[:END], "\n", *NAMES[END + 1 :]]
    model = build("ngram", TextShape(WORDS, pad=-1), 32)
    fit_counts(model, text_of(0), None, end=END, vocabulary=names)
    by_hand, _ = fitted(across_lines=True)
    text = text_of(2, 97)
    assert np.array_equal(score_ids(model, text), score_ids(by_hand, text))
    assert int(model.output_layer.end) == -1


def test_more_smoothing_is_better_than_laplace():
    text = text_of(3, 997)
    nats = {}
    for smoothing in ("laplace", "add-k", "kneser-ney", "modified-kneser-ney"):
        model, _ = fitted(smoothing=smoothing, order=3)
        nats[smoothing] = -score_ids(model, text).mean()
    assert nats["laplace"] > nats["add-k"] > max(nats["kneser-ney"], nats["modified-kneser-ney"])


def test_k_and_the_share_are_chosen_on_validation():
    _, notes = fitted(smoothing="add-k")
    assert re.fullmatch(r"k \S+ is the best on validation\.", notes[0])
    _, notes = fitted(smoothing="add-k", val=False)
    assert notes[0] == "k 1, without validation."
    model, notes = fitted("class-ngram", classes=4)
    share = float(model.output_layer.share)
    assert f"words count {share:.3f} and classes {1 - share:.3f}, the best on validation." in notes
    words, classes = fitted()[0], fitted("class-ngram", classes=4, with_words=False)[0]
    text = text_of(1, 307)
    both = np.stack([score_ids(words, text), score_ids(classes, text)])
    assert score_ids(model, text) == pytest.approx(mixed(both, np.array([share, 1 - share])), abs=1e-6)
    assert score_ids(model, text).mean() >= both.mean(1).max() - 1e-9
    equal, _ = fitted("class-ngram", val=False, classes=4)
    assert float(equal.output_layer.share) == 0.5


def test_too_little_text_for_discounts_is_said():
    model = build("ngram", TextShape(WORDS, pad=-1), 32)
    notes = fit_counts(model, np.array([2, 3, 1]), None, end=END, vocabulary=NAMES)
    assert "order 1, 2, 3, 4, 5 occur once, twice and three times" in notes[0] and "0.5, 1 and 1.5" in notes[0]


def test_arpa_files_out_and_in(tmp_path):
    path = tmp_path / "model.arpa.gz"
    model, notes = fitted(order=3, arpa_out=str(path))
    assert notes[-1] == f"{path}: written."
    again, _ = fitted(arpa=str(path))
    text = text_of(2, 97)
    assert np.array_equal(score_ids(again, text), score_ids(model, text))
    assert again.width == 4  # the default order; the file's is 3
    with pytest.raises(DataError, match="no line"):
        (tmp_path / "none.arpa").write_text("nothing")
        fitted(arpa=str(tmp_path / "none.arpa"))


def test_a_run_is_saved_as_arpa_when_it_is_wanted(tmp_path):
    for given in ({}, {"across_lines": True}, {"smoothing": "laplace", "order": 1}):
        model, _ = fitted(**given)
        save_arpa(model, tmp_path / "model.arpa", NAMES)
        again, _ = fitted(arpa=str(tmp_path / "model.arpa"), across_lines=given.get("across_lines"))
        text = text_of(2, 97)
        assert np.array_equal(score_ids(again, text), score_ids(model, text))
    with pytest.raises(OptionError, match="this one has classes"):
        save_arpa(fitted("class-ngram", classes=4)[0], tmp_path / "classes.arpa", NAMES)


def test_names_that_no_file_can_hold_are_refused_before_counting(tmp_path):
    options = Options(arpa_out=str(tmp_path / "model.arpa"))
    model = build("ngram", TextShape(WORDS, pad=-1), 32, options)
    with pytest.raises(DataError, match="'a b', which has white space"):
        fit_counts(model, text_of(0), None, options, end=END, vocabulary=[*NAMES[:-1], "a b"])
    assert model.output_layer.tables.order == 1  # nothing was counted


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("ngram", {"k": 0.5}, "k 0.5: is not read by smoothing modified-kneser-ney"),
        ("ngram", {"smoothing": "laplace", "prune": (1,)}, "prune (1,): is not read by smoothing laplace"),
        ("ngram", {"classes": 7}, "classes 7: is not read by ngram"),
        ("ngram", {"class_window": 7}, "class_window 7: is not read by ngram"),
        ("ngram", {"with_words": False}, "with_words False: is not read by ngram"),
        ("ngram", {"arpa": "x", "order": 3}, "order 3: the ARPA file says it"),
        ("ngram", {"prune": (2, 1)}, "prune (2, 1): expected at most 4 counts"),
        ("ngram", {"order": 2, "prune": (0, 1)}, "prune (0, 1): expected at most 1 counts"),
        ("ngram", {"prune": (-1,)}, "prune (-1,): expected counts of at least 0"),
        ("class-ngram", {"arpa": "x", "with_words": False}, "arpa 'x': is not read by classes alone"),
        ("class-ngram", {"arpa_out": "x"}, "arpa_out 'x': is not read by class-ngram"),
    ],
)
def test_options_that_contradict_one_another_are_refused(name, given, said):
    with pytest.raises(OptionError, match=re.escape(said)):
        build(name, TextShape(WORDS), 32, Options(**given))


def test_a_text_without_words_is_refused():
    model = build("ngram", TextShape(WORDS), 32)
    with pytest.raises(DataError, match="has no words"):
        fit_counts(model, np.zeros(0, np.int64), None, end=END, vocabulary=NAMES)


def test_there_is_nothing_to_learn_by_gradients():
    for name in ngram.SIZES:
        model = build(name, TextShape(23), 32)
        assert sum(each.numel() for each in model.parameters()) == ngram.PAPER[name].parameters == 0
