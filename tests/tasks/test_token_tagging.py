"""Token tagging: from sentences with tags to tagged sentences."""

import dataclasses
import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from deepen.core.errors import OptionError
from deepen.core.figures import Gallery, Matrix
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.data.read import ReadOptions
from deepen.data.readers import conll
from deepen.models import recurrent_tagger, transformer_tagger
from deepen.prepare.encoded import Draws
from deepen.prepare.tag_answers import Entity, tagged_text
from deepen.prepare.text import TextOptions
from deepen.tasks.token_tagging import FORMATS, TINY, Options, Task, learn, schema, spelled, unspelled
from deepen.verbs.explain import explain
from deepen.verbs.predict import predict
from deepen.verbs.train import train

SMALL = recurrent_tagger.Options(width=7, hidden=5, filters=3, dropout=0.0)
ROWS = [
    ("Ann Lee met Bo .", "B-PER I-PER O B-PER O"),
    ("in Oslo", "O B-LOC"),
    ("", ""),
    ("Bo in in New York", "B-PER O O B-LOC I-LOC"),
]


def table(rows=ROWS):
    texts = pa.list_(pa.string())
    made = pa.table({
        "tokens": pa.array([tokens.split() for tokens, _ in rows], texts),
        "tags": pa.array([tags.split() for _, tags in rows], texts),
    })  # fmt: skip
    return with_origin(made, [f"t.conll, line {row}" for row in range(len(rows))])


def learned(rows=ROWS, network=SMALL, **options):
    made, faults = table(rows), []
    chosen = Options(**{"word_dropout": 0.0, **options})
    return Task(chosen, learn(chosen, made, Dataset("t", "", {"all": made}), faults), network), faults


def built(task, seed=0):
    torch.manual_seed(seed)
    network = task.build().eval()
    if network.crf is not None:
        with torch.no_grad():
            for parameter in network.crf.parameters():
                parameter.normal_()
    return network


def batch_of(task, rows=ROWS, split="test", draws=None):
    encoded = task.encode(table(rows), split, [])
    return task.batch(encoded, np.arange(len(encoded)), draws)


def test_sentences_become_ids_characters_and_tags():
    task, _ = learned()
    assert schema(Options()).readers == ("conll", "text_lines") and task.objective == ("f1", "max")
    batch = batch_of(task, draws=Draws(0, 0))
    assert batch.count == 12 and batch["mask"].sum(1).tolist() == [5, 2, 0, 5]
    assert batch["characters"].shape == (4, 5, 20) and "spelling" not in batch.tensors
    words = [task.tokenizer.vocabulary[i] for i in batch["ids"][0]]
    assert words == ["ann", "lee", "met", "bo", "."]  # lower case, while characters are as written
    letters = task.state["characters"]
    assert letters[batch["characters"][0, 0, 0] - 2] == "A"
    names = [task.tags[k] for k in batch["truth"][3]]
    assert names == ["S-PER", "O", "O", "B-LOC", "E-LOC"]


def test_words_are_made_unknown_the_rarer_the_more_often_and_by_row_alone():
    rows = [("a a a a b", "X Y X Y X")] * 2 + [("a c a a a", "X Y X Y X")]
    task, _ = learned(rows, word_dropout=0.5)
    encoded = task.encode(table(rows), "train", [])
    gone = torch.zeros(3, 5)
    for epoch in range(300):
        both = task.batch(encoded, np.array([2, 0, 1]), Draws(0, epoch))
        alone = task.batch(encoded, np.array([1]), Draws(0, epoch))
        assert torch.equal(both["ids"][2], alone["ids"][0])
        gone += both["ids"] == task.tokenizer.unknown
    share = gone / 300
    assert share[0, 1].item() == pytest.approx(0.5 / (0.5 + 1), abs=0.1)  # c, seen once
    assert share[1, 4].item() == pytest.approx(0.5 / (0.5 + 2), abs=0.1)  # b
    assert share[1, 0].item() == pytest.approx(0.5 / (0.5 + 12), abs=0.06)  # a
    assert not (task.batch(encoded, np.array([0]), None)["ids"] == task.tokenizer.unknown).any()


def test_the_loss_with_a_chain_is_that_of_whole_sentences():
    task, _ = learned()
    network, batch = built(task), batch_of(task)
    assert network.crf.allowed is not None
    emissions = network(batch["ids"], batch["mask"], batch["characters"])
    wanted = network.crf.loss(emissions, batch["truth"], batch["mask"])
    assert task.loss(network, batch).sum.item() == pytest.approx(wanted.sum().item(), rel=1e-6)
    weights = torch.tensor([1.0, 3.0, 5.0, 0.0])
    weighed = type(batch)({**batch.tensors, "weight": weights}, batch.count, batch.rows)
    assert task.loss(network, weighed).sum.item() == pytest.approx((wanted @ weights).item(), rel=1e-6)


def test_the_loss_without_a_chain_is_the_cross_entropy_of_tokens():
    task, _ = learned(model="bilstm-tagger")
    network, batch = built(task), batch_of(task)
    emissions, mask = network(batch["ids"], batch["mask"], batch["characters"]), batch["mask"]
    wanted = nn.functional.cross_entropy(emissions[mask], batch["truth"][mask], reduction="sum")
    assert task.loss(network, batch).sum.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_smoothed_tags_are_spread_over_all_tags_of_each_token_in_training_alone():
    """A loop over sentences, tokens and tags; figures are those of a task without smoothing."""
    (plain, _), (task, _) = (learned(model="bilstm-tagger", label_smoothing=each) for each in (0.0, 0.3))
    network, batch, weights = built(task), batch_of(task), (1.0, 3.0, 5.0, 2.0)
    logs = torch.log_softmax(network(batch["ids"], batch["mask"], batch["characters"]), 2).tolist()
    wanted, number = 0.0, len(task.tags)
    for row, truth, mask, weight in zip(logs, batch["truth"].tolist(), batch["mask"].tolist(), weights, strict=True):
        for scores, tag in itertools.compress(zip(row, truth, strict=True), mask):
            wanted -= weight * sum((0.3 / number + 0.7 * (k == tag)) * score for k, score in enumerate(scores))
    weighed = type(batch)({**batch.tensors, "weight": torch.tensor(weights)}, batch.count, batch.rows)
    assert task.loss(network, weighed).sum.item() == pytest.approx(wanted, rel=1e-6)
    figures = []
    for each in (plain, task):
        metrics = each.metrics()
        with torch.no_grad():
            each.score(network, batch, metrics)
        figures.append(metrics.result())
    assert figures[0] == figures[1]


def test_a_chain_has_no_tags_to_smooth():
    task, _ = learned(label_smoothing=0.3)
    with pytest.raises(OptionError, match=r"label-smoothing 0\.3: bilstm-crf scores the tags of a sentence as a chain"):
        task.build()
    network = dataclasses.replace(SMALL, crf=False)
    assert learned(network=network, label_smoothing=0.3)[0].build().crf is None


@pytest.mark.parametrize("model", ["bilstm-crf", "bilstm-tagger"])
def test_answers_are_the_best_that_the_scheme_allows(model):
    task, _ = learned(model=model)
    network, batch = built(task, seed=3), batch_of(task)
    with torch.no_grad():
        outputs = task.outputs(network, batch)
        answers = task.answer(network, batch, ["a", "b", "c", "d"])
    assert outputs.shape == (4, len(task.tags), 5)
    inside = outputs.mT[batch["mask"]].exp().sum(1)
    assert torch.allclose(inside, torch.ones(12), atol=1e-4)
    for answer, (tokens, _) in zip(answers, ROWS, strict=True):
        assert answer.tokens == tuple(tokens.split()) and len(answer.tags) == len(answer.tokens)
        assert set(answer.tags) <= {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}  # written as the data are
        for entity in answer.entities:
            assert entity.probability == min(answer.probabilities[entity.start : entity.end])
    rows = [task.tags[k] for k in task._decoded(outputs, batch["mask"])[0]]
    assert all(task._allowed[task.tags.index(a), task.tags.index(b)] for a, b in itertools.pairwise(rows))


def test_figures_are_those_of_the_answers():
    task, _ = learned()
    network, batch, metrics = built(task), batch_of(task), task.metrics()
    with torch.no_grad():
        task.score(network, batch, metrics)
        answers = task.answer(network, batch, list("abcd"))
        outputs = task.outputs(network, batch)
    sets = [{(n, e.start, e.end, e.type) for n, answer in enumerate(answers) for e in answer.entities}]
    sets.append({(0, 0, 2, "PER"), (0, 3, 4, "PER"), (1, 1, 2, "LOC"), (3, 0, 1, "PER"), (3, 3, 5, "LOC")})
    found = metrics.result()
    assert found["f1"] == pytest.approx(2 * len(sets[0] & sets[1]) / (len(sets[0]) + 5))
    nats = -outputs.gather(1, batch["truth"][:, None])[:, 0][batch["mask"]].mean()
    assert found["cross_entropy"] == pytest.approx(nats.item(), rel=1e-5)
    is_right = (task._decoded(outputs, batch["mask"]) == batch["truth"])[batch["mask"]]
    assert found["accuracy"] == pytest.approx(is_right.double().mean().item())
    assert task.figures(metrics, task.encode(table(), "test", []))[0].title == "Beside the baseline"


def test_the_baseline_is_each_words_commonest_tag():
    task, _ = learned()
    network, metrics = built(task), task.metrics()
    rows = [("Bo met Zoe", "B-PER O B-PER"), ("in Oslo", "O B-LOC")]
    batch = batch_of(task, rows)
    with torch.no_grad():
        task.score(network, batch, metrics)
    # of the words seen once, Ann, Lee, met, "." and Oslo, New, York: O is commonest by two, so Zoe is O
    assert metrics.result()["baseline_accuracy"] == pytest.approx(4 / 5)
    assert metrics.result()["baseline_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert batch["ids"][0, 2] == task.tokenizer.unknown


def test_tags_that_were_never_learned_are_wrong_and_leave_the_rest_alone():
    task, _ = learned()
    network, metrics, faults = built(task), task.metrics(), []
    rows = [("in Oslo", "O B-LOC"), ("the Beatles", "O B-BAND")]
    encoded = task.encode(table(rows), "test", faults)
    assert [fault.kind for fault in faults if fault.level == "warning"] == ["tag-unseen"]
    with torch.no_grad():
        task.score(network, task.batch(encoded, np.arange(2), None), metrics)
    found = metrics.result()
    assert math.isfinite(found["cross_entropy"]) and found["recall"] <= 0.5 and found["sentence_accuracy"] <= 0.5
    assert task.figures(metrics, encoded)


def test_runs_with_other_orders_of_tags_answer_together():
    task, _ = learned()
    network, batch = built(task), batch_of(task)
    with torch.no_grad():
        one, two = task.outputs(network, batch), task.outputs(built(task, seed=1), batch)
    mean = task.combine([one, two], [0.25, 0.75])
    assert torch.allclose(mean.exp(), 0.25 * one.exp() + 0.75 * two.exp(), atol=1e-6)
    assert task.combine([one], [1.0]) is one and task.terms.labels == tuple(task.tags)


def test_plain_tags_are_learned_as_they_are():
    task, faults = learned([("a dog barks", "DET NOUN VERB"), ("dogs bark", "NOUN VERB")])
    assert task.tags == ["DET", "NOUN", "VERB"] and task.objective == ("accuracy", "max")
    assert any("mean no entities" in fault.message for fault in faults)
    network, batch = built(task), batch_of(task, [("a dog barks", "DET NOUN VERB")])
    with torch.no_grad():
        (answer,) = task.answer(network, batch, ["x"])
    assert answer.entities == () and answer.text == " ".join(
        f"{t}/{k}" for t, k in zip(answer.tokens, answer.tags, strict=True)
    )


def test_plain_text_is_answered_and_tokens_without_tags_are_kept_as_they_are():
    task, _ = learned()
    network = built(task)
    lines = pa.table({"text": ["Ann's in Oslo.", ""], "source": ["a", "b"], "key": ["1", "2"]})
    encoded = task.encode(lines, "predict", [])
    with torch.no_grad():
        answers = task.answer(network, task.batch(encoded, np.arange(2), None), ["a", "b"])
    assert answers[0].tokens == ("Ann's", "in", "Oslo", ".") and answers[1].tokens == ()
    given = pa.table({"tokens": [["Ann's in", "Oslo."]], "source": ["a"], "key": ["1"]})
    with torch.no_grad():
        encoded = task.encode(given, "predict", [])
        (answer,) = task.answer(network, task.batch(encoded, np.arange(1), None), ["a"])
    assert answer.tokens == ("Ann's in", "Oslo.")


def test_spelling_is_exact_for_every_character():
    rows = [["a\x00b", "", "\U0001f600\u0301", "\u202e"], [], [""]]
    assert unspelled(spelled(rows)) == rows


def test_marks_for_people_by_hand():
    found = tagged_text(
        "s", ["Ann", "Lee", "in", "Oslo"], ["B-PER", "E-PER", "O", "S-LOC"], [0.9, 0.5, 1.0, 0.7], "IOB1"
    )
    assert found.text == "[Ann Lee](PER) in [Oslo](LOC)" and found.tags == ("I-PER", "I-PER", "O", "I-LOC")
    assert found.entities == (Entity(0, 2, "PER", "Ann Lee", 0.5), Entity(3, 4, "LOC", "Oslo", 0.7))


def test_what_is_written_as_conll_is_read_again(tmp_path):
    said = [(["Ann Lee\tB.", "in", "Oslo"], ["B-PER", "O", "B-LOC"]), ([], []), (["#", "-", ""], ["O", "O", "O"])]
    answers = [tagged_text("s", words, tags, [1.0] * len(words), "BIO") for words, tags in said]
    (tmp_path / "out.conll").write_text(FORMATS[".conll"](answers), "utf-8")
    table = conll.read(tmp_path / "out.conll", ReadOptions()).tables["all"]
    assert table.column("tokens").to_pylist() == [["Ann Lee B.", "in", "Oslo"], ["#", "-", "_"]]
    assert table.column("tags").to_pylist() == [["B-PER", "O", "B-LOC"], ["O", "O", "O"]]


def test_the_report_shows_where_attention_looks_in_the_worst_sentence():
    task, _ = learned(model="transformer-tagger", network=transformer_tagger.Options(width=12, heads=3))
    network, metrics, encoded = built(task), task.metrics(), task.encode(table(), "test", [])
    with torch.no_grad():
        task.score(network, task.batch(encoded, np.arange(4), None), metrics)
    *_, matrix, heads = task.figures(metrics, encoded)
    row = metrics.worst(1)[0].row
    assert isinstance(matrix, Matrix) and matrix.row_names == matrix.column_names == ROWS[row][0].split()
    assert matrix.note == f"the worst sentence, t.conll, line {row}; mean over 3 heads"
    assert [sum(line) for line in matrix.values] == pytest.approx([1.0] * len(matrix.values), abs=0.01)
    assert isinstance(heads, Gallery) and heads.title == "Heads of the last attention" and len(heads.samples) == 1
    metrics.model = built(learned()[0])  # an LSTM has none
    assert task.figures(metrics, encoded)[-1].title == "Worst sentences"


def test_what_cannot_be_is_refused():
    with pytest.raises(OptionError, match="max-length 5"):
        learned(text=TextOptions(max_length=5))
    with pytest.raises(OptionError, match="'character'"):
        learned(text=TextOptions(level="character"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("token-tagging", "tiny", {"epochs": 2}, out=tmp_path_factory.mktemp("runs") / "tiny")


def test_files_without_tags_and_lines_of_text_are_answered(run, tmp_path):
    (tmp_path / "in.conll").write_text("Ada\nmet\nFay\nKettle\n\nin\nPort\nMarsh\n", "utf-8")
    (tmp_path / "in.txt").write_text("Ada met Fay Kettle.\nin Port Marsh\n", "utf-8")
    first, second = list(predict(run.folder, tmp_path / "in.conll"))
    assert first.tokens == ("Ada", "met", "Fay", "Kettle") and second.source == "in.conll, line 6"
    told = list(predict(run.folder, tmp_path / "in.txt"))
    assert told[0].tokens == (*first.tokens, ".") and told[1].tags == second.tags


def test_answers_are_explained_token_by_token(run, tmp_path):
    found = explain(run.folder, given={"samples": 2}, out=tmp_path / "explained")
    assert {"integrated-gradients", "occlusion"} <= set(found.methods)


@pytest.mark.parametrize("model", ["textcnn-tagger", "transformer-tagger", "bilstm-tagger"])
def test_every_model_learns_the_tiny_data(model, tmp_path):
    sizes = {"width": 16, "dropout": 0.1} | ({} if model == "transformer-tagger" else {"hidden": 16})
    given = {"model": model, "epochs": 10, "batch_size": 16, "optimizer": {"learning_rate": 0.01}, "network": sizes}
    found = train("token-tagging", TINY.make(0), given, out=tmp_path / model).metrics
    assert found["f1"] > 0.8 and found["f1"] > found["baseline_f1"], found
