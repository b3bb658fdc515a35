"""Text classification: from texts to ids, batches, classes and sets of labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from deepen.core.errors import OptionError
from deepen.core.figures import MarkedText
from deepen.data.columns import with_origin
from deepen.data.dataset import Dataset
from deepen.engine.evaluate import evaluate as score
from deepen.models import recurrent_classifier, textcnn
from deepen.parallel.ranks import Alone
from deepen.prepare.encoded import Draws
from deepen.prepare.label_sets import LabelSetAnswer
from deepen.prepare.text import TextOptions
from deepen.tasks.text_classification import TINY, Options, Task, files, learn, schema
from deepen.verbs.evaluate import evaluate
from deepen.verbs.folds import cross_validate
from deepen.verbs.loaded import loaded
from deepen.verbs.options import resolved
from deepen.verbs.predict import predict
from deepen.verbs.prepared import prepare
from deepen.verbs.train import train

SMALL = textcnn.Options(width=5, filters=7, dropout=0.0)
TEXTS = ["good good film", "bad film", "a good plot", "bad", "bad bad bad plot", "good"]
LABELS = ["pos", "neg", "pos", "neg", "neg", "pos"]


def table(texts=TEXTS, **targets):
    made = with_origin(
        pa.table({"text": pa.array(texts, pa.string())}), [f"t.txt, line {row + 1}" for row in range(len(texts))]
    )
    kinds = {"label": pa.string(), "labels": pa.list_(pa.string())}
    for name, values in targets.items():
        made = made.append_column(name, pa.array(values, kinds[name]))
    return made


PLAIN = Options()


def learned(made, options=PLAIN):
    faults = []
    return Task(options, learn(options, made, Dataset("t", "", {"all": made}), faults), SMALL), faults


def test_texts_become_ids_by_falling_count_with_a_mask_and_a_class():
    task, _ = learned(table(label=LABELS))
    assert schema(Options()).inputs == ("text",) and task.terms.labels == ("neg", "pos")
    assert task.tokenizer.vocabulary == ["<pad>", "<unk>", "bad", "good", "film", "plot", "a"]
    encoded = task.encode(table(label=LABELS), "train", [])
    batch = task.batch(encoded, np.array([4, 1, 0]), Draws(0, 0))
    assert batch["ids"].tolist() == [[2, 2, 2, 5], [2, 4, 0, 0], [3, 3, 4, 0]]
    assert batch["mask"].sum(1).tolist() == [4, 2, 3] and batch["truth"].tolist() == [0, 0, 1] and batch.count == 3


def test_unknown_empty_and_missing_texts_are_answered():
    task, _ = learned(table(label=LABELS))
    faults = []
    encoded = task.encode(table(["never seen", "", None, " \t"]), "predict", faults)
    assert encoded.ragged["ids"].lengths.tolist() == [2, 0, 0, 0]
    assert {fault.kind for fault in faults} == {"text-empty", "text-unknown"}
    with torch.no_grad():
        answers = task.answer(task.build().eval(), task.batch(encoded, np.arange(4), None), list("abcd"))
    assert answers[1].probability == answers[2].probability == answers[3].probability
    assert all(0 < answer.probability < 1 for answer in answers)


def test_word_dropout_makes_words_unknown_in_training_alone():
    task, _ = learned(table(label=LABELS), Options(word_dropout=0.5))
    encoded = task.encode(table(label=LABELS), "train", [])
    rows = np.arange(6)
    plain = task.batch(encoded, rows, None)["ids"]
    dropped = task.batch(encoded, rows, Draws(0, 1))["ids"]
    changed = dropped != plain
    assert changed.any() and (dropped[changed] == 1).all() and (plain[changed] != 0).all()
    assert torch.equal(dropped[2:3], _first(task.batch(encoded, rows[2:3], Draws(0, 1))["ids"], dropped))


def _first(ids, like):
    """Padded further, to the width of another batch."""
    return F.pad(ids, (0, like.shape[1] - ids.shape[1]))


def test_batches_hold_texts_of_like_length_and_every_row_once():
    texts = ["word " * (row * 7 % 31 + 1) + "other" * (row % 2) for row in range(120)]
    made = table(texts, label=["a", "b"] * 60)
    task, _ = learned(made)
    encoded = task.encode(made, "train", [])
    batches = task.order(encoded, 24, seed=3, epoch=2)
    assert sorted(np.concatenate(batches).tolist()) == list(range(120))
    lengths = encoded.ragged["ids"].lengths.numpy()
    assert np.mean([np.ptp(lengths[rows]) for rows in batches]) < np.ptp(lengths) / 3


def test_weights_and_smoothing_reach_the_loss():
    made = table(label=LABELS)
    task, _ = learned(made, Options(label_smoothing=0.1))
    encoded = task.encode(made, "train", [])
    weighted = dataclasses.replace(encoded, tensors={**encoded.tensors, "weight": torch.tensor([2.0, 0, 0, 0, 0, 0])})
    model, rows = task.build().eval(), np.arange(6)
    logits = model(*(task.batch(encoded, rows, None)[name] for name in ("ids", "mask")))
    truth = encoded.tensors["truth"]
    whole = F.cross_entropy(logits, truth, reduction="sum", label_smoothing=0.1)
    first = F.cross_entropy(logits[:1], truth[:1], label_smoothing=0.1)
    assert torch.allclose(task.loss(model, task.batch(encoded, rows, None)).sum, whole)
    assert torch.allclose(task.loss(model, task.batch(weighted, rows, None)).sum, 2 * first)


def test_a_label_that_is_written_in_its_texts_is_a_warning():
    _, faults = learned(
        table([f"neg {n}" for n in range(5)] + [f"fine {n}" for n in range(5)], label=["neg", "pos"] * 5)
    )
    assert "label-in-text" not in {fault.kind for fault in faults}
    texts = [f"neg {n}" for n in range(5)] + [f"fine {n}" for n in range(5)]
    _, faults = learned(table(texts, label=["neg"] * 5 + ["pos"] * 5))
    assert "label-in-text" in {fault.kind for fault in faults}


def test_a_list_column_makes_it_a_task_of_label_sets():
    sets = [["good", "film"], ["film"], ["good"], [], [], ["good"]]
    task, _ = learned(table(labels=sets))
    assert task.terms.labels == ("film", "good") and task.objective == ("binary_cross_entropy", "min")
    encoded = task.encode(table(labels=sets), "val", [])
    assert encoded.tensors["truth"].tolist() == [[1, 1], [1, 0], [0, 1], [0, 0], [0, 0], [0, 1]]


def test_a_threshold_is_for_label_sets():
    task, _ = learned(table(labels=[["a"], ["b"]] * 3), Options(threshold=0.2))
    metrics = task.metrics()
    task.decide(metrics)
    assert task.state["target"]["thresholds"] == [0.2, 0.2] == metrics.thresholds.tolist()
    with pytest.raises(OptionError, match=r"--threshold 0\.2"):
        learned(table(label=LABELS), Options(threshold=0.2))


def test_label_sets_are_learned_scored_and_answered(tmp_path):
    draw = np.random.default_rng(0)
    words = ("sea", "hill", "town")
    texts, sets = [], []
    for _ in range(200):
        chosen = [word for word in words if draw.random() < 0.4]
        texts.append(" ".join(draw.permutation([*chosen, *draw.choice(("the", "of", "an", "old"), 4)])))
        sets.append([f"has {word}" for word in chosen])
    run = train(
        "text-classification",
        Dataset("sets", "made up", {"all": table(texts, labels=sets)}),
        {**TINY.options, "epochs": 10},
        out=tmp_path / "run",
    )
    assert run.metrics["micro_f1"] > 0.95 and run.metrics["subset_accuracy"] > 0.9
    (tmp_path / "new.txt").write_text("an old sea\nthe old town of hill\nan old\n", "utf-8")
    assert evaluate(run.folder, Dataset("sets", "", {"test": table(texts, labels=sets)})).metrics["micro_f1"] > 0.95
    answers = list(predict(run.folder, tmp_path / "new.txt"))
    assert [answer.labels for answer in answers] == [("has sea",), ("has hill", "has town"), ()]
    assert isinstance(answers[0], LabelSetAnswer)


def test_thresholds_are_settled_on_validation_before_test_is_scored(tmp_path):
    """With labels this rare and a training this short no probability reaches one half."""
    draw = np.random.default_rng(1)
    sets = [[word for word in ("sea", "hill") if draw.random() < 0.2] for _ in range(220)]
    made = table([f"we saw {' and '.join(chosen)} {n}" for n, chosen in enumerate(sets)], labels=sets)
    options = {"model": "fasttext", "epochs": 3, "optimizer.learning_rate": 0.003, "threads": 1}
    run = train("text-classification", Dataset("sets", "", {"all": made}), options, out=tmp_path / "run")
    plain = train(
        "text-classification", Dataset("sets", "", {"all": made}), {**options, "threshold": 0.5}, out=tmp_path / "plain"
    )
    assert plain.metrics["micro_f1"] == 0 < run.metrics["micro_f1"]
    assert run.metrics["binary_cross_entropy"] == plain.metrics["binary_cross_entropy"]

    model = loaded(run.folder)
    assert all(0 < each < 0.5 for each in model.task.state["target"]["thresholds"])
    prepared = prepare(
        "text-classification", Dataset("sets", "", {"all": made}), resolved("text-classification", options)
    )
    val = score(model.task, model.model, prepared.encoded["val"], device=model.device, ranks=Alone())
    assert model.task.state["target"]["thresholds"] == val.best_thresholds()
    assert run.header["metrics"]["val"]["micro_f1"] == val.result()["micro_f1"]


def test_folds_with_other_thresholds_are_pooled_by_their_own(tmp_path):
    draw = np.random.default_rng(2)
    sets = [[word for word in ("sea", "hill") if draw.random() < 0.3] for _ in range(120)]
    made = table([f"we saw {' and '.join(chosen)} {n}" for n, chosen in enumerate(sets)], labels=sets)
    options = {"model": "fasttext", "epochs": 4, "threads": 1}
    found = cross_validate(
        "text-classification", Dataset("sets", "", {"all": made}), options, folds=2, out=tmp_path / "folds"
    )
    settled = [loaded(run.folder).task.state["target"]["thresholds"] for run in found.runs.values()]
    assert settled[0] != settled[1]
    sizes = [run.header["data"]["counts"]["test"] for run in found.runs.values()]
    wrong = sum(run.metrics["hamming_loss"] * size for run, size in zip(found.runs.values(), sizes, strict=True))
    assert found.pooled["hamming_loss"] == pytest.approx(wrong / sum(sizes))


@pytest.mark.parametrize("level", ["word", "character", "byte", "subword"])
def test_every_level_learns_and_gives_back_the_state_it_needs(level, tmp_path):
    if level == "subword":
        pytest.importorskip("tokenizers")
    data = TINY.make(0)
    options = Options(text=TextOptions(level=level, max_vocabulary=60 if level == "subword" else None))
    state = learn(options, data.tables["all"], data, [])
    task = Task(options, state, SMALL)
    encoded = task.encode(data.tables["all"], "train", [])
    assert int(encoded.ragged["ids"].values.max()) < len(task.tokenizer)
    assert state["longest"] == int(encoded.ragged["ids"].lengths.max())
    assert set(files(state)) == ({"tokenizer.json"} if level == "subword" else set())
    found = {"word": 11, "character": 40, "byte": 40}.get(level, 15)
    assert state["longest"] >= found
    run = train("text-classification", "tiny", {"text.level": level, "epochs": 12}, out=tmp_path / level)
    assert run.metrics["accuracy"] > 0.8


def test_longer_texts_are_cut_and_counted():
    made = table(label=LABELS)
    task, _ = learned(made, Options(text=TextOptions(max_length=2)))
    faults = []
    assert task.encode(made, "test", faults).ragged["ids"].lengths.tolist() == [2, 2, 2, 1, 2, 1]
    assert any(fault.kind == "text-cut" and "test: 3 texts cut" in fault.sentence() for fault in faults)
    assert task.sample()[0].shape == (1, 2)


@pytest.mark.parametrize(
    "targets", [{"label": LABELS}, {"labels": [["pos"], ["neg", "pos"], [], ["neg"], [], ["pos"]]}]
)
def test_the_report_shows_where_attention_looks_in_the_worst_mistake(targets):
    made = table(**targets)
    task, _ = learned(made, Options(model="bilstm-attention"))
    task.network = recurrent_classifier.Options(width=5, hidden=3, dropout=0.0)
    encoded, metrics = task.encode(made, "test", []), task.metrics()
    torch.manual_seed(0)
    model = task.build().eval()
    task.score(model, task.batch(encoded, np.arange(6), None), metrics)
    row = metrics.worst(1)[0].row
    shown = task.figures(metrics, encoded)[-1]
    assert isinstance(shown, MarkedText) and shown.parts == TEXTS[row].split() and max(shown.weights) == 1
    assert shown.note.startswith(f"the worst mistake, t.txt, line {row + 1}")
    alone = task.metrics()  # outputs whose network is not known, such as those of an ensemble
    batch = task.batch(encoded, np.arange(6), None)
    task.score_outputs(task.outputs(model, batch), batch, alone)
    assert task.figures(alone, encoded)[-1].title == "Worst mistakes"
